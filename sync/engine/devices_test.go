package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudcoin/cloudcoin/sync/model"
	"github.com/cloudcoin/cloudcoin/sync/oplog"
	"github.com/cloudcoin/cloudcoin/sync/transfer"
	"github.com/cloudcoin/cloudcoin/sync/transfer/memshards"
)

func TestJudge(t *testing.T) {
	own := &oplog.Head{Device: model.DeviceID{1}, Counter: 5, Parents: []oplog.Parent{{Device: model.DeviceID{2}, Counter: 9}}}
	hash := oplog.Hash{1}
	for _, c := range []struct {
		name   string
		device byte
		n      uint64
		hash   oplog.Hash
		want   verdict
	}{
		{"its own", 1, 5, hash, inOrder},
		{"an older one of its own", 1, 3, oplog.Hash{7}, inOrder},
		{"a newer one of its own", 1, 6, oplog.Hash{7}, copied},
		{"another of the same counter", 1, 5, oplog.Hash{7}, copied},
		{"its parent", 2, 9, oplog.Hash{7}, inOrder},
		{"what its parent wrote since", 2, 10, oplog.Hash{7}, overtook},
		{"a stranger", 3, 1, oplog.Hash{7}, overtook},
	} {
		if got := judge(own, hash, &oplog.Head{Device: model.DeviceID{c.device}, Counter: c.n}, c.hash); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

// A recovered device goes on where the lost one stopped; the lost one, when it lives on, sees it and turns read-only.
func TestRecoveredDeviceGoesOn(t *testing.T) {
	w := newWorld(t, 6)
	old := w.home(t.TempDir(), 1)
	old.mkroot()
	old.start()
	old.write(old.create("a"), noise(1, 5000))
	old.sync()
	old.stop()
	old.stop = func() {}

	r, rec, _ := w.recover(2)
	if len(rec.Warnings) != 0 {
		t.Errorf("warnings %v", rec.Warnings)
	}
	r.start()
	r.write(r.create("b"), noise(2, 5000))
	r.sync()
	want := map[string]string{"a": string(noise(1, 5000)), "b": string(noise(2, 5000))}
	third, rec, _ := w.recover(3)
	if rec.Head.Device != r.dev {
		t.Errorf("recovered from device %s", rec.Head.Device)
	}
	sameTree(t, third.tree(model.MaxRev), want)
	if got := r.e.DeviceOf(r.x.LastRev()); got != r.dev {
		t.Errorf("the newest revision is %s's", got)
	}
	third.close()

	old.start()
	select {
	case why := <-old.ro:
		if !strings.Contains(why, r.dev.String()) {
			t.Errorf("reason: %s", why)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the old device doesn't notice")
	}
	old.write(old.create("late"), noise(3, 100))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := old.e.Sync(ctx); !errors.Is(err, ErrReadOnly) {
		t.Errorf("sync of a read-only device: %v", err)
	}
	old.close()
	r.close()
}

// A copy of a HOME notices that the original went on, becomes a device of its own and publishes nothing.
func TestCopiedHome(t *testing.T) {
	w := newWorld(t, 6)
	h := w.home(t.TempDir(), 1)
	h.mkroot()
	h.start()
	h.write(h.create("a"), noise(1, 5000))
	h.sync()
	h.close()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(h.dir)); err != nil {
		t.Fatal(err)
	}
	h.open()
	h.start()
	h.write(h.create("b"), noise(2, 5000))
	h.sync()

	c := w.home(dir, 1)
	asked := false
	c.start(func(cfg *Config) {
		cfg.NewDevice = func(context.Context) (model.DeviceID, error) { asked = true; return model.DeviceID{9}, nil }
	})
	select {
	case <-c.ro:
	case <-time.After(10 * time.Second):
		t.Fatal("the copy doesn't notice")
	}
	if c.e.Device() != (model.DeviceID{9}) || !asked {
		t.Errorf("the copy is device %s", c.e.Device())
	}
	c.close()
	h.sync()
	r, _, _ := w.recover(4)
	sameTree(t, r.tree(model.MaxRev), map[string]string{"a": string(noise(1, 5000)), "b": string(noise(2, 5000))})
	r.close()
	h.close()
}

// oldSlots answers with the slots of long ago once it is told to.
type oldSlots struct {
	*memshards.Store
	past map[string]transfer.Slot
}

func (o *oldSlots) GetSlot(ctx context.Context, name string) (transfer.Slot, error) {
	if s, ok := o.past[name]; ok {
		return s, nil
	}
	return o.Store.GetSlot(ctx, name)
}

// A provider that rolls back is named, and neither this device nor a recovery follows it.
func TestRolledBackHead(t *testing.T) {
	w := newWorld(t, 6)
	liar := &oldSlots{Store: w.stores[0]}
	w.wrap = func(i int, s *memshards.Store) transfer.Shards {
		if i == 0 {
			return liar
		}
		return s
	}
	h := w.home(t.TempDir(), 1)
	h.mkroot()
	h.start()
	h.write(h.create("a"), noise(1, 5000))
	h.sync()
	past, err := readSlots(t.Context(), w.stores[0])
	if err != nil {
		t.Fatal(err)
	}
	h.write(h.create("b"), noise(2, 5000))
	h.sync()
	h.close()
	liar.past = past
	h.open()
	h.start()
	h.write(h.create("c"), noise(3, 5000))
	h.sync()
	found := false
	for _, warning := range h.e.Status().Warnings {
		found = found || strings.Contains(warning.Text, "older state")
	}
	if !found {
		t.Errorf("no warning of the rollback: %v", h.e.Status().Warnings)
	}
	r, _, _ := w.recover(2)
	sameTree(t, r.tree(model.MaxRev), map[string]string{"a": string(noise(1, 5000)), "b": string(noise(2, 5000)), "c": string(noise(3, 5000))})
	r.close()
	h.close()
}

// killer lets a number of requests through; then the power is off: all that follow wait until the engine is stopped.
type killer struct {
	*memshards.Store
	left *atomic.Int64
	off  func()
}

func (k *killer) gate(ctx context.Context) error {
	if n := k.left.Add(-1); n == 0 {
		k.off()
	} else if n > 0 {
		return nil
	}
	<-ctx.Done()
	return ctx.Err()
}

func (k *killer) Put(ctx context.Context, id model.ShardID, body []byte) error {
	if err := k.gate(ctx); err != nil {
		return err
	}
	return k.Store.Put(ctx, id, body)
}

func (k *killer) PutSlot(ctx context.Context, name string, s transfer.Slot) error {
	if err := k.gate(ctx); err != nil {
		k.Store.PutSlot(context.Background(), name, s) // it arrived; the answer is lost
		return err
	}
	return k.Store.PutSlot(ctx, name, s)
}

// The engine is stopped after each number of requests in turn, with answers lost, and started again over what it left. Everything ends stored, what is
// found at the providers meanwhile is always a whole state, and the restarted device doesn't take itself for a copy.
func TestKilledAtEveryRequest(t *testing.T) {
	for step := int64(1); step < 60; step += 5 {
		t.Run(fmt.Sprint(step), func(t *testing.T) { killedAt(t, step) })
	}
}

func killedAt(t *testing.T, step int64) {
	w := newWorld(t, 4)
	var left atomic.Int64
	left.Store(1 << 40)
	killed := make(chan struct{}, 1)
	w.wrap = func(_ int, s *memshards.Store) transfer.Shards {
		return &killer{Store: s, left: &left, off: func() { killed <- struct{}{} }}
	}
	h := w.home(t.TempDir(), 1)
	h.mkroot()
	h.start()
	a := h.create("a")
	h.write(a, noise(1, 3000))
	h.sync()
	before := h.tree(model.MaxRev)
	tmp := h.create("tmp")
	h.write(tmp, noise(2, 300_000))
	h.rename("tmp", "a")
	h.write(h.create("b"), noise(3, 4000))
	after := map[string]string{"a": string(noise(2, 300_000)), "b": string(noise(3, 4000))}

	left.Store(step)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- h.e.Sync(ctx) }()
	select {
	case <-killed:
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
		done <- nil
	}
	cancel()
	h.stop()
	<-done
	left.Store(1 << 40)

	r, _, _ := w.recover(2)
	got := r.tree(model.MaxRev)
	if got["a"] != before["a"] && got["a"] != after["a"] {
		t.Errorf("a is neither the old nor the new content: %d bytes", len(got["a"]))
	}
	if b, ok := got["b"]; ok && b != after["b"] {
		t.Errorf("b has %d wrong bytes", len(b))
	}
	r.close()

	h.close()
	h.open()
	h.start()
	h.sync()
	if why := h.e.Status().ReadOnly; why != "" {
		t.Errorf("read-only: %s", why)
	}
	sameTree(t, h.tree(model.MaxRev), after)
	r, _, _ = w.recover(3)
	sameTree(t, r.tree(model.MaxRev), after)
	r.close()
	h.close()
}

// Many publications: heads stay short, checkpoints and folded segments hold all.
func TestLongLogs(t *testing.T) {
	w := newWorld(t, 4)
	h := w.home(t.TempDir(), 1)
	h.mkroot()
	h.start()
	want := map[string]string{}
	f := h.create("f")
	for i := range 90 {
		data := fmt.Sprintf("content %d", i)
		h.write(f, []byte(data))
		want["f"] = data
		if i%10 == 0 {
			name := fmt.Sprintf("g%d", i)
			h.create(name)
			want[name] = ""
		}
		h.sync()
		if i == 60 {
			if _, err := h.e.publish(t.Context(), true); err != nil {
				t.Fatal(err)
			}
		}
	}
	r, rec, _ := w.recover(2)
	sameTree(t, r.tree(model.MaxRev), want)
	if n := len(rec.Head.Segments); n > maxSegments+1 || rec.Head.Checkpoint == nil {
		t.Errorf("the head names %d segments, checkpoint %v", n, rec.Head.Checkpoint != nil)
	}
	revs := func(x *home) (n int) {
		if err := x.x.InodeRevs(f, func(model.Inode) bool { n++; return true }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if a, b := revs(h), revs(r); a != b || a < 90 {
		t.Errorf("%d revisions, %d recovered", a, b)
	}
	r.close()
	h.close()
}
