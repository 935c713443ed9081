package vault

import (
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudcoin/cloudcoin/crypto/merkle"
	"github.com/cloudcoin/cloudcoin/provider/ids"
	"github.com/cloudcoin/cloudcoin/provider/ledger"
	"github.com/cloudcoin/cloudcoin/provider/shardstore"
)

// stuck is a store that can't drop a lease while it is stuck.
type stuck struct {
	shardstore.Store
	on atomic.Bool
}

func (s *stuck) DropLease(l ids.Lease) error {
	if s.on.Load() {
		return errDisk
	}
	return s.Store.DropLease(l)
}

// TestInterruptedDropTakesNothingThatCameLater: a drop fails halfway, shards and slots are put again, and the provider starts again.
func TestInterruptedDropTakesNothingThatCameLater(t *testing.T) {
	dir := t.TempDir()
	p, err := openParts(dir, time.Now)
	must(t, err)
	must(t, p.grant(testLease, 1<<30))
	disk := &stuck{Store: p.store}
	v, err := Open(disk, p.book, time.Now, slog.New(slog.DiscardHandler))
	must(t, err)
	p.Vault = v
	_, err = p.put(testLease, shardBody(1))
	must(t, err)
	early, late := shardBody(2), shardBody(3)
	u, err := p.Put(testLease, ids.Shard(merkle.Root(early)), int64(len(early))) // begins before the drop, ends after it
	must(t, err)
	_, err = u.Write(early)
	must(t, err)

	disk.on.Store(true)
	if err := p.DropLease(testLease); !errors.Is(err, errDisk) {
		t.Fatal(err)
	}
	anything := func([]byte) error { return nil }
	if _, err := u.Commit(); !errors.Is(err, ErrDropping) || !errors.Is(err, errDisk) {
		t.Fatalf("a shard came while the drop was open: %v", err)
	}
	if err := p.PutSlot(testLease, "s", []byte("v"), anything); !errors.Is(err, ErrDropping) {
		t.Fatalf("a slot came while the drop was open: %v", err)
	}
	if err := p.DropLease(testLease); !errors.Is(err, errDisk) {
		t.Fatal(err)
	}
	if err := p.Reap(); !errors.Is(err, errDisk) {
		t.Fatal(err)
	}

	disk.on.Store(false)
	_, err = p.put(testLease, late) // ends the drop first
	must(t, err)
	must(t, p.PutSlot(testLease, "s", []byte("v"), anything))
	if _, err := p.store.Stat(testLease, ids.Shard(merkle.Root(shardBody(1)))); !errors.Is(err, shardstore.ErrNotFound) {
		t.Fatalf("what was dropped is there: %v", err)
	}
	must(t, p.book.Close())

	p, err = openParts(dir, time.Now)
	must(t, err)
	for n, what := range map[uint64]string{1: "-", 2: "-", 3: "+"} {
		p.compare(t, map[uint64]string{n: what})
	}
	if got, err := p.Slot(testLease, "s"); err != nil || string(got) != "v" {
		t.Fatalf("%q, %v", got, err)
	}
	must(t, p.book.Close())
}

// TestOneWrongClockReadingDropsNothing: the clock says next year for a moment, as it does after a flat battery.
func TestOneWrongClockReadingDropsNothing(t *testing.T) {
	now := time.Now()
	p, err := openParts(t.TempDir(), func() time.Time { return now })
	must(t, err)
	must(t, p.grant(testLease, 1<<30)) // for an hour, without grace
	_, err = p.put(testLease, shardBody(1))
	must(t, err)
	look := func(after time.Duration, shards int64) {
		t.Helper()
		was := now
		now = now.Add(after)
		must(t, p.Reap())
		if _, u, err := p.book.Lease(testLease); err != nil || u.Shards != shards {
			t.Fatalf("at +%s: %+v, %v", after, u, err)
		}
		if shards == 1 {
			now = was
		}
	}
	look(0, 1)
	look(365*24*time.Hour, 1)
	look(time.Minute, 1)
	look(25*time.Hour, 1) // it was off for a day, and knows the time only now
	now = now.Add(25 * time.Hour)
	look(ledger.SureAfter, 0)
	must(t, p.book.Close())
}
