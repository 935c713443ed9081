package index

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

// A disk without room for another segment: the commit fails whole, nothing of it is seen, and with room it goes on.
func TestFullDisk(t *testing.T) {
	r := newRig(t)
	blocked := filepath.Join(r.dir, "journal", "segment-0000000000000002")
	if err := os.Mkdir(blocked, 0o700); err != nil {
		t.Fatal(err)
	}
	i := 0
	var err error
	for ; err == nil; i++ {
		b := r.x.Begin()
		b.PutInode(file(model.Ino(100+i), "f", 1))
		b.PutMeta("pad", make([]byte, 50_000))
		_, err = b.Commit()
	}
	i--
	if _, err := r.x.Now().Inode(model.Ino(100 + i)); !errors.Is(err, ErrNotFound) {
		t.Fatal("half of a failed commit is seen:", err)
	}
	// A batch of several records, of which the first would still fit, leaves nothing either.
	b := r.x.Begin()
	b.PutMeta("big", make([]byte, 3<<20))
	if _, err := b.Commit(); err == nil {
		t.Fatal("a batch that doesn't fit was committed")
	}
	if s := r.x.Stats(); s.Files != int64(i) {
		t.Fatal(s.Files, i)
	}
	if err := os.Remove(blocked); err != nil {
		t.Fatal(err)
	}
	r.commit(func(b *Batch) { b.PutInode(file(5, "g", 1)); b.PutMeta("big", make([]byte, 3<<20)) })
	r.kill()
	if _, err := r.x.Now().Inode(5); err != nil {
		t.Fatal(err)
	}
	if v, err := r.x.Meta("big"); err != nil || len(v) != 3<<20 {
		t.Fatal(len(v), err)
	}
	if s := r.x.Stats(); s.Files != int64(i+1) {
		t.Fatal(s.Files, i+1)
	}
}

// Readers beside writers see each commit that returned, never an older state.
func TestReadersSeeWhatWasCommitted(t *testing.T) {
	r := newRig(t)
	r.x.opt.Clock = fixedClock
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			ino := model.Ino(100 + g)
			name := fmt.Sprint("n", g)
			for i := range 200 {
				b := r.x.Begin()
				b.PutInode(staged(file(ino, name, int64(i)), uint64(i+1)))
				b.PutDirent(1, name, model.Ino(1000+i), model.TypeRegular)
				if _, err := b.Commit(); err != nil {
					t.Error(err)
					return
				}
				n, err := r.x.Now().Inode(ino)
				d, err2 := r.x.Now().Lookup(1, name)
				if err != nil || err2 != nil || n.Size != int64(i) || d.Ino != model.Ino(1000+i) {
					t.Errorf("after commit %d: %+v %v %+v %v", i, n, err, d, err2)
					return
				}
				if i%20 == g {
					r.x.inodes.clear()
					r.x.dirents.clear()
				}
			}
		})
		wg.Go(func() {
			last := int64(-1)
			for range 400 {
				n, err := r.x.Now().Inode(model.Ino(100 + g))
				if err == nil && n.Size < last {
					t.Errorf("read %d after %d", n.Size, last)
					return
				}
				if err == nil {
					last = n.Size
				}
			}
		})
	}
	wg.Wait()
	if s := r.x.Stats(); s.Files != 4 || s.Bytes != 4*199 {
		t.Fatalf("%+v", s)
	}
}

func TestNetworkIsRemembered(t *testing.T) {
	r := newRig(t)
	if err := errors.Join(r.x.Close(), r.j.Close()); err != nil {
		t.Fatal(err)
	}
	network = "signet"
	defer func() { network = "local" }()
	if _, _, err := openAt(r.dir, fixedClock); !errors.Is(err, ErrNetwork) {
		t.Fatal(err)
	}
}

func TestBadNamesAreRefused(t *testing.T) {
	r := newRig(t)
	for _, name := range []string{"", "a/b", "a\x00", string(make([]byte, 256))} {
		b := r.x.Begin()
		b.PutDirent(1, name, 5, model.TypeRegular)
		if _, err := b.Commit(); !errors.Is(err, ErrBadName) {
			t.Errorf("%q: %v", name, err)
		}
	}
	b := r.x.Begin()
	if _, err := b.Commit(); err != nil {
		t.Fatal("an empty batch:", err)
	}
	if _, err := b.Commit(); err == nil {
		t.Fatal("a batch was committed twice")
	}
}
