package engine

import (
	"context"
	"strings"
	"testing"

	"github.com/cloudcoin/cloudcoin/sync/model"
	"github.com/cloudcoin/cloudcoin/sync/oplog"
	"github.com/cloudcoin/cloudcoin/sync/transfer"
)

// When a piece of the best head is gone the next one is recovered, and it is said; not while a lease is silent, which may have the piece.
func TestRecoverTakesTheNextHead(t *testing.T) {
	w := newWorld(t, 6)
	old := w.home(t.TempDir(), 1)
	defer old.close()
	old.mkroot()
	old.start()
	old.write(old.create("a"), noise(1, 5000))
	old.sync()
	old.stop()
	heir, _, _ := w.recover(2)
	defer heir.close()
	heir.start()
	heir.write(heir.create("b"), noise(2, 5000))
	heir.sync()
	segs := heir.e.log.head.Segments
	newest := &segs[len(segs)-1].Blob
	heir.stop()
	for _, s := range blobShards(newest) {
		if err := w.stores[s.Lease[0]-1].Delete(t.Context(), []model.ShardID{s.ID}); err != nil {
			t.Fatal(err)
		}
	}

	h, rec, found := w.recover(3)
	defer h.close()
	if rec.Head.Device != old.dev || !strings.Contains(strings.Join(rec.Warnings, "\n"), "can't be read") {
		t.Errorf("recovered from device %s; warnings %v", rec.Head.Device, rec.Warnings)
	}
	sameTree(t, h.tree(model.MaxRev), map[string]string{"a": string(noise(1, 5000))})

	found.Unreachable = []Unreachable{{Lease: transfer.LeaseInfo{}, Err: context.DeadlineExceeded}}
	other := w.home(t.TempDir(), 4)
	defer other.close()
	if rec, err := Recover(t.Context(), w.keys, other.pool, other.x, found, other.dev, nil); err == nil {
		t.Errorf("recovered from device %s though a lease that is silent may have the newest state", rec.Head.Device)
	}
}

// An older head that the newest one of its device doesn't continue is told of; one that lies behind isn't.
func TestForksAreTold(t *testing.T) {
	dev := model.DeviceID{1}
	slot := func(n uint64, hash, prev byte, rev model.Rev) FoundSlot {
		return FoundSlot{Head: &oplog.Head{Device: dev, Counter: n, Prev: oplog.Hash{prev}, Published: rev}, Hash: oplog.Hash{hash}}
	}
	for name, c := range map[string]struct {
		slots []FoundSlot
		want  int
	}{
		"behind":          {[]FoundSlot{slot(7, 7, 6, 70), slot(6, 6, 5, 60), slot(3, 3, 2, 30), slot(7, 7, 6, 70)}, 0},
		"other before":    {[]FoundSlot{slot(7, 7, 6, 70), slot(6, 66, 5, 60)}, 1},
		"later published": {[]FoundSlot{slot(7, 7, 6, 70), slot(3, 3, 2, 90)}, 1},
		"two old ones":    {[]FoundSlot{slot(7, 7, 6, 70), slot(3, 3, 2, 30), slot(3, 33, 2, 30)}, 1},
		"two newest":      {[]FoundSlot{slot(7, 7, 6, 70), slot(7, 77, 6, 70)}, 1},
	} {
		f := Found{Slots: c.slots}
		if f.choose(); len(f.Warnings) != c.want {
			t.Errorf("%s: %q", name, f.Warnings)
		}
	}
}
