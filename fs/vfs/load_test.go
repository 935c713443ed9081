package vfs_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/cloudcoin/cloudcoin/fs/vfs"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// TestConcurrently lets many goroutines do everything in a few places at once, with an engine that freezes and stores beside them.
func TestConcurrently(t *testing.T) {
	d := newDrive(t, nil)
	for _, dir := range []string{"/a", "/b", "/a/c"} {
		run(t, d, "mkdir "+dir)
	}
	var work, engine sync.WaitGroup
	stop := make(chan struct{})
	engine.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				d.storeSome()
			}
		}
	})
	for i := range 8 {
		work.Go(func() { d.mess(rand.New(rand.NewPCG(1, uint64(i))), 150) })
	}
	work.Wait()
	close(stop)
	engine.Wait()
	before := d.tell()
	check(t, d.fs.SyncAll(bg))
	d.uploadAll()
	d.crash()
	if after := d.tell(); after != before {
		t.Fatalf("before\n%safter\n%s", before, after)
	}
	if s := d.x.Stats(); s.StagedFiles != 0 {
		t.Fatalf("%+v", s)
	}
}

func (d *drive) storeSome() {
	d.clock.advance(1e9)
	var inos []model.Ino
	check(d.t, d.x.Staged(func(ino model.Ino, _ model.Rev, _ uint64) bool {
		inos = append(inos, ino)
		return len(inos) < 5
	}))
	for _, ino := range inos {
		_, err := d.fs.Freeze(bg, ino, true)
		check(d.t, err)
	}
	d.uploadAll()
}

// mess does random operations; every file that is read must hold one repeated byte.
func (d *drive) mess(r *rand.Rand, n int) {
	dirs := []string{"/a", "/b", "/a/c"}
	path := func() string { return fmt.Sprintf("%s/%d", dirs[r.IntN(len(dirs))], r.IntN(4)) }
	s := &script{drive: d}
	for range n {
		var errno syscall.Errno
		switch r.IntN(8) {
		case 0, 1:
			p := bytes.Repeat([]byte{byte('a' + r.IntN(20))}, 1+r.IntN(3)*50000)
			errno = d.tryWrite(path(), string(p))
		case 2:
			_, errno = s.do([]string{"unlink", path()})
		case 3, 4:
			_, errno = s.do([]string{[]string{"rename", "exchange", "noreplace"}[r.IntN(3)], path(), path()})
		case 5:
			_, errno = s.do([]string{"link", path(), path()})
		case 6:
			_, errno = d.tryRead(path())
		case 7:
			_, errno = s.do([]string{"ls", dirs[r.IntN(len(dirs))]})
		}
		switch errno {
		case 0, syscall.ENOENT, syscall.EEXIST, syscall.ESTALE:
		default:
			d.t.Errorf("unexpected %v", errno)
		}
	}
}

// TestListingWhileChanging: names that are there all the time come exactly once, whatever happens beside.
func TestListingWhileChanging(t *testing.T) {
	d := newDrive(t, nil)
	run(t, d, "mkdir /d")
	n, errno := d.node("/d")
	ok(t, errno)
	for i := range 300 {
		_, errno := d.fs.Mknod(bg, vfs.Caller{}, n, fmt.Sprint("stays", i), 0o644, 0)
		ok(t, errno)
	}
	seen := map[string]int{}
	var cookie uint64
	for round := 0; ; round++ {
		_, errno := d.fs.Mknod(bg, vfs.Caller{}, n, fmt.Sprint("comes", round), 0o644, 0)
		ok(t, errno)
		if round%2 == 1 {
			ok(t, d.fs.Unlink(bg, vfs.Caller{}, n, fmt.Sprint("comes", round-1)))
		}
		got := 0
		ok(t, d.fs.ReadDir(bg, vfs.Caller{}, n, 0, cookie, round%3 == 0, func(e *vfs.DirEntry) bool {
			if got == 7 {
				return false
			}
			got++
			seen[e.Name]++
			cookie = e.Cookie
			return true
		}))
		if got == 0 {
			break
		}
	}
	for i := range 300 {
		if name := fmt.Sprint("stays", i); seen[name] != 1 {
			t.Fatalf("%s came %d times", name, seen[name])
		}
	}
}

func TestReadDirPlus(t *testing.T) {
	d := newDrive(t, nil)
	run(t, d, "write /f abc\nmkdir /d\nopen h /f rw\nhwrite h 3 def")
	sizes := map[string]int64{}
	var cookies []uint64
	ok(t, d.fs.ReadDir(bg, vfs.Caller{}, vfs.RootNode, 0, 0, true, func(e *vfs.DirEntry) bool {
		sizes[e.Name] = e.Entry.Attr.Size
		cookies = append(cookies, e.Cookie)
		return true
	}))
	if sizes["f"] != 6 || sizes["d"] != vfs.BlockSize || len(sizes) != 4 {
		t.Fatalf("%v", sizes)
	}
	if !slices.IsSorted(cookies) || cookies[0] != 1 || cookies[1] != 2 {
		t.Fatalf("cookies %v", cookies)
	}
}

func TestNamesOfAnyBytes(t *testing.T) {
	d := newDrive(t, nil)
	long := string(bytes.Repeat([]byte{0xff}, 255))
	for _, name := range []string{"\x01\n", "ümlaut", "\xff\xfe", long, "...", " "} {
		_, errno := d.fs.Mknod(bg, vfs.Caller{}, vfs.RootNode, name, 0o600, 0)
		ok(t, errno)
		_, errno = d.fs.Lookup(bg, vfs.Caller{}, vfs.RootNode, name)
		ok(t, errno)
	}
	for name, want := range map[string]syscall.Errno{"": syscall.EINVAL, "a/b": syscall.EINVAL, "a\x00": syscall.EINVAL, ".": syscall.EEXIST, "..": syscall.EEXIST, long + "x": syscall.ENAMETOOLONG} {
		if _, errno := d.fs.Mknod(bg, vfs.Caller{}, vfs.RootNode, name, 0o600, 0); errno != want {
			t.Errorf("%q: %v", name, errno)
		}
	}
	names, errno := d.list(vfs.RootNode, 2)
	ok(t, errno)
	if len(names) != 6 {
		t.Fatalf("%q", names)
	}
}

// panics is a notifier that has a bug.
type panics struct{}

func (panics) Dirty(model.Ino) { panic("bug") }
func (panics) Metadata()       { panic("bug") }

func TestPanicBecomesEIO(t *testing.T) {
	d := newDrive(t, func(c *vfs.Config) { c.Notify = panics{} })
	if _, errno := d.fs.Mkdir(bg, vfs.Caller{}, vfs.RootNode, "d", 0o755); errno != syscall.EIO {
		t.Fatalf("got %v", errno)
	}
	if len(d.reports) != 1 {
		t.Fatalf("reports: %q", d.reports)
	}
	d.reports = nil
	run(t, d, "ls / = d") // no lock is left held
	if _, errno := d.fs.Mkdir(bg, vfs.Caller{}, vfs.RootNode, "e", 0o755); errno != syscall.EIO {
		t.Fatalf("got %v", errno)
	}
	d.reports = nil
}

func TestCrash(t *testing.T) {
	d := newDrive(t, nil)
	big := string(bytes.Repeat([]byte("0123456789abcdef"), 20000))
	d.write("/big", big)
	run(t, d, `
		write /f first
		open h /f rw
		hwrite h 0 second_
		fsync h
		open g /big rw
		hwrite g 4 XXXX
		fsync g
		write /gone gone
		open o /gone rw
		unlink /gone
		hwrite o 4 more
		tmpfile t /
		hwrite t 0 temp`)
	d.crash()
	run(t, d, "read /f = second_\nls / = big f")
	if got := d.read("/big"); got != big[:4]+"XXXX"+big[8:] {
		t.Fatal("the big file is another one")
	}
	if s := d.x.Stats(); s.Files != 2 || s.StagedFiles != 2 {
		t.Fatalf("%+v", s)
	}
	left := 0
	check(t, d.st.DirtyInos(func(model.Ino, uint64, int64, int64, int64) bool { left++; return true }))
	if left != 2 {
		t.Fatalf("%d contents in the stage", left)
	}
	check(t, d.fs.SyncAll(bg))
	d.uploadAll()
	d.st.Evict(1 << 40)
	run(t, d, "read /f = second_")
}

// TestCrashKeepsSettledVersionsOfDeletedFiles: a deleted file that had rested is uploaded after the restart.
func TestCrashKeepsSettledVersionsOfDeletedFiles(t *testing.T) {
	d := newDrive(t, nil)
	run(t, d, "write /f rested\nwait")
	then := d.x.LastRev()
	run(t, d, "open h /f rw\nunlink /f\nhwrite h 0 changed")
	d.crash()
	if got := d.readAt("/f", then); got != "rested" {
		t.Fatalf("read %q", got)
	}
	d.uploadAll()
	if got := d.readAt("/f", then); got != "rested" {
		t.Fatalf("once stored read %q", got)
	}
	if u := d.st.Usage(); u.Dirty != 0 {
		t.Fatalf("%d bytes are left", u.Dirty)
	}
}

// TestTimesOfWhatIsGone: the kernel writes times of deleted files out late; syncfs must not fail for it.
func TestTimesOfWhatIsGone(t *testing.T) {
	d := newDrive(t, nil)
	d.write("/f", "x")
	n, errno := d.node("/f")
	ok(t, errno)
	run(t, d, "unlink /f")
	_, errno = d.fs.SetAttr(bg, vfs.Caller{}, n, 0, vfs.SetAttr{Valid: vfs.SetMtime | vfs.SetCtime, Mtime: 1, Ctime: 2})
	ok(t, errno)
	if _, errno = d.fs.SetAttr(bg, vfs.Caller{}, n, 0, vfs.SetAttr{Valid: vfs.SetMode | vfs.SetMtime}); errno != syscall.ESTALE {
		t.Fatalf("chmod of a deleted file: %v", errno)
	}
}
