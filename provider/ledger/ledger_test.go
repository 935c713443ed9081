package ledger

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/cloudcoin/cloudcoin/provider/ids"
)

var update = flag.Bool("update", false, "write the golden file anew (only for a new version of the format)")

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, dir string) *Ledger {
	t.Helper()
	l, err := Open(dir, slog.New(slog.DiscardHandler))
	must(t, err)
	return l
}

func fresh(t testing.TB) (*Ledger, string) {
	t.Helper()
	dir := t.TempDir()
	must(t, Create(dir))
	return open(t, dir), dir
}

func lease(n byte) Lease {
	start := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	return Lease{
		ID: ids.Lease{n}, Renter: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, 32)).Public().(ed25519.PublicKey), Size: 1 << 20,
		Created: start.Add(time.Duration(n) * time.Hour), Until: start.AddDate(1, 0, 0), Grace: 60 * 24 * time.Hour, Note: "friend",
	}
}

// change announces and finishes changes.
func change(t testing.TB, l *Ledger, op Op, id ids.Lease, charge int64, done bool) {
	t.Helper()
	ins, err := l.Begin([]Intent{{Op: op, Lease: id, Charge: charge}})
	must(t, err)
	must(t, l.Sync())
	must(t, l.Finish(ins, done))
}

func TestStatesAtTheEdges(t *testing.T) {
	l := lease(1)
	for at, want := range map[time.Time]State{
		l.Until.Add(-time.Second): StateOpen, l.Until: StateGrace, l.Until.Add(l.Grace - time.Second): StateGrace, l.Until.Add(l.Grace): StateEnded,
	} {
		if got := l.At(at); got != want {
			t.Errorf("at %s: %s, want %s", at, got, want)
		}
	}
}

func TestReopen(t *testing.T) {
	l, dir := fresh(t)
	for n := byte(1); n <= 3; n++ {
		must(t, l.Grant(lease(n)))
	}
	if err := l.Grant(lease(1)); !errors.Is(err, ErrExists) {
		t.Fatal(err)
	}
	change(t, l, Put, ids.Lease{1}, 8192, true)
	change(t, l, Put, ids.Lease{1}, 4096, true)
	change(t, l, Put, ids.Lease{1}, 4096, false)
	change(t, l, Remove, ids.Lease{1}, 4096, true)
	change(t, l, Put, ids.Lease{2}, 4096, true)
	change(t, l, Drop, ids.Lease{2}, 0, true)
	must(t, l.Forget(ids.Lease{3}))
	must(t, l.Recount(ids.Lease{2}, Usage{12288, 3}))
	left, err := l.Begin([]Intent{{Op: Put, Lease: ids.Lease{1}, Shard: ids.Shard{5}, Charge: 4096}})
	must(t, err)
	must(t, l.Close())
	for range 3 { // opening changes nothing
		l = open(t, dir)
		if _, u, err := l.Lease(ids.Lease{1}); err != nil || u != (Usage{8192, 1}) {
			t.Fatalf("%+v, %v", u, err)
		}
		if _, u, err := l.Lease(ids.Lease{2}); err != nil || u != (Usage{12288, 3}) {
			t.Fatalf("%+v, %v", u, err)
		}
		if _, _, err := l.Lease(ids.Lease{3}); !errors.Is(err, ErrNotFound) {
			t.Fatal(err)
		}
		got, _, err := l.Lease(ids.Lease{1})
		must(t, err)
		if w := lease(1); !got.Renter.Equal(w.Renter) || got.Size != w.Size || !got.Until.Equal(w.Until) || got.Grace != w.Grace || got.Note != w.Note || !got.Created.Equal(w.Created) {
			t.Fatalf("%+v", got)
		}
		if in := l.InFlight(); len(in) != 1 || in[0] != left[0] {
			t.Fatalf("%+v", in)
		}
		must(t, l.Close())
	}
	if err := l.Grant(lease(9)); !errors.Is(err, ErrFailed) {
		t.Fatalf("after close: %v", err)
	}
}

func TestReserve(t *testing.T) {
	l, _ := fresh(t)
	must(t, l.Grant(lease(1)))
	a, err := l.Reserve(ids.Lease{1}, 1<<20-4096)
	must(t, err)
	if _, err := l.Reserve(ids.Lease{1}, 4097); !errors.Is(err, ErrQuota) {
		t.Fatal(err)
	}
	b, err := l.Reserve(ids.Lease{1}, 4096)
	must(t, err)
	a()
	b()
	if _, err := l.Reserve(ids.Lease{2}, 1); !errors.Is(err, ErrNotFound) {
		t.Fatal(err)
	}
	for _, n := range []int64{-1, 1<<63 - 1, 1<<20 + 1} {
		if _, err := l.Reserve(ids.Lease{1}, n); !errors.Is(err, ErrQuota) {
			t.Fatalf("%d: %v", n, err)
		}
	}
	must(t, l.Close())
}

// TestTornTail cuts the file inside its last records: the rest is there, and the ledger goes on.
func TestTornTail(t *testing.T) {
	l, dir := fresh(t)
	must(t, l.Grant(lease(1)))
	before := l.log.end.Load()
	change(t, l, Put, ids.Lease{1}, 4096, true)
	end := l.log.end.Load()
	must(t, l.log.file.Close())
	path := filepath.Join(dir, logName)
	whole, err := os.ReadFile(path)
	must(t, err)
	for cut := before; cut < end; cut += 9 {
		for _, tail := range [][]byte{nil, make([]byte, 100), bytes.Repeat([]byte{0xff}, 50)} {
			must(t, os.WriteFile(path, append(bytes.Clone(whole[:cut]), tail...), 0o600))
			l := open(t, dir)
			_, u, err := l.Lease(ids.Lease{1})
			must(t, err)
			if u != (Usage{}) {
				t.Fatalf("cut at %d: %+v", cut, u)
			}
			change(t, l, Put, ids.Lease{1}, 8192, len(l.InFlight()) >= 0)
			must(t, l.Close())
			l = open(t, dir)
			if _, u, err := l.Lease(ids.Lease{1}); err != nil || u != (Usage{8192, 1}) {
				t.Fatalf("cut at %d, then: %+v, %v", cut, u, err)
			}
			must(t, l.Close())
		}
	}
}

// TestDamage flips every other byte of a closed ledger: that is noticed, wherever it is.
func TestDamage(t *testing.T) {
	l, dir := fresh(t)
	must(t, l.Grant(lease(1)))
	change(t, l, Put, ids.Lease{1}, 4096, true)
	end := l.log.end.Load() // the mark that Close appends comes behind it
	must(t, l.Close())
	path := filepath.Join(dir, logName)
	whole, err := os.ReadFile(path)
	must(t, err)
	for i := int64(0); i < end; i += 2 {
		bad := bytes.Clone(whole)
		bad[i] ^= 0x20
		must(t, os.WriteFile(path, bad, 0o600))
		var damage *DamageError
		if l, err := Open(dir, slog.New(slog.DiscardHandler)); !errors.As(err, &damage) {
			t.Fatalf("byte %d of %d: %v %v", i, end, l, err)
		}
	}
	must(t, os.WriteFile(path, whole, 0o600))
	must(t, open(t, dir).Close())
}

func TestCompact(t *testing.T) {
	l, dir := fresh(t)
	must(t, l.Grant(lease(1)))
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 200 {
				ins, err := l.Begin([]Intent{{Op: Put, Lease: ids.Lease{1}, Shard: ids.Shard{byte(g), byte(i)}, Charge: 4096}})
				if err == nil {
					err = l.Sync()
				}
				if err == nil {
					err = l.Finish(ins, true)
				}
				if err != nil {
					t.Error(err)
				}
				if i%50 == 0 {
					l.mu.Lock()
					err := l.compact()
					l.mu.Unlock()
					if err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	must(t, l.Close())
	l = open(t, dir)
	if _, u, err := l.Lease(ids.Lease{1}); err != nil || u != (Usage{800 * 4096, 800}) {
		t.Fatalf("%+v, %v", u, err)
	}
	must(t, l.Close())
	if left, err := filepath.Glob(filepath.Join(dir, "*.new")); err != nil || len(left) != 0 {
		t.Fatalf("%v, %v", left, err)
	}
}

func TestGrow(t *testing.T) {
	l, dir := fresh(t)
	must(t, l.Grant(lease(1)))
	many := make([]Intent, 1000)
	for i := range many {
		many[i] = Intent{Op: Put, Lease: ids.Lease{1}, Shard: ids.Shard{byte(i), byte(i >> 8)}, Charge: 4096}
	}
	for range 40 {
		ins, err := l.Begin(many)
		must(t, err)
		must(t, l.Finish(ins, true))
	}
	if l.log.size <= growBy+1000 {
		t.Fatal("it didn't grow")
	}
	must(t, l.Close())
	l = open(t, dir)
	if _, u, err := l.Lease(ids.Lease{1}); err != nil || u.Shards != 40_000 {
		t.Fatalf("%+v, %v", u, err)
	}
	must(t, l.Close())
}

func TestGolden(t *testing.T) {
	one := lease(1)
	body, err := encodeLease(&one)
	must(t, err)
	b := []byte(logMagic)
	for _, rec := range [][]byte{
		body, encodeIntents([]Intent{{1, Put, one.ID, ids.Shard{1}, 4096}, {2, Put, one.ID, ids.Shard{2}, 8192}}),
		encodeFinish([]uint64{1}, true), encodeUsage(one.ID, Usage{4096, 1}), encodeMark(),
		encodeClock(Clock{one.Created, one.Until, one.Until.Add(time.Hour)}),
	} {
		b = appendRecord(b, int64(len(b)), rec)
	}
	got := hex.Dump(b)
	const file = "testdata/v1.golden"
	if *update {
		must(t, os.WriteFile(file, []byte(got), 0o644))
	}
	want, err := os.ReadFile(file)
	must(t, err)
	if got != string(want) {
		t.Fatalf("got\n%s", got)
	}
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, logName), b, 0o600))
	l := open(t, dir)
	if _, u, err := l.Lease(one.ID); err != nil || u != (Usage{4096, 1}) || len(l.InFlight()) != 1 {
		t.Fatalf("%+v, %v", u, err)
	}
	must(t, l.Close())
}

func FuzzOpen(f *testing.F) {
	one := lease(1)
	body, err := encodeLease(&one)
	must(f, err)
	b := appendRecord([]byte(logMagic), 0, body)
	f.Add(appendRecord(b, 0, encodeIntents([]Intent{{1, Put, one.ID, ids.Shard{1}, 4096}})))
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, logName), b, 0o600))
		l, err := Open(dir, slog.New(slog.DiscardHandler))
		if err == nil {
			must(t, l.Close())
		}
	})
}

// FuzzReplay feeds bodies without the checksum in the way.
func FuzzReplay(f *testing.F) {
	f.Add(encodeIntents([]Intent{{1, Put, ids.Lease{1}, ids.Shard{1}, 4096}}))
	f.Add(encodeFinish([]uint64{1}, true))
	f.Add(encodeUsage(ids.Lease{1}, Usage{1, 1}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 0 {
			return // parseRecord gives no empty bodies
		}
		l := &Ledger{accounts: map[ids.Lease]*account{{1}: {}}, open: map[uint64]Intent{1: {Seq: 1, Op: Put, Lease: ids.Lease{1}}}}
		if err := l.replay(b); err != nil {
			return
		}
	})
}
