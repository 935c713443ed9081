package index

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cloudcoin/cloudcoin/sync/journal"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

func TestMain(m *testing.M) { runTests(m) }

// bench is an index over a journal, with a clock that stands still unless told.
type rig struct {
	t   testing.TB
	dir string
	j   *journal.Journal
	x   *Index
	now time.Time
}

var network = "local"

func fixedClock() time.Time { return epoch }

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func newRig(t testing.TB) *rig {
	r := &rig{t: t, dir: t.TempDir(), now: epoch}
	r.open()
	t.Cleanup(func() { _ = r.x.Close(); _ = r.j.Close() }) // tests that care close themselves
	return r
}

func (r *rig) open() {
	r.t.Helper()
	var err error
	if r.j, r.x, err = openAt(r.dir, func() time.Time { return r.now }); err != nil {
		r.t.Fatal(err)
	}
}

// openAt is what a drive does at start.
func openAt(dir string, clock func() time.Time) (*journal.Journal, *Index, error) {
	j, err := journal.Open(filepath.Join(dir, "journal"), journal.Options{SegmentSize: 1 << 20, BootID: "boot"})
	if err != nil {
		return nil, nil, err
	}
	x, err := Open(filepath.Join(dir, "index"), j, Options{HashKey: [32]byte{1}, DevicePart: 7, Clock: clock, Network: network})
	if err != nil {
		return nil, nil, errors.Join(err, j.Close())
	}
	if err = j.Replay(func(r journal.Record) error { return x.ReplayRecord(r) }); err == nil {
		err = x.Ready()
	}
	if err != nil {
		return nil, nil, errors.Join(err, x.Close(), j.Close())
	}
	return j, x, nil
}

// kill forgets everything that a killed process would, and opens again.
func (r *rig) kill() {
	r.t.Helper()
	if err := r.x.Close(); err != nil {
		r.t.Fatal(err)
	}
	if err := r.j.Close(); err != nil {
		r.t.Fatal(err)
	}
	r.open()
}

func (r *rig) commit(fn func(b *Batch)) model.Rev {
	r.t.Helper()
	r.now = r.now.Add(time.Millisecond)
	b := r.x.Begin()
	fn(b)
	rev, err := b.Commit()
	if err != nil {
		r.t.Fatal(err)
	}
	return rev
}

func file(ino model.Ino, name string, size int64) *model.Inode {
	return &model.Inode{
		Ino: ino, Mode: model.TypeRegular | 0o644, Nlink: 1, UID: 1000, GID: 1000, Size: size, Parent: model.RootIno, Name: name,
		Mtime: epoch.UnixNano(), Ctime: epoch.UnixNano() + 5, Atime: epoch.UnixNano(), Btime: epoch.UnixNano() - 9,
	}
}

func staged(n *model.Inode, version uint64) *model.Inode {
	n.Content = model.Content{Kind: model.ContentStaged, Version: version}
	return n
}

func TestCommitAndRead(t *testing.T) {
	r := newRig(t)
	ino, err := r.x.NextIno()
	if err != nil {
		t.Fatal(err)
	}
	n := staged(file(ino, "a", 5), 1)
	rev := r.commit(func(b *Batch) {
		b.PutInode(n)
		b.PutDirent(model.RootIno, "a", ino, model.TypeRegular)
		b.SetXattr(ino, "user.x", []byte{0, 1})
	})
	check := func() {
		t.Helper()
		got, err := r.x.Now().Inode(ino)
		want := *n
		want.Rev = rev
		if err != nil || got != want {
			t.Fatalf("%+v %v, want %+v", got, err, want)
		}
		d, err := r.x.Now().Lookup(model.RootIno, "a")
		if err != nil || d.Ino != ino || d.Type != model.TypeRegular || d.Rev != rev {
			t.Fatalf("%+v %v", d, err)
		}
		if _, err := r.x.At(rev-1).Lookup(model.RootIno, "a"); !errors.Is(err, ErrNotFound) {
			t.Fatal(err)
		}
		v, err := r.x.Now().Xattr(ino, "user.x")
		if err != nil || string(v) != "\x00\x01" {
			t.Fatal(v, err)
		}
		s := r.x.Stats()
		if s != (Stats{Inodes: 1, Files: 1, Bytes: 5, StagedFiles: 1, StagedBytes: 5, Outbox: 1}) {
			t.Fatalf("%+v", s)
		}
	}
	check()
	r.x.inodes.clear()
	r.x.dirents.clear()
	check()
	r.kill()
	check()
	if _, err := r.x.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	check()
	r.kill()
	check()
	if next, err := r.x.NextIno(); err != nil || next <= ino {
		t.Fatal("inode number", next, "after", ino, err)
	}
}

func TestFolding(t *testing.T) {
	r := newRig(t)
	revs := func() (out []model.Rev) {
		if err := r.x.InodeRevs(10, func(n model.Inode) bool { out = append(out, n.Rev); return true }); err != nil {
			t.Fatal(err)
		}
		return out
	}
	put := func(v uint64) model.Rev {
		return r.commit(func(b *Batch) { b.PutInode(staged(file(10, "f", int64(v)), v)) })
	}
	put(1)
	second := put(2) // folds the first
	r.commit(func(b *Batch) { b.Settle(10) })
	put(3)
	fourth := put(4) // folds the third
	if got := revs(); len(got) != 2 || got[0] != fourth || got[1] != second {
		t.Fatal(got, fourth, second)
	}
	var groups []Group
	if err := r.x.Outbox(0, func(g Group) bool { groups = append(groups, g); return true }); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, g := range groups {
		recs, err := r.x.Records(g)
		if err != nil {
			t.Fatal(err)
		}
		n += len(recs)
	}
	if len(groups) != 4 || n != 2 {
		t.Fatal(len(groups), n)
	}
	r.commit(func(b *Batch) { b.Published(fourth) })
	fifth := put(5)
	if got := revs(); len(got) != 3 || got[0] != fifth {
		t.Fatal("a published revision was folded:", got)
	}
	var list []string
	if err := r.x.Staged(func(ino model.Ino, rev model.Rev, v uint64) bool {
		list = append(list, fmt.Sprint(v))
		return true
	}); err != nil || fmt.Sprint(list) != "[2 4 5]" {
		t.Fatal(list, err)
	}
	r.commit(func(b *Batch) { b.SetContent(10, fourth, model.Content{Kind: model.ContentStored, Rev: 77}) })
	old, err := r.x.At(fourth).Inode(10)
	if err != nil || old.Content.Kind != model.ContentStored || old.Content.Rev != 77 {
		t.Fatal(old, err)
	}
	r.commit(func(b *Batch) { b.ForgetInode(10) })
	if got := revs(); len(got) != 0 || r.x.Stats().Files != 0 || r.x.Stats().StagedBytes != 0 {
		t.Fatal(got, r.x.Stats())
	}
}

func TestUnseenNameLeavesNoTrace(t *testing.T) {
	r := newRig(t)
	r.commit(func(b *Batch) {
		b.PutInode(staged(file(10, "tmp", 1), 1))
		b.PutDirent(1, "tmp", 10, model.TypeRegular)
	})
	r.commit(func(b *Batch) { b.RemoveDirent(1, "tmp"); b.PutDirent(1, "f", 10, model.TypeRegular) })
	n := 0
	if err := r.x.DirentRevs(1, "tmp", func(model.Dirent) bool { n++; return true }); err != nil || n != 0 {
		t.Fatal(n, err)
	}
	if _, err := r.x.Now().Lookup(1, "tmp"); !errors.Is(err, ErrNotFound) {
		t.Fatal(err)
	}
	r.commit(func(b *Batch) { b.Settle(10) })
	r.commit(func(b *Batch) { b.RemoveDirent(1, "f") })
	if err := r.x.DirentRevs(1, "f", func(model.Dirent) bool { n++; return true }); err != nil || n != 2 {
		t.Fatal("the name of what rested is history:", n, err)
	}
}

func verify(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("rapid.checks"); f != nil && f.Value.String() == f.DefValue {
		if err := f.Value.Set("25"); err != nil { // -rapid.checks asks for more
			panic(err)
		}
	}
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/syndtr/goleveldb/leveldb.(*DB).mpoolDrain"))
}

func TestSyncMakesDurable(t *testing.T) {
	r := newRig(t)
	r.commit(func(b *Batch) { b.PutMeta("k", []byte("v")) })
	if err := r.x.Sync(context.Background()); err != nil || r.j.Durable() != r.j.End() {
		t.Fatal(err)
	}
}
