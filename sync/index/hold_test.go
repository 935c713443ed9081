package index

import (
	"errors"
	"testing"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

// TestHold: what may be being published stays, what waits for its content goes on to be folded and forgotten.
func TestHold(t *testing.T) {
	r := newRig(t)
	put := func(ino model.Ino, name string, isStaged bool) model.Rev {
		n := file(ino, name, 5)
		if isStaged {
			staged(n, 1)
		}
		return r.commit(func(b *Batch) {
			b.PutInode(n)
			b.PutDirent(model.RootIno, name, ino, model.TypeRegular)
		})
	}
	there := func(ino model.Ino, rev model.Rev) bool {
		n, err := r.x.At(rev).Inode(ino)
		if err != nil && !errors.Is(err, ErrNotFound) {
			t.Fatal(err)
		}
		return err == nil && n.Rev == rev
	}
	empty, waiting := put(10, "empty", false), put(11, "waiting", true)
	again := put(12, "again", true)
	r.x.Hold(r.x.LastRev())
	for ino, want := range map[model.Ino]bool{10: false, 11: true} {
		if unseen, err := r.x.Unseen(ino); err != nil || unseen != want {
			t.Errorf("inode %d: unseen %v %v, want %v", ino, unseen, err, want)
		}
	}
	r.commit(func(b *Batch) { b.PutInode(file(10, "empty", 7)) })
	r.commit(func(b *Batch) { b.PutInode(staged(file(12, "again", 7), 1)) })
	r.commit(func(b *Batch) {
		b.RemoveDirent(model.RootIno, "waiting")
		b.ForgetInode(11)
	})
	r.x.Hold(0)
	if !there(10, empty) {
		t.Error("a record that may be being published was folded away")
	}
	if there(11, waiting) || there(12, again) {
		t.Error("a record whose content waits was kept, and waits for ever")
	}
	names := 0
	if err := r.x.ReadDirAll(model.RootIno, func(model.Dirent) bool { names++; return true }); err != nil || names != 2 {
		t.Error("names ever:", names, err)
	}
	waits := 0
	if err := r.x.Staged(func(model.Ino, model.Rev, uint64) bool { waits++; return true }); err != nil || waits != 1 {
		t.Error("contents that wait:", waits, err)
	}
}
