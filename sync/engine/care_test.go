package engine

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/cloudcoin/cloudcoin/crypto/merkle"
	"github.com/cloudcoin/cloudcoin/sync/model"
	"github.com/cloudcoin/cloudcoin/sync/oplog"
	"github.com/cloudcoin/cloudcoin/sync/placement"
	"github.com/cloudcoin/cloudcoin/sync/transfer"
	"github.com/cloudcoin/cloudcoin/sync/transfer/memshards"
)

// Two leases with one provider are lost together: they count once.
func TestHeadsCountProviders(t *testing.T) {
	var w ward
	for i, p := range []string{"a", "a", "b", "c"} {
		w.all = append(w.all, placement.Lease{LeaseInfo: transfer.LeaseInfo{ID: model.LeaseID{byte(i + 1)}, Provider: p}})
	}
	if n := w.differ([]model.LeaseID{{1}, {2}, {3}, {9}}); n != 2 {
		t.Error(n)
	}
}

// A head that could not be written down leaves no trash: the next one may name what it didn't.
func TestFailedHeadLeavesNoTrash(t *testing.T) {
	w := newWorld(t, 6)
	h := w.home(t.TempDir(), 1)
	h.mkroot()
	h.start()
	h.write(h.create("f"), noise(1, 1000))
	h.sync()
	e := h.e
	h.stop()
	head := e.log.head
	before, trash := head.Counter, len(e.log.local.Trash)
	head.Segments = nil
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := e.publishHead(ctx, head, nil, false)
	if !errors.Is(err, context.Canceled) || e.log.head.Counter != before || len(e.log.local.Trash) != trash {
		t.Errorf("%v: head %d after %d, %d pieces of trash after %d", err, e.log.head.Counter, before, len(e.log.local.Trash), trash)
	}
	h.close()
}

// A shard is garbage at a lease where nothing names it, also when it is named at another one, and only after a day.
func TestSweepKnowsPlaces(t *testing.T) {
	w := newWorld(t, 6)
	clock := newFakeClock()
	w.clock = clock
	h := w.home(t.TempDir(), 1)
	h.mkroot()
	h.start()
	h.write(h.create("f"), noise(1, 1<<20))
	h.sync()
	var p model.Pack
	if err := h.x.Packs(model.PackID{}, func(q model.Pack) bool { p = q; return false }); err != nil {
		t.Fatal(err)
	}
	here, there := w.stores[p.Shards[0].Lease[0]-1], w.stores[p.Shards[1].Lease[0]-1]
	body := make([]byte, p.ShardLen)
	if err := here.Get(t.Context(), p.Shards[0].ID, 0, body, p.ShardLen, true); err != nil {
		t.Fatal(err)
	}
	if err := there.Put(t.Context(), p.Shards[0].ID, body); err != nil { // as an outage leaves it behind
		t.Fatal(err)
	}
	e := h.e
	h.stop()
	for i, want := range []bool{true, true, false} {
		if err := e.sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		has, err := there.Has(t.Context(), []model.ShardID{p.Shards[0].ID})
		if err != nil || has[0] != want {
			t.Errorf("sweep %d: %v %v", i, has, err)
		}
		clock.advance(sweepRest - time.Hour)
	}
	for i, s := range p.Shards {
		if has, err := w.stores[s.Lease[0]-1].Has(t.Context(), []model.ShardID{s.ID}); err != nil || !has[0] {
			t.Errorf("shard %d: %v %v", i, has, err)
		}
	}
}

// What is waited for is known after a restart, so that garbage goes also where no run lasts a day; a device that continues another one's head
// waits for as long as that one may be away.
func TestSweepOverRestarts(t *testing.T) {
	for name, parents := range map[string][]oplog.Parent{"first device": nil, "recovered": {{Device: model.DeviceID{9}, Counter: 1}}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 6)
			clock := newFakeClock()
			w.clock = clock
			h := w.home(t.TempDir(), 1)
			defer h.close()
			h.mkroot()
			garbage := noise(3, 1000)
			id := model.ShardID(merkle.Root(garbage))
			if err := w.stores[2].Put(t.Context(), id, garbage); err != nil {
				t.Fatal(err)
			}
			there := func() bool {
				has, err := w.stores[2].Has(t.Context(), []model.ShardID{id})
				return err == nil && has[0]
			}
			run := func() {
				e, err := New(Config{Index: h.x, Pool: h.pool, Keys: w.keys, Device: h.dev, Files: h.c, Contents: h.c, Clock: clock})
				if err != nil {
					t.Fatal(err)
				}
				e.checked, e.log.head.Parents = true, parents
				if err := errors.Join(e.loadSwept(), e.sweep(t.Context())); err != nil {
					t.Fatal(err)
				}
			}
			run()
			clock.advance(sweepRest - time.Hour)
			if run(); !there() {
				t.Error("deleted before a day is over")
			}
			clock.advance(2 * time.Hour)
			if run(); there() != (parents != nil) {
				t.Errorf("after a day: there %v", there())
			}
			clock.advance(sweepRestHeir)
			if run(); there() {
				t.Error("never deleted")
			}
		})
	}
}

// Garbage is looked for a day after the last time, also when the machine was off in between, and not right after a start.
func TestCollectIsDueOverRestarts(t *testing.T) {
	w := newWorld(t, 6)
	clock := newFakeClock()
	h := w.home(t.TempDir(), 1)
	defer h.close()
	due := func() time.Duration {
		e, err := New(Config{Index: h.x, Pool: h.pool, Keys: w.keys, Device: h.dev, Files: h.c, Contents: h.c, Clock: clock})
		if err != nil {
			t.Fatal(err)
		}
		if err := e.loadSwept(); err != nil {
			t.Fatal(err)
		}
		return e.care.collected.Add(collectEvery).Sub(clock.Now())
	}
	for _, c := range []struct{ off, want time.Duration }{
		{0, collectFirst}, {12 * time.Hour, collectFirst}, {11*time.Hour + 30*time.Minute, 30 * time.Minute}, {time.Hour, collectSoon},
	} {
		clock.advance(c.off)
		if got := due(); got != c.want {
			t.Errorf("due in %v, want %v", got, c.want)
		}
	}
	clock.advance(-1000 * time.Hour)
	if got := due(); got != collectFirst {
		t.Errorf("with a clock that went back it is due in %v", got)
	}
}

// deleter tells of each Delete.
type deleter struct {
	*memshards.Store
	deletes func()
}

func (d *deleter) Delete(ctx context.Context, ids []model.ShardID) error {
	d.deletes()
	return d.Store.Delete(ctx, ids)
}

// Whoever publishes doesn't wait for trash to be deleted, and what becomes trash meanwhile stays.
func TestTrashHoldsNothingUp(t *testing.T) {
	w := newWorld(t, 6)
	var e *Engine
	calls := 0
	w.wrap = func(_ int, s *memshards.Store) transfer.Shards {
		return &deleter{s, func() {
			calls++
			if !e.publishing.TryLock() {
				t.Error("publishing is held while a lease is asked")
				return
			}
			e.log.local.Trash = append(e.log.local.Trash, trash{Counter: 1 << 40})
			e.publishing.Unlock()
		}}
	}
	h := w.home(t.TempDir(), 1)
	defer h.close()
	h.mkroot()
	e, err := New(Config{Index: h.x, Pool: h.pool, Keys: w.keys, Device: h.dev, Files: h.c, Contents: h.c, Clock: w.clock})
	if err != nil {
		t.Fatal(err)
	}
	e.log.local.Trash = []trash{{Counter: 1 << 40}, {Shards: []model.Shard{{Lease: w.stores[0].Info().ID}}}}
	if _, err := e.publish(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if err := e.emptyTrash(t.Context()); err != nil || calls != 1 || len(e.log.local.Trash) != 2 {
		t.Errorf("%v: %d requests; the trash is %+v", err, calls, e.log.local.Trash)
	}
}

// What a pack had is deleted only when a head said that it is gone, not when any later head was published.
func TestTrashWaitsForItsDrop(t *testing.T) {
	w := newWorld(t, 6)
	h := w.home(t.TempDir(), 1)
	h.mkroot()
	h.start()
	h.write(h.create("f"), noise(1, 1<<20))
	h.sync()
	e := h.e
	h.stop()
	var p model.Pack
	if err := h.x.Packs(model.PackID{}, func(q model.Pack) bool { p = q; return false }); err != nil {
		t.Fatal(err)
	}
	b := h.x.Begin()
	b.DropPack(p.ID)
	e.log.local.Trash = append(e.log.local.Trash, trash{Counter: e.log.head.Counter + 1, Shards: p.Shards})
	if _, err := b.Commit(); err != nil {
		t.Fatal(err)
	}
	head := e.log.head
	head.Segments = slices.Clone(head.Segments)
	if err := e.publishHead(t.Context(), head, nil, false); err != nil { // a piece of the log moved
		t.Fatal(err)
	}
	there := func() bool {
		has, err := w.stores[p.Shards[0].Lease[0]-1].Has(t.Context(), []model.ShardID{p.Shards[0].ID})
		return err == nil && has[0]
	}
	if err := e.emptyTrash(t.Context()); err != nil || !there() {
		t.Fatal("deleted before a head said so", err)
	}
	if _, err := e.publish(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if err := e.emptyTrash(t.Context()); err != nil || there() {
		t.Fatal("not deleted", err)
	}
}

// liar says that it has everything.
type liar struct{ *memshards.Store }

func (l liar) Has(_ context.Context, ids []model.ShardID) ([]bool, error) {
	return slices.Repeat([]bool{true}, len(ids)), nil
}

// A provider that has lost everything and says that it holds it all is found out by the proofs.
func TestAuditWantsProof(t *testing.T) {
	w := newWorld(t, 6)
	w.wrap = func(i int, s *memshards.Store) transfer.Shards {
		if i == 2 {
			return liar{s}
		}
		return s
	}
	h := w.home(t.TempDir(), 1)
	h.mkroot()
	h.start()
	h.write(h.create("f"), noise(1, 40<<20))
	h.sync()
	h.heal()
	w.stores[2].Wipe()
	if err := h.e.Audit(t.Context()); err != nil {
		t.Fatal(err)
	}
	has := 0
	if err := h.x.Packs(model.PackID{}, func(p model.Pack) bool {
		for _, s := range p.Shards {
			if s.Lease != w.stores[2].Info().ID {
				continue
			}
			if err := w.stores[2].Get(t.Context(), s.ID, 0, make([]byte, p.ShardLen), p.ShardLen, true); err == nil {
				has++
			}
		}
		return true
	}); err != nil {
		t.Fatal(err)
	}
	if has < 3 {
		t.Errorf("%d shards were put again", has)
	}
	h.close()
}
