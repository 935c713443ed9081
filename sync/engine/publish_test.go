package engine

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudcoin/cloudcoin/sync/index"
	"github.com/cloudcoin/cloudcoin/sync/model"
	"github.com/cloudcoin/cloudcoin/sync/oplog"
	"github.com/cloudcoin/cloudcoin/sync/transfer"
	"github.com/cloudcoin/cloudcoin/sync/transfer/memshards"
)

var errRefused = errors.New("refused")

// refuser takes no slot while it is told so.
type refuser struct {
	*memshards.Store
	slots *atomic.Bool
}

func (r *refuser) PutSlot(ctx context.Context, name string, s transfer.Slot) error {
	if r.slots.Load() {
		return errRefused
	}
	return r.Store.PutSlot(ctx, name, s)
}

// refusing is a world whose leases take no slots while the flag is set, with a home that has published one file and an engine that doesn't run.
func refusing(t *testing.T) (*world, *home, *Engine, *atomic.Bool) {
	w := newWorld(t, 6)
	var refuse atomic.Bool
	w.wrap = func(_ int, s *memshards.Store) transfer.Shards { return &refuser{s, &refuse} }
	h := w.home(t.TempDir(), 1)
	h.mkroot()
	h.start()
	h.write(h.create("f"), noise(1, 1000))
	h.sync()
	e := h.e
	h.stop()
	return w, h, e, &refuse
}

func (w *world) shards() (n int) {
	w.t.Helper()
	for _, s := range w.stores {
		for after := (model.ShardID{}); ; {
			ids, err := s.List(w.t.Context(), after)
			if err != nil {
				w.t.Fatal(err)
			}
			if len(ids) == 0 {
				break
			}
			n, after = n+len(ids), ids[len(ids)-1]
		}
	}
	return n
}

func (h *home) outbox() (n int) {
	h.w.t.Helper()
	if err := h.x.Outbox(0, func(index.Group) bool { n++; return true }); err != nil {
		h.w.t.Fatal(err)
	}
	return n
}

// While the leases don't take the newest head nothing is written anew; when they do, it is the one that they get.
func TestHeadThatIsRefusedIsSentAgain(t *testing.T) {
	w, h, e, refuse := refusing(t)
	defer h.close()
	h.create("g")
	refuse.Store(true)
	if _, err := e.publish(t.Context(), false); !errors.Is(err, errRefused) {
		t.Fatal(err)
	}
	counter, trash, shards := e.log.head.Counter, len(e.log.local.Trash), w.shards()
	for range 3 {
		if _, err := e.publish(t.Context(), false); !errors.Is(err, errRefused) {
			t.Fatal(err)
		}
	}
	if e.log.head.Counter != counter || len(e.log.local.Trash) != trash || w.shards() != shards {
		t.Errorf("head %d after %d, %d pieces of trash after %d, %d shards after %d", e.log.head.Counter, counter, len(e.log.local.Trash), trash, w.shards(), shards)
	}
	if h.outbox() == 0 {
		t.Error("the outbox is empty before the head counts")
	}
	refuse.Store(false)
	if _, err := e.publish(t.Context(), false); err != nil || e.log.head.Counter != counter || h.outbox() != 0 || !e.log.settled() {
		t.Errorf("%v: head %d after %d, outbox %d", err, e.log.head.Counter, counter, h.outbox())
	}
	r, _, _ := w.recover(2)
	defer r.close()
	sameTree(t, r.tree(model.MaxRev), map[string]string{"f": string(noise(1, 1000)), "g": ""})
}

// A head that only says that a piece of the log has moved takes over what the refused one before it names.
func TestMovedPieceSettlesTheHeadBefore(t *testing.T) {
	_, h, e, refuse := refusing(t)
	defer h.close()
	h.create("g")
	refuse.Store(true)
	if _, err := e.publish(t.Context(), false); !errors.Is(err, errRefused) {
		t.Fatal(err)
	}
	refuse.Store(false)
	if err := e.publishHead(t.Context(), e.log.head, nil, false); err != nil || h.outbox() != 0 || !e.log.settled() {
		t.Errorf("%v: outbox %d", err, h.outbox())
	}
}

// After a restart it isn't known what the refused head names: no other head settles it before all of it is published again.
func TestRefusedHeadOverARestart(t *testing.T) {
	w, h, e, refuse := refusing(t)
	defer h.close()
	h.create("g")
	refuse.Store(true)
	if _, err := e.publish(t.Context(), false); !errors.Is(err, errRefused) {
		t.Fatal(err)
	}
	e, err := New(Config{Index: h.x, Pool: h.pool, Keys: w.keys, Device: h.dev, Files: h.c, Contents: h.c, Clock: w.clock})
	if err != nil {
		t.Fatal(err)
	}
	refuse.Store(false)
	if err := e.publishHead(t.Context(), e.log.head, nil, false); err != nil || e.log.settled() || h.outbox() == 0 {
		t.Errorf("%v: settled %v with %d groups in the outbox", err, e.log.settled(), h.outbox())
	}
	if _, err := e.publish(t.Context(), false); err != nil || !e.log.settled() || h.outbox() != 0 {
		t.Errorf("%v: settled %v with %d groups in the outbox", err, e.log.settled(), h.outbox())
	}
}

// A segment whose head is never written leaves nothing at the leases.
func TestFailedPublicationLeavesNothing(t *testing.T) {
	w, h, e, _ := refusing(t)
	defer h.close()
	h.create("g")
	before := w.shards()
	e.log.head.Segments[0].Blob = oplog.Blob{Size: 1000} // it can't be read, so nothing can be folded
	for len(e.log.head.Segments) <= maxSegments {
		e.log.head.Segments = append(e.log.head.Segments, e.log.head.Segments[0])
	}
	if _, err := e.publish(t.Context(), false); err == nil {
		t.Fatal("a segment was folded that can't be read")
	}
	if n := w.shards(); n != before {
		t.Errorf("%d shards after %d", n, before)
	}
}

// A content that is stored stays on this machine until a head that is on enough leases says where it is, also over a restart.
func TestStoredStaysUntilPublished(t *testing.T) {
	w, h, _, refuse := refusing(t)
	defer h.close()
	refuse.Store(true)
	e := h.start()
	ino := h.create("g")
	h.write(ino, noise(2, 1000))
	stored := h.c.stored(ino)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	go e.Sync(ctx) // so that it is sent at once
	select {
	case <-stored:
	case <-ctx.Done():
		t.Fatal("the content isn't stored")
	}
	if !e.Unpublished(ino) {
		t.Error("nothing keeps the content here though no head names it")
	}
	cancel()
	h.stop()
	e, err := New(Config{Index: h.x, Pool: h.pool, Keys: w.keys, Device: h.dev, Files: h.c, Contents: h.c, Clock: w.clock})
	if err != nil {
		t.Fatal(err)
	}
	if got := e.UnpublishedInos(); len(got) != 1 || got[0] != ino || !e.Unpublished(ino) {
		t.Errorf("after a restart %v is kept, not inode %d", got, ino)
	}
	refuse.Store(false)
	if _, err := e.publish(t.Context(), false); err != nil || e.Unpublished(ino) {
		t.Errorf("%v: still kept when a head names it", err)
	}
}
