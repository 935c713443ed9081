package vault

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/cloudcoin/cloudcoin/crypto/merkle"
	"github.com/cloudcoin/cloudcoin/provider/ids"
	"github.com/cloudcoin/cloudcoin/provider/ledger"
	"github.com/cloudcoin/cloudcoin/provider/shardstore"
)

func newParts(t *testing.T) (*parts, string) {
	t.Helper()
	dir := t.TempDir()
	p, err := openParts(dir, time.Now)
	must(t, err)
	t.Cleanup(func() { must(t, p.book.Close()) })
	must(t, p.grant(testLease, 1<<30))
	return p, dir
}

func TestScrubSetsDamageAside(t *testing.T) {
	p, dir := newParts(t)
	var damaged []ids.Shard
	for i := range uint64(10) {
		id, err := p.put(testLease, shardBody(i+1000))
		must(t, err)
		if i%5 != 0 {
			continue
		}
		damaged = append(damaged, id)
		path := filepath.Join(dir, "shards", "shards", testLease.String(), id.String()[:2], id.String())
		must(t, os.Truncate(path, 7))
	}
	must(t, p.PutSlot(testLease, "s", []byte("v"), func([]byte) error { return nil }))
	r, err := p.Scrub(context.Background())
	must(t, err)
	if r.Shards != 10 || r.Slots != 1 || len(r.Damaged) != 2 {
		t.Fatalf("%+v", r)
	}
	for _, id := range damaged {
		if _, err := p.store.Stat(testLease, id); !errors.Is(err, shardstore.ErrNotFound) {
			t.Fatal(err)
		}
	}
	p.compare(t, nil)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := p.Scrub(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	must(t, p.store.PutSlot(ids.Lease{9, 9}, "x", nil))
	if r, err := p.Scrub(context.Background()); err != nil || len(r.Strange) != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
}

// TestConcurrent: puts of the same shards, deletions and drops at the same time leave exact counters.
func TestConcurrent(t *testing.T) {
	p, _ := newParts(t)
	var wg sync.WaitGroup
	for g := range 6 {
		wg.Go(func() {
			for i := range 25 {
				n := uint64(i % 7)
				switch (g + i) % 4 {
				case 3:
					gone := []ids.Shard{ids.Shard(merkle.Root(shardBody(n))), ids.Shard(merkle.Root(shardBody(n + 1))), ids.Shard(merkle.Root(shardBody(n)))}
					if _, err := p.Delete(testLease, gone); err != nil {
						t.Error(err)
					}
				default:
					if _, err := p.put(testLease, shardBody(n)); err != nil {
						t.Error(err)
					}
				}
				if g == 0 && i%10 == 9 {
					if err := p.DropLease(testLease); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	p.compare(t, nil)
	must(t, p.Wipe())
	_, u, _, err := p.Lease(testLease)
	must(t, err)
	if u != (ledger.Usage{}) {
		t.Fatalf("%+v", u)
	}
	p.compare(t, nil)
}

// failing is a store whose commits fail before or after the name is given.
type failing struct {
	shardstore.Store
	after bool
}

func (f *failing) Create(l ids.Lease, id ids.Shard) (shardstore.Writer, error) {
	w, err := f.Store.Create(l, id)
	return &failingWriter{w, f.after}, err
}

type failingWriter struct {
	shardstore.Writer
	after bool
}

var errDisk = errors.New("the disk says no")

func (w *failingWriter) Publish() error {
	if w.after {
		return errors.Join(w.Writer.Publish(), errDisk)
	}
	return errDisk
}

func TestFailedCommitCountsWhatIsThere(t *testing.T) {
	for _, after := range []bool{false, true} {
		p, _ := newParts(t)
		v, err := Open(&failing{p.store, after}, p.book, time.Now, slog.New(slog.DiscardHandler))
		must(t, err)
		if _, err := (&parts{v, p.store, p.book}).put(testLease, []byte("x")); !errors.Is(err, errDisk) {
			t.Fatal(err)
		}
		p.compare(t, nil)
	}
}

func TestQuotaUnderConcurrency(t *testing.T) {
	p, _ := newParts(t)
	small := ids.Lease{8}
	must(t, p.grant(small, 10*MinCharge))
	var wg sync.WaitGroup
	full := make(chan bool, 40)
	for i := range 40 {
		wg.Go(func() {
			_, err := p.put(small, fmt.Appendf(nil, "shard %d", i))
			if err != nil && !errors.Is(err, ledger.ErrQuota) {
				t.Error(err)
			}
			full <- err != nil
		})
	}
	wg.Wait()
	close(full)
	refused := 0
	for f := range full {
		if f {
			refused++
		}
	}
	_, u, err := p.book.Lease(small)
	must(t, err)
	if u.Shards != 10 || refused != 30 {
		t.Fatalf("%+v, %d refused", u, refused)
	}
}

// TestIncompleteBytesUnderANameAreRemoved: what a power cut leaves between the name and the bytes.
func TestIncompleteBytesUnderANameAreRemoved(t *testing.T) {
	dir := t.TempDir()
	p, err := openParts(dir, time.Now)
	must(t, err)
	must(t, p.grant(testLease, 1<<30))
	whole, torn := shardBody(1), shardBody(2)
	var ins []ledger.Intent
	for _, b := range [][]byte{whole, torn} {
		ins = append(ins, ledger.Intent{Op: ledger.Put, Lease: testLease, Shard: ids.Shard(merkle.Root(b)), Charge: Charge(int64(len(b)))})
	}
	_, err = p.book.Begin(ins)
	must(t, err)
	must(t, p.book.Sync())
	for i, b := range [][]byte{whole, make([]byte, len(torn))} {
		w, err := p.store.Create(testLease, ins[i].Shard)
		must(t, err)
		_, err = w.Write(b)
		must(t, errors.Join(err, w.Publish()))
	}
	must(t, p.book.Close())
	p, err = openParts(dir, time.Now)
	must(t, err)
	p.compare(t, nil)
	if _, u, err := p.book.Lease(testLease); err != nil || u != (ledger.Usage{Bytes: Charge(int64(len(whole))), Shards: 1}) {
		t.Fatalf("%+v, %v", u, err)
	}
	must(t, p.book.Close())
}
