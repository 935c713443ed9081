package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/cloudcoin/cloudcoin/sync/model"
	"github.com/cloudcoin/cloudcoin/sync/transfer"
)

func TestStoredAndRecovered(t *testing.T) {
	w := newWorld(t, 6)
	h := w.home(t.TempDir(), 1)
	h.mkroot()
	h.start()
	want := map[string]string{}
	for i := range 50 {
		name := fmt.Sprintf("small-%d", i)
		data := noise(uint64(i), 100+i*37)
		h.write(h.create(name), data)
		want[name] = string(data)
	}
	big := noise(99, 20<<20+123)
	h.write(h.create("big"), big)
	want["big"] = string(big)
	h.create("empty")
	want["empty"] = ""
	h.sync()
	sameTree(t, h.tree(model.MaxRev), want)
	if st := h.e.Status(); st.PendingFiles != 0 || st.Health.AtRisk != 0 || st.Health.Packs == 0 {
		t.Errorf("status after sync: %+v", st)
	}

	r, _, _ := w.recover(2)
	sameTree(t, r.tree(model.MaxRev), want)
	r.close()
	h.close()
}

// Two of six providers vanish, another pair is wiped: everything reads, and repair makes it whole.
func TestProvidersFailAndHeal(t *testing.T) {
	w := newWorld(t, 6)
	clock := newFakeClock()
	h := w.home(t.TempDir(), 1)
	h.mkroot()
	h.start()
	want := map[string]string{}
	for i := range 5 {
		name, data := fmt.Sprintf("f%d", i), noise(uint64(i), 3<<20)
		h.write(h.create(name), data)
		want[name] = string(data)
	}
	h.sync()
	_ = clock
	for _, i := range []int{1, 4} {
		w.stores[i].SetDown(true)
	}
	h.write(h.create("while away"), noise(77, 100_000))
	want["while away"] = string(noise(77, 100_000))
	h.sync()
	sameTree(t, h.tree(model.MaxRev), want)
	r, _, found := w.recover(2)
	if len(found.Unreachable) != 2 {
		t.Errorf("%d leases unreachable", len(found.Unreachable))
	}
	sameTree(t, r.tree(model.MaxRev), want)
	r.close()

	for _, i := range []int{1, 4} {
		w.stores[i].SetDown(false)
	}
	w.stores[2].Wipe()
	w.stores[3].Wipe()
	for _, st := range h.pool.Leases() {
		if err := h.pool.Probe(t.Context(), st.Info.ID); err != nil {
			t.Fatal(err)
		}
	}
	h.e.Leases()
	h.heal()
	for _, i := range []int{0, 5} { // the wiped ones hold everything again
		w.stores[i].SetDown(true)
	}
	r, _, _ = w.recover(3)
	sameTree(t, r.tree(model.MaxRev), want)
	r.close()
	h.close()
}

// heal audits until nothing is at risk.
func (h *home) heal() {
	h.w.t.Helper()
	for range 20 {
		if err := h.e.Audit(h.w.t.Context()); err != nil {
			h.w.t.Logf("audit: %v", err)
		}
		h.sync()
		if st := h.e.Status(); st.Health.AtRisk == 0 {
			return
		}
	}
	h.w.t.Fatalf("not whole: %+v", h.e.Status())
}

// A flipped bit at a provider is found by a read, reported and mended.
func TestDamagedShardIsRebuilt(t *testing.T) {
	w := newWorld(t, 6)
	h := w.home(t.TempDir(), 1)
	h.mkroot()
	h.start()
	h.write(h.create("f"), noise(1, 5<<20))
	h.sync()
	var p model.Pack
	if err := h.x.Packs(model.PackID{}, func(q model.Pack) bool { p = q; return false }); err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{0, 5} {
		if !w.stores[p.Shards[i].Lease[0]-1].Damage(p.Shards[i].ID, 100) {
			t.Fatal("no such shard")
		}
		h.e.Bad(p.ID, i, fmt.Errorf("a read: %w", transfer.ErrDamaged))
	}
	h.heal()
	for _, s := range p.Shards {
		b := make([]byte, p.ShardLen)
		if err := w.stores[s.Lease[0]-1].Get(t.Context(), s.ID, 0, b, p.ShardLen, true); err != nil {
			t.Error(err)
		}
	}
	h.close()
}

// Fewer providers than spare shards need: nothing counts as stored, and it goes on when they are back.
func TestTooFewProviders(t *testing.T) {
	w := newWorld(t, 6)
	h := w.home(t.TempDir(), 1)
	h.mkroot()
	h.start()
	h.write(h.create("a"), noise(1, 1000))
	h.sync()
	for _, s := range w.stores[:4] {
		s.SetDown(true)
	}
	h.write(h.create("b"), noise(2, 1000))
	ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer cancel()
	if err := h.e.Sync(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("sync with two providers: %v", err)
	}
	if st := h.e.Status(); st.PendingFiles == 0 {
		t.Errorf("nothing pending: %+v", st)
	}
	for _, s := range w.stores[:4] {
		s.SetDown(false)
	}
	for _, st := range h.pool.Leases() {
		h.pool.Probe(t.Context(), st.Info.ID)
	}
	h.e.Leases()
	h.sync()
	r, _, _ := w.recover(2)
	sameTree(t, r.tree(model.MaxRev), map[string]string{"a": string(noise(1, 1000)), "b": string(noise(2, 1000))})
	r.close()
	h.close()
}

// Revisions, partial rewrites and deduplication.
func TestRevisionsKeepTheirContent(t *testing.T) {
	w := newWorld(t, 6)
	h := w.home(t.TempDir(), 1)
	h.mkroot()
	h.start()
	data := noise(1, 12<<20)
	f := h.create("f")
	h.write(f, data)
	h.sync()
	one := h.x.LastRev()
	used := w.used()
	data2 := slices.Clone(data)
	copy(data2[5<<20:], "changed")
	h.write(f, data2)
	h.sync()
	if grown := w.used() - used; grown > 8<<20 {
		t.Errorf("a small change cost %d bytes", grown)
	}
	used = w.used()
	h.write(h.create("copy"), data)
	h.sync()
	if grown := w.used() - used; grown > 64<<10 {
		t.Errorf("a second copy cost %d bytes", grown)
	}
	two := h.x.LastRev()
	short := data2[:3<<20+17]
	h.write(f, short)
	h.sync()
	sparse := make([]byte, 9<<20)
	copy(sparse, "head")
	copy(sparse[8<<20:], noise(5, 1<<20))
	h.write(f, sparse)
	h.sync()
	h.rename("copy", "f")
	h.sync()

	r, _, _ := w.recover(2)
	for _, x := range []*home{h, r} {
		sameTree(t, x.tree(one), map[string]string{"f": string(data)})
		sameTree(t, x.tree(two), map[string]string{"f": string(data2), "copy": string(data)})
		sameTree(t, x.tree(model.MaxRev), map[string]string{"f": string(data)})
	}
	var sizes []int64
	if err := r.x.InodeRevs(f, func(n model.Inode) bool {
		got := r.read(&n)
		switch len(got) {
		case len(sparse):
			if !bytes.Equal(got, sparse) {
				t.Error("the sparse revision is wrong")
			}
		case len(short):
			if !bytes.Equal(got, short) {
				t.Error("the short revision is wrong")
			}
		}
		sizes = append(sizes, n.Size)
		return true
	}); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(sizes, int64(len(short))) || !slices.Contains(sizes, int64(len(sparse))) {
		t.Errorf("revisions of sizes %v", sizes)
	}
	r.close()
	h.close()
}

func (w *world) used() (n int64) {
	for _, s := range w.stores {
		u, err := s.Usage(context.Background())
		if err != nil {
			w.t.Fatal(err)
		}
		n += u.Used
	}
	return n
}

// Deleted contents go from the providers once no revision names them; what is left reads.
func TestGarbage(t *testing.T) {
	w := newWorld(t, 6)
	clock := newFakeClock()
	w.clock = clock
	h := w.home(t.TempDir(), 1)
	h.mkroot()
	e := h.start()
	for i := range 10 {
		h.write(h.create(fmt.Sprint("f", i)), noise(uint64(i), 4<<20))
	}
	h.sync()
	used := w.used()
	for i := range 9 {
		h.remove(fmt.Sprint("f", i))
	}
	h.sync()
	if _, err := e.Collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if h.w.used() < used {
		t.Error("something went though revisions name it")
	}
	clock.advance(time.Hour)
	if _, err := h.x.Prune(t.Context(), func(_, _ model.Rev) bool { return false }, false); err != nil {
		t.Fatal(err)
	}
	freed, err := e.Collect(t.Context())
	if err != nil || freed < 40<<20 {
		t.Fatalf("freed %d, %v", freed, err)
	}
	clock.advance(time.Hour)
	h.heal()
	if now := w.used(); now > used/4 {
		t.Errorf("%d of %d bytes are left", now, used)
	}
	want := map[string]string{"f9": string(noise(9, 4<<20))}
	sameTree(t, h.tree(model.MaxRev), want)
	r, _, _ := w.recover(2)
	sameTree(t, r.tree(model.MaxRev), want)
	r.close()
	h.close()
}
