package vfs_test

import (
	"errors"
	"sync"
	"syscall"
	"testing"

	"github.com/cloudcoin/cloudcoin/fs/vfs"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// kernel notes what it is told to forget.
type kernel struct {
	mu    sync.Mutex
	names []string
}

func (k *kernel) InvalEntry(_ vfs.NodeID, name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.names = append(k.names, name)
}
func (k *kernel) InvalInode(vfs.NodeID, int64, int64) {}

func (d *drive) revert(path string, rev model.Rev) {
	d.t.Helper()
	check(d.t, d.fs.Revert(bg, path, rev))
}

// TestRevert brings things back when all is stored, when nothing is, and when only the old state is.
func TestRevert(t *testing.T) {
	for _, stored := range []string{"none", "old", "all"} {
		for name, c := range reverts {
			t.Run(stored+"/"+name, func(t *testing.T) { testRevert(t, stored, c[0], c[1], c[2]) })
		}
	}
}

var reverts = map[string][3]string{
	"overwritten file":    {"write /f old\nchmod /f 640\nsetx /f user.a then", "write /f new_and_longer\nchmod /f 600\nsetx /f user.b now", "/f"},
	"shortened file":      {"write /f long_content", "truncate /f 2", "/f"},
	"deleted file":        {"mkdir /d\nwrite /d/f old", "unlink /d/f", "/d/f"},
	"deleted with folder": {"mkdir /d\nwrite /d/f old", "unlink /d/f\nrmdir /d", "/d/f"},
	"renamed file":        {"write /f old", "rename /f /g\nwrite /g other", "/f"},
	"replaced file":       {"write /f old\nwrite /tmp new", "rename /tmp /f", "/f"},
	"file become folder":  {"write /f old", "unlink /f\nmkdir /f\nwrite /f/x y", "/f"},
	"folder become file":  {"mkdir /f\nwrite /f/x y", "unlink /f/x\nrmdir /f\nwrite /f z", "/f"},
	"deleted folder":      {"mkdir /d 750\nmkdir /d/e\nwrite /d/e/f old\nsymlink /d/l e\nwrite /d/g other", "unlink /d/e/f\nrmdir /d/e\nunlink /d/l\nunlink /d/g\nrmdir /d", "/d"},
	"renamed folder":      {"mkdir /d\nwrite /d/f old", "rename /d /e\nwrite /e/f changed", "/d"},
	"changed folder":      {"mkdir /d\nwrite /d/f old\nwrite /d/same same\nmkdir /d/sub", "write /d/f new\nwrite /d/more more\nmkdir /d/made\nwrite /d/made/x y\nrmdir /d/sub", "/d"},
	"the root":            {"mkdir /d\nwrite /d/f old", "write /d/f new\nwrite /g g", "/"},
	"metadata only":       {"write /f same\nutimes /f 5 6", "chmod /f 111\nutimes /f 7 8", "/f"},
	"empty file":          {"create /f", "write /f filled", "/f"},
	"sparse file":         {"write /f x\ntruncate /f 100000", "write /f y", "/f"},
}

func testRevert(t *testing.T, stored, before, after, path string) {
	d := newDrive(t, nil)
	k := &kernel{}
	d.fs.SetKernel(k)
	run(t, d, before+"\nwait")
	if stored != "none" {
		check(t, d.fs.SyncAll(bg))
		d.uploadAll()
	}
	then := d.x.LastRev()
	was := d.tellPath(path)
	run(t, d, after+"\nwait")
	if stored == "all" {
		check(t, d.fs.SyncAll(bg))
		d.uploadAll()
	}
	undone := d.x.LastRev()
	now := d.tellAt(undone, path)
	d.revert(path, then)
	if got := d.tellPath(path); got != was {
		t.Fatalf("got\n%swant\n%s", got, was)
	}
	if got := d.tellAt(undone, path); got != now {
		t.Fatalf("what was undone is\n%swas\n%s", got, now)
	}
	d.crash()
	check(t, d.fs.SyncAll(bg))
	d.uploadAll()
	d.st.Evict(1 << 40)
	if got := d.tellPath(path); got != was {
		t.Fatalf("once stored\n%swant\n%s", got, was)
	}
	d.revert(path, then) // again: nothing changes
	if got := d.tellPath(path); got != was {
		t.Fatalf("the second time\n%swant\n%s", got, was)
	}
}

// tellPath writes out what can be seen of a path.
func (d *drive) tellPath(path string) string {
	d.t.Helper()
	a := d.stat(path)
	s := &script{drive: d}
	out := path + " "
	for _, op := range []string{"mode", "owner", "nlink"} {
		v, errno := s.do([]string{op, path})
		ok(d.t, errno)
		out += op + " " + v + " "
	}
	n, errno := d.node(path)
	ok(d.t, errno)
	names, errno := d.fs.ListXattr(bg, vfs.Caller{}, n)
	ok(d.t, errno)
	for _, x := range names {
		v, errno := d.fs.GetXattr(bg, vfs.Caller{}, n, x)
		ok(d.t, errno)
		out += x + "=" + string(v) + " "
	}
	switch a.Mode & model.TypeMask {
	case model.TypeRegular:
		v, errno := s.do([]string{"times", path})
		ok(d.t, errno)
		return out + v + " " + d.read(path) + "\n"
	case model.TypeSymlink:
		v, _ := s.do([]string{"readlink", path})
		return out + v + "\n"
	}
	list, _ := s.do([]string{"ls", path})
	out += list + "\n"
	for _, name := range fields(list) {
		out += d.tellPath(trimSlash(path) + "/" + name)
	}
	return out
}

// tellAt is tellPath as of a revision; "" when there was nothing.
func (d *drive) tellAt(rev model.Rev, path string) string {
	at := "/.ccdrive/at/" + fmtRev(rev)
	if _, errno := d.node(at + path); errno != 0 {
		return ""
	}
	return d.tellPath(trimSlash(at + path))
}

func TestRevertKeepsOpenFiles(t *testing.T) {
	d := newDrive(t, nil)
	k := &kernel{}
	d.fs.SetKernel(k)
	d.write("/f", "old")
	d.upload("/f")
	then := d.x.LastRev()
	d.write("/f", "newer")
	d.upload("/f")
	n, errno := d.node("/f")
	ok(t, errno)
	fh, _, errno := d.fs.Open(bg, vfs.Caller{}, n, vfs.OpenReadWrite)
	ok(t, errno)
	d.revert("/f", then)
	m, errno := d.node("/f")
	ok(t, errno)
	if m == n || m < 1<<63 {
		t.Fatalf("node %x became %x", n, m)
	}
	p := make([]byte, 10)
	got, errno := d.fs.Read(bg, n, fh, p, 0)
	ok(t, errno)
	a, errno := d.fs.GetAttr(bg, vfs.Caller{}, n, fh)
	ok(t, errno)
	b, errno := d.fs.GetAttr(bg, vfs.Caller{}, n, 0)
	ok(t, errno)
	if string(p[:got]) != "newer" || a.Size != 5 || b.Size != 5 {
		t.Fatalf("the open file reads %q, has size %d and %d", p[:got], a.Size, b.Size)
	}
	if c := d.stat("/f"); c.Size != 3 || c.Ino != a.Ino || d.read("/f") != "old" {
		t.Fatalf("reverted: %+v", c)
	}
	if _, errno := d.fs.Write(bg, vfs.Caller{}, n, fh, p, 0, vfs.WriteFlags{}); errno != syscall.ESTALE {
		t.Fatalf("a write to the old content: %v", errno)
	}
	if len(k.names) == 0 {
		t.Fatal("the kernel was told nothing")
	}
	d.fs.Release(n, fh)
	d.write("/f", "newest")
	if d.read("/f") != "newest" {
		t.Fatal("can't be written any more")
	}
	d.fs.Forget(m, 100)
	d.reopen()
	if d.read("/f") != "newest" {
		t.Fatal("lost")
	}
}

func TestRevertRefuses(t *testing.T) {
	d := newDrive(t, nil)
	run(t, d, "write /f x\nwait")
	if err := d.fs.Revert(bg, "/never", d.x.LastRev()); !errors.Is(err, syscall.ENOENT) {
		t.Fatal(err)
	}
	d.fs.SetReadOnly("because")
	if err := d.fs.Revert(bg, "/f", d.x.LastRev()); !errors.Is(err, syscall.EROFS) {
		t.Fatal(err)
	}
}

// TestRevertOfTimesKeepsOpenFiles: the name gets another node, and who has the file open can go on with it.
func TestRevertOfTimesKeepsOpenFiles(t *testing.T) {
	d := newDrive(t, nil)
	run(t, d, "write /f same\nutimes /f 5 6")
	d.upload("/f")
	then := d.x.LastRev()
	run(t, d, "wait\nutimes /f 7 8")
	n, errno := d.node("/f")
	ok(t, errno)
	fh, _, errno := d.fs.Open(bg, vfs.Caller{}, n, vfs.OpenReadWrite)
	ok(t, errno)
	d.revert("/f", then)
	if m, _ := d.node("/f"); m == n || d.stat("/f").Mtime != 6 {
		t.Fatalf("node %x, mtime %d", m, d.stat("/f").Mtime)
	}
	_, errno = d.fs.Write(bg, vfs.Caller{}, n, fh, []byte("more"), 4, vfs.WriteFlags{})
	ok(t, errno)
	_, errno = d.fs.SetAttr(bg, vfs.Caller{}, n, fh, vfs.SetAttr{Valid: vfs.SetSize, Size: 6})
	ok(t, errno)
	if _, errno = d.fs.SetAttr(bg, vfs.Caller{}, n, 0, vfs.SetAttr{Valid: vfs.SetSize}); errno != syscall.ESTALE {
		t.Fatalf("by the old node without handle: %v", errno)
	}
	d.fs.Release(n, fh)
	if got := d.read("/f"); got != "samemo" {
		t.Fatalf("read %q", got)
	}
}
