package vfs_test

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/cloudcoin/cloudcoin/fs/vfs"
	"github.com/cloudcoin/cloudcoin/sync/index"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// revs counts the revisions of an inode that can be brought back or are the newest.
func (d *drive) revs(ino uint64) (list []model.Inode) {
	d.t.Helper()
	check(d.t, d.x.InodeRevs(model.Ino(ino), func(rec model.Inode) bool {
		list = append(list, rec)
		return true
	}))
	return list
}

func (d *drive) readAt(path string, rev model.Rev) string {
	d.t.Helper()
	r, err := d.fs.ReadFile(path, rev)
	check(d.t, err)
	defer r.Close()
	p := make([]byte, r.Size())
	if _, err := r.ReadAt(bg, p, 0); len(p) > 0 {
		check(d.t, err)
	}
	return string(p)
}

func TestVersionAtRestIsKept(t *testing.T) {
	for _, change := range []string{
		"write /f new", "truncate /f 1", "unlink /f", "rename /other /f", "chmod /f 600", "rename /f /g", "link /f /g", "setx /f user.a b",
	} {
		t.Run(change, func(t *testing.T) {
			d := newDrive(t, nil)
			run(t, d, "write /f old\nwrite /other other\nwait")
			ino, then := d.stat("/f").Ino, d.x.LastRev()
			run(t, d, change)
			if got := d.readAt("/f", then); got != "old" {
				t.Fatalf("the version at rest reads %q", got)
			}
			d.crash()
			if got := d.readAt("/f", then); got != "old" {
				t.Fatalf("after a crash the version at rest reads %q", got)
			}
			d.uploadAll()
			d.st.Evict(1 << 40)
			if got := d.readAt("/f", then); got != "old" {
				t.Fatalf("once stored the version at rest reads %q", got)
			}
			if n := len(d.revs(ino)); n > 3 {
				t.Fatalf("%d revisions", n)
			}
		})
	}
}

func TestVersionsWithoutRestFold(t *testing.T) {
	d := newDrive(t, nil)
	for i := range 10 {
		d.write("/f", fmt.Sprint("version ", i))
	}
	if n := len(d.revs(d.stat("/f").Ino)); n != 1 {
		t.Fatalf("%d revisions of a file that never rested", n)
	}
}

func TestFileThatNeverRestedIsForgotten(t *testing.T) {
	d := newDrive(t, nil)
	d.write("/f", "secret of a moment")
	ino := d.stat("/f").Ino
	run(t, d, "open h /f rw\nunlink /f\nhwrite h 0 more\nclose h")
	if n := len(d.revs(ino)); n != 0 {
		t.Fatalf("%d revisions are left", n)
	}
	if u := d.st.Usage(); u.Dirty != 0 {
		t.Fatalf("%d bytes are left", u.Dirty)
	}
	run(t, d, "tmpfile h /\nhwrite h 0 gone\nclose h")
	if s := d.x.Stats(); s.Files != 0 || d.st.Usage().Dirty != 0 {
		t.Fatalf("left: %+v", s)
	}
}

func TestFreeze(t *testing.T) {
	d := newDrive(t, nil)
	d.write("/f", "one")
	ino := model.Ino(d.stat("/f").Ino)
	freeze := func(force, want bool) {
		t.Helper()
		ready, err := d.fs.Freeze(bg, ino, force)
		check(t, err)
		if ready != want {
			t.Fatalf("ready is %v", ready)
		}
	}
	freeze(false, false) // left alone for too short
	d.clock.advance(3 * time.Second)
	if !d.fs.AtRest(ino) {
		t.Fatal("not at rest")
	}
	n, errno := d.node("/f")
	ok(t, errno)
	fh, _, errno := d.fs.Open(bg, vfs.Caller{}, n, vfs.OpenReadWrite)
	ok(t, errno)
	freeze(false, false) // somebody may write
	freeze(true, true)
	then := d.x.LastRev()
	_, errno = d.fs.Write(bg, vfs.Caller{}, n, fh, []byte("two"), 0, vfs.WriteFlags{})
	ok(t, errno)
	freeze(true, true)
	d.fs.Release(n, fh)
	freeze(false, true) // frozen already
	if got := d.readAt("/f", then) + d.readAt("/f", model.MaxRev); got != "onetwo" {
		t.Fatalf("versions read %q", got)
	}
	d.uploadAll()
	freeze(true, false) // nothing to upload
	if ready, err := d.fs.Freeze(bg, 12345, true); ready || err != nil {
		t.Fatal(ready, err)
	}
}

func TestFreezeWaitsForFsync(t *testing.T) {
	d := newDrive(t, nil)
	d.write("/db", "0")
	n, errno := d.node("/db")
	ok(t, errno)
	fh, _, errno := d.fs.Open(bg, vfs.Caller{}, n, vfs.OpenReadWrite)
	ok(t, errno)
	put := func(s string) {
		_, errno := d.fs.Write(bg, vfs.Caller{}, n, fh, []byte(s), 0, vfs.WriteFlags{})
		ok(t, errno)
	}
	put("1")
	ok(t, d.fs.Fsync(bg, n, fh, false))
	put("half")
	done := make(chan error)
	go func() {
		_, err := d.fs.Freeze(bg, model.Ino(d.stat("/db").Ino), true)
		done <- err
	}()
	for { // whoever comes first, the frozen version must be a whole one
		put("whole")
		ok(t, d.fs.Fsync(bg, n, fh, false))
		put("part.")
		select {
		case err := <-done:
			check(t, err)
			recs := d.revs(d.stat("/db").Ino)
			for _, rec := range recs {
				if rec.Content.Settled {
					if got := d.readAt("/db", rec.Rev); got != "whole" {
						t.Fatalf("frozen at %q", got)
					}
				}
			}
			d.fs.Release(n, fh)
			return
		default:
		}
	}
}

func TestSyncAll(t *testing.T) {
	d := newDrive(t, nil)
	d.write("/a", "a")
	d.write("/b", "b")
	run(t, d, "open h /b rw\nhwrite h 0 c")
	check(t, d.fs.SyncAll(bg))
	d.uploadAll()
	if s := d.x.Stats(); s.StagedFiles != 0 {
		t.Fatalf("%d files are not stored", s.StagedFiles)
	}
	if got := d.read("/b"); got != "c" {
		t.Fatalf("read %q", got)
	}
}

func TestStoredContentReadsFromAfar(t *testing.T) {
	d := newDrive(t, nil)
	d.write("/f", "far away")
	d.upload("/f")
	d.evict("/f")
	if got := d.read("/f"); got != "far away" {
		t.Fatalf("read %q", got)
	}
	run(t, d, `
		open h /f rw
		hwrite h 0 near
		hread h 0 100 = nearaway
		truncate /f 6`)
	d.upload("/f")
	run(t, d, "truncate /f 10")
	if got := d.read("/f"); got != "nearaw\x00\x00\x00\x00" {
		t.Fatalf("read %q", got)
	}
	d.crash()
	if got := d.read("/f"); got != "nearaw\x00\x00\x00\x00" {
		t.Fatalf("after a crash read %q", got)
	}
}

func TestReadEndsWithItsContext(t *testing.T) {
	d := newDrive(t, func(c *vfs.Config) { c.Remote = stuck{} })
	d.write("/f", "x")
	d.upload("/f")
	d.evict("/f")
	n, errno := d.node("/f")
	ok(t, errno)
	fh, _, errno := d.fs.Open(bg, vfs.Caller{}, n, vfs.OpenReadOnly)
	ok(t, errno)
	ctx, cancel := context.WithCancel(bg)
	cancel()
	if _, errno := d.fs.Read(ctx, n, fh, make([]byte, 1), 0); errno != syscall.EINTR {
		t.Fatalf("got %v", errno)
	}
	d.fs.Release(n, fh)
}

func TestOpsOnStoredTombstones(t *testing.T) {
	d := newDrive(t, nil)
	d.write("/f", "kept")
	d.upload("/f")
	ino, then := d.stat("/f").Ino, d.x.LastRev()
	run(t, d, "unlink /f")
	if _, err := d.fs.Resolve("/f", model.MaxRev); !errors.Is(err, syscall.ENOENT) {
		t.Fatal(err)
	}
	if got := d.readAt("/f", then); got != "kept" {
		t.Fatalf("read %q", got)
	}
	if rec, err := d.x.Now().Inode(model.Ino(ino)); err != nil || rec.Nlink != 0 {
		t.Fatal(rec, err)
	}
	if _, err := d.x.Now().Inode(99); !errors.Is(err, index.ErrNotFound) {
		t.Fatal(err)
	}
}
