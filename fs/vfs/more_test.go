package vfs_test

import (
	"flag"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/cloudcoin/cloudcoin/fs/stage"
	"github.com/cloudcoin/cloudcoin/fs/vfs"
)

func TestMain(m *testing.M) {
	flag.Parse()
	set := false
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == "rapid.checks" })
	if !set {
		if err := flag.Set("rapid.checks", "10"); err != nil { // each check opens and crashes real stores
			panic(err)
		}
	}
	os.Exit(m.Run())
}

func TestCopyFileRange(t *testing.T) {
	d := newDrive(t, nil)
	big := strings.Repeat("0123456789", 300000)
	d.write("/a", big)
	d.write("/b", "")
	open := func(path string) (vfs.NodeID, vfs.Handle) {
		n, errno := d.node(path)
		ok(t, errno)
		fh, _, errno := d.fs.Open(bg, vfs.Caller{}, n, vfs.OpenReadWrite)
		ok(t, errno)
		return n, fh
	}
	a, afh := open("/a")
	b, bfh := open("/b")
	defer d.fs.Release(a, afh)
	defer d.fs.Release(b, bfh)
	n, errno := d.fs.CopyFileRange(bg, vfs.Caller{}, a, afh, 5, b, bfh, 3, 1<<40)
	ok(t, errno)
	if n != int64(len(big))-5 || d.read("/b") != "\x00\x00\x00"+big[5:] {
		t.Fatalf("copied %d", n)
	}
	if _, errno = d.fs.CopyFileRange(bg, vfs.Caller{}, a, afh, 0, a, afh, 5, 10); errno != syscall.EINVAL {
		t.Fatalf("overlapping ranges: %v", errno)
	}
	n, errno = d.fs.CopyFileRange(bg, vfs.Caller{}, a, afh, 0, a, afh, int64(len(big)), 10)
	ok(t, errno)
	if n != 10 || d.stat("/a").Size != int64(len(big))+10 {
		t.Fatalf("copied %d", n)
	}
}

func TestStatFS(t *testing.T) {
	d := newDrive(t, func(c *vfs.Config) { c.Space = func() vfs.Space { return vfs.Space{Total: 100 << 20, Free: 40 << 20} } })
	s, errno := d.fs.StatFS(bg, vfs.RootNode)
	ok(t, errno)
	if s.Blocks*uint64(s.Frsize) != 100<<20 || s.Bavail*uint64(s.Frsize) != 40<<20 || s.NameLen != 255 || s.Files <= s.Ffree {
		t.Fatalf("%+v", s)
	}
}

// TestFullStage: a writer gets ENOSPC, nothing is corrupt, and it goes on when there is room.
func TestFullStage(t *testing.T) {
	d := newDrive(t, nil)
	d.stageOpt = func(o *stage.Options) { o.DirtyLimit = 1 << 20 }
	d.reopen()
	d.write("/kept", "kept")
	big := strings.Repeat("x", 700<<10)
	d.write("/a", big)
	if errno := d.tryWrite("/b", big); errno != syscall.ENOSPC {
		t.Fatalf("got %v", errno)
	}
	if d.read("/kept") != "kept" || d.read("/a") != big || len(d.read("/b")) > len(big) {
		t.Fatal("damaged")
	}
	run(t, d, "unlink /a")
	d.write("/b", big)
	d.crash()
	if d.read("/b") != big {
		t.Fatal("lost")
	}
}

func TestReplacedLinkNames(t *testing.T) {
	d := newDrive(t, nil)
	run(t, d, "write /f old\nlink /f /g\nwait")
	d.upload("/f")
	then := d.x.LastRev()
	d.write("/f", "newer")
	d.upload("/f")
	d.revert("/f", then)
	if d.read("/f") != "old" || d.read("/g") != "old" || d.stat("/g").Nlink != 2 || d.stat("/f").Ino != d.stat("/g").Ino {
		t.Fatal("the links went apart")
	}
}
