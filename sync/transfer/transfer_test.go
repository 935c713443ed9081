package transfer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/cloudcoin/cloudcoin/sync/erasure"
	"github.com/cloudcoin/cloudcoin/sync/model"
	"github.com/cloudcoin/cloudcoin/sync/transfer"
	"github.com/cloudcoin/cloudcoin/sync/transfer/memshards"
	"github.com/cloudcoin/cloudcoin/sync/transfer/shardstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// faulty is a lease whose answers a test can change.
type faulty struct {
	*memshards.Store
	mu  sync.Mutex
	get func(ctx context.Context, id model.ShardID, off int64, p []byte, verify bool) error // before the real one; nil error goes on
	put func(ctx context.Context) error
	bad func(p []byte, verify bool) error // after the real one
}

func (f *faulty) Get(ctx context.Context, id model.ShardID, off int64, p []byte, size int64, verify bool) error {
	f.mu.Lock()
	get, bad := f.get, f.bad
	f.mu.Unlock()
	if get != nil {
		if err := get(ctx, id, off, p, verify); err != nil {
			return err
		}
	}
	if err := f.Store.Get(ctx, id, off, p, size, verify); err != nil {
		return err
	}
	if bad != nil {
		return bad(p, verify)
	}
	return nil
}

func (f *faulty) Put(ctx context.Context, id model.ShardID, body []byte) error {
	f.mu.Lock()
	put := f.put
	f.mu.Unlock()
	if put != nil {
		if err := put(ctx); err != nil {
			return err
		}
	}
	return f.Store.Put(ctx, id, body)
}

// hang makes Get wait until its context ends.
func (f *faulty) hang(on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.get = nil
	if on {
		f.get = func(ctx context.Context, _ model.ShardID, _ int64, _ []byte, _ bool) error {
			<-ctx.Done()
			return ctx.Err()
		}
	}
}

// slow makes Get take a while.
func (f *faulty) slow(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.get = func(ctx context.Context, _ model.ShardID, _ int64, _ []byte, _ bool) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// lie flips a bit of what Get gives; asked for proofs it can't give one.
func (f *faulty) lie() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bad = func(p []byte, verify bool) error {
		if verify {
			return transfer.ErrDamaged
		}
		p[len(p)/2] ^= 1
		return nil
	}
}

type world struct {
	pool   *transfer.Pool
	leases []*faulty
	pack   model.Pack
	age    []byte
	mu     sync.Mutex
	bad    map[int]error
}

func newWorld(t *testing.T, k, m, shardLen int, opt transfer.Options) *world {
	t.Helper()
	w := &world{pool: transfer.NewPool(opt), bad: map[int]error{}}
	t.Cleanup(func() {
		if err := w.pool.Close(); err != nil {
			t.Error(err)
		}
	})
	w.age, _ = shardstest.Bytes(7, k*shardLen)
	shards, err := erasure.Encode(w.age, k, m, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.pack = model.Pack{ID: model.PackID{1}, K: k, M: m, ShardLen: int64(shardLen)}
	var all []transfer.Shards
	for i := range k + m {
		f := &faulty{Store: memshards.New(transfer.LeaseInfo{ID: model.LeaseID{byte(i + 1)}, Provider: fmt.Sprint(i), Name: fmt.Sprint(i), Size: 1 << 30})}
		w.leases = append(w.leases, f)
		all = append(all, f)
	}
	w.pool.SetLeases(all)
	for i, id := range erasure.IDs(shards) {
		w.pack.Shards = append(w.pack.Shards, model.Shard{ID: id, Lease: model.LeaseID{byte(i + 1)}})
		if err := w.pool.PutShard(context.Background(), model.LeaseID{byte(i + 1)}, id, shards[i]); err != nil {
			t.Fatal(err)
		}
	}
	w.pool.Bad(func(_ model.PackID, i int, why error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.bad[i] = why
	})
	return w
}

func (w *world) reported() map[int]error {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[int]error{}
	for i, err := range w.bad {
		out[i] = err
	}
	return out
}

// check is the caller's authenticity check.
func (w *world) check(off int) func([]byte) error {
	return func(b []byte) error {
		if !bytes.Equal(b, w.age[off:off+len(b)]) {
			return errors.New("doesn't authenticate")
		}
		return nil
	}
}

func (w *world) read(t *testing.T, off, n int) error {
	t.Helper()
	dst := make([]byte, n)
	err := w.pool.ReadRange(context.Background(), &w.pack, int64(off), dst, w.check(off))
	if err == nil && !bytes.Equal(dst, w.age[off:off+n]) {
		t.Fatalf("ReadRange(%d, %d) gave wrong bytes", off, n)
	}
	return err
}

func TestReadAllPairsGone(t *testing.T) {
	const length = 100 * 4096
	w := newWorld(t, 4, 2, length, transfer.Options{})
	ranges := [][2]int{{0, 1}, {5, 70_000}, {length - 10, 20}, {length - 50_000, 2*length - 3}, {0, 4 * length}, {4*length - 1, 1}, {length + 7, 2 * length}, {100, 2*length - 200}}
	for a := range 6 {
		for b := a + 1; b < 6; b++ {
			for i, l := range w.leases {
				l.SetDown(i == a || i == b)
			}
			for _, r := range ranges {
				if err := w.read(t, r[0], r[1]); err != nil {
					t.Fatalf("without %d and %d, range %v: %v", a, b, r, err)
				}
			}
			for i := range 6 {
				got, err := w.pool.ReadShard(context.Background(), &w.pack, i)
				if err != nil || len(got) != length {
					t.Fatalf("without %d and %d, shard %d: %v", a, b, i, err)
				}
			}
		}
	}
	if bad := w.reported(); len(bad) != 0 {
		t.Errorf("providers that are down were reported as bad: %v", bad)
	}
}

func TestThreeGoneIsUnreachableAndComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 4, 2, 4096, transfer.Options{})
		for i := range 3 {
			w.leases[i].SetDown(true)
		}
		if err := w.read(t, 0, 100); !errors.Is(err, transfer.ErrUnreachable) {
			t.Fatalf("got %v, want ErrUnreachable", err)
		}
		for range 5 {
			if w.read(t, 0, 100) == nil {
				t.Fatal("read with three of six down")
			}
		}
		if st := w.pool.Leases()[0]; st.State != transfer.StateDown || st.LastError == "" || st.State.Live() {
			t.Errorf("state of a lease that is down: %+v", st)
		}
		// The breakers are open, but who is needed is asked.
		w.leases[1].SetDown(false)
		if err := w.read(t, 0, 100); err != nil {
			t.Errorf("read after one came back, its breaker open: %v", err)
		}
		// Probes find the others by themselves.
		w.leases[0].SetDown(false)
		w.leases[2].SetDown(false)
		time.Sleep(3 * time.Minute) // of the bubble's clock
		for _, st := range w.pool.Leases() {
			if st.State != transfer.StateOK {
				t.Errorf("lease %s is %s after it came back", st.Info.Name, st.State)
			}
		}
		if err := w.pool.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestLostWhenTooManyLackIt(t *testing.T) {
	w := newWorld(t, 4, 2, 4096, transfer.Options{})
	for i := range 3 {
		w.leases[i].Lose(w.pack.Shards[i].ID)
	}
	if err := w.read(t, 0, 100); !errors.Is(err, transfer.ErrLost) {
		t.Fatalf("got %v, want ErrLost", err)
	}
	if bad := w.reported(); len(bad) != 3 || !errors.Is(bad[1], transfer.ErrNotFound) {
		t.Errorf("reported %v", bad)
	}
}

func TestMissingShardIsRebuiltAtOnceAndReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 4, 2, 8192, transfer.Options{})
		w.leases[2].Lose(w.pack.Shards[2].ID)
		start := time.Now()
		if err := w.read(t, 2*8192+100, 500); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("waited %v though the provider answered that it lacks the shard", took)
		}
		if bad := w.reported(); len(bad) != 1 || !errors.Is(bad[2], transfer.ErrNotFound) {
			t.Errorf("reported %v", bad)
		}
	})
}

func TestLiarsAreConvicted(t *testing.T) {
	for _, liars := range [][]int{{0}, {1, 3}, {0, 4}} {
		t.Run(fmt.Sprint(liars), func(t *testing.T) {
			w := newWorld(t, 4, 2, 65536, transfer.Options{})
			for _, i := range liars {
				w.leases[i].lie()
			}
			// A shard that is missing too makes liars among the parity shards matter.
			if len(liars) == 1 {
				w.leases[1].SetDown(true)
			}
			if err := w.read(t, 0, 4*65536); err != nil {
				t.Fatal(err)
			}
			for i := range w.reported() {
				if !contains(liars, i) {
					t.Errorf("honest shard %d was reported", i)
				}
			}
			for _, i := range liars {
				if i < 4 && w.reported()[i] == nil {
					t.Errorf("liar %d was not reported", i)
				}
			}
		})
	}
}

func TestWithoutCheckProofsAreAsked(t *testing.T) {
	w := newWorld(t, 4, 2, 65536, transfer.Options{})
	w.leases[0].lie()
	dst := make([]byte, 5000)
	if err := w.pool.ReadRange(context.Background(), &w.pack, 1000, dst, nil); err != nil || !bytes.Equal(dst, w.age[1000:6000]) {
		t.Errorf("ReadRange: %v, right %v", err, bytes.Equal(dst, w.age[1000:6000]))
	}
}

func TestWronglyMadePackIsDamaged(t *testing.T) {
	w := newWorld(t, 4, 2, 4096, transfer.Options{})
	never := errors.New("never right")
	err := w.pool.ReadRange(context.Background(), &w.pack, 0, make([]byte, 10), func([]byte) error { return never })
	if !errors.Is(err, transfer.ErrDamaged) || !errors.Is(err, never) {
		t.Errorf("got %v", err)
	}
	if bad := w.reported(); len(bad) != 0 {
		t.Errorf("honest providers were reported: %v", bad)
	}
}

func TestHangingProviderIsOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 4, 2, 1<<20, transfer.Options{})
		w.leases[0].hang(true)
		for i := range 8 {
			start := time.Now()
			if err := w.read(t, 100, 4096); err != nil {
				t.Fatal(err)
			}
			took := time.Since(start)
			if took > 2*time.Second {
				t.Errorf("read %d took %v", i, took)
			}
			if i > 4 && took != 0 {
				t.Errorf("read %d still waited %v for a provider that never answers", i, took)
			}
		}
		if st := w.pool.Leases()[0]; st.State == transfer.StateOK || st.LastError == "" {
			t.Errorf("state of the lease that hangs: %+v", st)
		}
		w.leases[0].hang(false)
		if err := w.pool.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestHangingNeighbourOfAMissingShard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 4, 2, 1<<16, transfer.Options{})
		w.leases[0].hang(true)
		w.leases[1].Lose(w.pack.Shards[1].ID)
		start := time.Now()
		if err := w.read(t, 200, 4<<16-1000); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("took %v", took)
		}
		if err := w.pool.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestHedgesAreLimitedWhenAllAreSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 4, 2, 1<<16, transfer.Options{})
		for _, l := range w.leases {
			l.slow(700 * time.Millisecond)
		}
		var before int64
		for _, l := range w.leases {
			before += l.Calls()
		}
		const reads = 200
		for i := range reads {
			if err := w.read(t, i*16, 16); err != nil {
				t.Fatal(err)
			}
		}
		var calls int64
		for _, l := range w.leases {
			calls += l.Calls()
		}
		// Ten hedges are there at first and one comes with ten reads; each asks for up to k others.
		if calls -= before; calls > reads+(10+reads/10)*5 {
			t.Errorf("%d reads made %d requests", reads, calls)
		}
		if err := w.pool.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestInterruptedRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 4, 2, 4096, transfer.Options{})
		for _, l := range w.leases {
			l.hang(true)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		start := time.Now()
		dst := make([]byte, 100)
		err := w.pool.ReadRange(ctx, &w.pack, 0, dst, nil)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("got %v after %v", err, time.Since(start))
		}
		for i, st := range w.pool.Leases() {
			if st.Failures != 0 {
				t.Errorf("lease %d is blamed for the caller's impatience: %+v", i, st)
			}
		}
		if err := w.pool.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestPutRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 4, 2, 4096, transfer.Options{})
		var tries atomic.Int32
		set := func(put func(context.Context) error) {
			tries.Store(0)
			w.leases[0].mu.Lock()
			defer w.leases[0].mu.Unlock()
			w.leases[0].put = func(ctx context.Context) error {
				tries.Add(1)
				return put(ctx)
			}
		}
		b, id := shardstest.Bytes(50, 1000)
		lease := model.LeaseID{1}

		set(func(context.Context) error {
			if tries.Load() < 3 {
				return errors.New("connection reset")
			}
			return nil
		})
		if err := w.pool.PutShard(context.Background(), lease, id, b); err != nil || tries.Load() != 3 {
			t.Errorf("third try works: %v after %d tries", err, tries.Load())
		}
		for _, meant := range []error{transfer.ErrNoRoom, transfer.ErrLease} {
			set(func(context.Context) error { return meant })
			if err := w.pool.PutShard(context.Background(), lease, id, b); !errors.Is(err, meant) || tries.Load() != 1 {
				t.Errorf("%v: got %v after %d tries", meant, err, tries.Load())
			}
		}
		set(func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) })
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := w.pool.PutShard(ctx, lease, id, b); err == nil {
			t.Error("put to a provider that hangs: no error")
		}
		if err := w.pool.PutShard(context.Background(), model.LeaseID{99}, id, b); !errors.Is(err, transfer.ErrNoLease) {
			t.Errorf("put with an unknown lease: %v", err)
		}
		if err := w.pool.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestReadShardsAsksOthersOnce(t *testing.T) {
	w := newWorld(t, 4, 2, 1<<16, transfer.Options{})
	for _, i := range []int{1, 5} {
		w.leases[i].Lose(w.pack.Shards[i].ID)
		w.pack.Shards[i].State = model.ShardBad
	}
	var before int64
	for _, l := range w.leases {
		before += l.Calls()
	}
	got, err := w.pool.ReadShards(context.Background(), &w.pack, []int{1, 5})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got[0], w.age[1<<16:2<<16]) {
		t.Error("shard 1 is wrong")
	}
	var calls int64
	for _, l := range w.leases {
		calls += l.Calls()
	}
	if calls-before != 4 {
		t.Errorf("%d requests to rebuild two shards of 4+2, want 4", calls-before)
	}
	if err := w.pool.CheckShard(context.Background(), &w.pack, 1); !errors.Is(err, transfer.ErrNotFound) {
		t.Errorf("CheckShard of a lost shard: %v", err)
	}
	if err := w.pool.CheckShard(context.Background(), &w.pack, 0); err != nil {
		t.Errorf("CheckShard: %v", err)
	}
}

func TestWholePackWithTwoGoneReadsFourShards(t *testing.T) {
	w := newWorld(t, 4, 2, 1<<16, transfer.Options{})
	for _, i := range []int{0, 2} {
		w.leases[i].SetDown(true)
	}
	for range 6 { // opens the breakers
		if err := w.read(t, 0, 4<<16); err != nil {
			t.Fatal(err)
		}
	}
	var before, after int64
	for _, l := range w.leases {
		before += l.Calls()
	}
	if err := w.read(t, 0, 4<<16); err != nil {
		t.Fatal(err)
	}
	for _, l := range w.leases {
		after += l.Calls()
	}
	if after-before != 4 {
		t.Errorf("%d requests, want 4", after-before)
	}
}

func TestSpareMemoryIsBoundedWithoutDeadlock(t *testing.T) {
	w := newWorld(t, 4, 2, 1<<16, transfer.Options{Spare: 3 << 16})
	w.leases[0].SetDown(true)
	w.leases[3].SetDown(true)
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			off, n := i*100, 4<<16-i*200
			dst := make([]byte, n)
			if err := w.pool.ReadRange(context.Background(), &w.pack, int64(off), dst, w.check(off)); err != nil {
				t.Errorf("read %d: %v", i, err)
			}
		})
	}
	wg.Wait()
}

func TestBadPackRecord(t *testing.T) {
	w := newWorld(t, 4, 2, 4096, transfer.Options{})
	for _, c := range []struct{ off, n int64 }{{-1, 10}, {4 * 4096, 1}, {4*4096 - 5, 6}, {1 << 62, 10}} {
		if w.pool.ReadRange(context.Background(), &w.pack, c.off, make([]byte, c.n), nil) == nil {
			t.Errorf("range %v was read", c)
		}
	}
	w.pack.Shards = w.pack.Shards[:5]
	if w.pool.ReadRange(context.Background(), &w.pack, 0, make([]byte, 1), nil) == nil {
		t.Error("a pack with a shard too few was read")
	}
}

func contains(list []int, n int) bool {
	for _, x := range list {
		if x == n {
			return true
		}
	}
	return false
}
