package posixtest

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

var unlinkCases = []testCase{
	{"unlink/open-file", func(t *T) {
		t.file(t.path("f"), "content")
		fd := t.open(t.path("f"), unix.O_RDWR, 0)
		before := t.fstat(fd)
		t.tick()
		t.ok(unix.Unlink(t.path("f")))
		t.gone(t.path("f"))
		st := t.fstat(fd)
		equal(t, uint64(st.Nlink), uint64(0), "nlink")
		t.that(st.Ctim.Nano() > before.Ctim.Nano(), "ctime didn't move")
		t.bytes(t.pread(fd, 20, 0), []byte("content"), "content")
		big := make([]byte, 300_000)
		fill(big, 5)
		t.pwrite(fd, big, 3)
		t.forget(fd)
		t.bytes(t.pread(fd, 400_000, 3), big, "what was written after")
		t.ok(unix.Ftruncate(fd, 2))
		equal(t, t.fstat(fd).Size, int64(2), "size")
		t.ok(unix.Fchmod(fd, 0o600))
		t.ok(unix.Fchown(fd, 5, 6))
		st = t.fstat(fd)
		equal(t, []uint32{st.Mode & 0o777, st.Uid, st.Gid}, []uint32{0o600, 5, 6}, "mode and owner")
		t.ok(unix.Fsetxattr(fd, "user.a", []byte("b"), 0))
		err := unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), unix.AT_FDCWD, t.path("back"), unix.AT_SYMLINK_FOLLOW)
		t.errno(err, unix.ENOENT)
	}},
	{"unlink/same-name-again", func(t *T) {
		t.file(t.path("f"), "old")
		fd := t.open(t.path("f"), unix.O_RDWR, 0)
		t.ok(unix.Unlink(t.path("f")))
		t.file(t.path("f"), "new file")
		t.that(t.stat(t.path("f")).Ino != t.fstat(fd).Ino, "the new file has the inode of the old, which is open")
		t.pwrite(fd, []byte("OLD"), 0)
		t.content(t.path("f"), "new file")
		t.bytes(t.pread(fd, 10, 0), []byte("OLD"), "old file")
	}},
	{"unlink/churn", func(t *T) {
		for i := range 300 {
			want := fmt.Sprint("file ", i)
			t.file(t.path("f"), want)
			t.content(t.path("f"), want)
			t.ok(unix.Unlink(t.path("f")))
			t.gone(t.path("f"))
		}
	}},
	{"unlink/refused", func(t *T) {
		t.file(t.path("f"), "")
		t.errno(unix.Unlink(t.mkdir(t.path("d"))), unix.EISDIR)
		t.errno(unix.Unlink(t.path("no")), unix.ENOENT)
		t.errno(unix.Unlink(t.path("f", "x")), unix.ENOTDIR)
		t.errno(unix.Unlink(t.path("f")+"/"), unix.ENOTDIR)
	}},
	{"rmdir/cases", func(t *T) {
		t.file(t.path("f"), "")
		t.mkdir(t.path("d"))
		t.file(t.path("d", "in"), "")
		t.errno(unix.Rmdir(t.path("d")), unix.ENOTEMPTY)
		t.errno(unix.Rmdir(t.path("f")), unix.ENOTDIR)
		t.errno(unix.Rmdir(t.path("no")), unix.ENOENT)
		t.errno(unix.Rmdir(t.path("d")+"/."), unix.EINVAL)
		t.errno(unix.Rmdir(t.path("d")+"/.."), unix.ENOTEMPTY)
		t.ok(unix.Unlink(t.path("d", "in")))
		links := t.stat(t.dir).Nlink
		t.ok(unix.Rmdir(t.path("d")))
		equal(t, t.stat(t.dir).Nlink, links-1, "links of the parent")
		t.gone(t.path("d"))
	}},
	{"rmdir/open-folder", func(t *T) {
		d := t.mkdir(t.path("d"))
		fd := t.open(d, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		t.ok(unix.Rmdir(d))
		equal(t, uint64(t.fstat(fd).Nlink), uint64(0), "nlink")
		_, err := unix.Openat(fd, "new", unix.O_CREAT|unix.O_RDWR, 0o644)
		t.errno(err, unix.ENOENT)
		t.errno(unix.Mkdirat(fd, "new", 0o755), unix.ENOENT)
		t.errno(unix.Symlinkat("x", fd, "new"), unix.ENOENT)
		n, err := unix.Getdents(fd, make([]byte, 4096))
		t.that(err == unix.ENOENT || err == nil && n <= 48, "entries of a removed folder: %d bytes, %v", n, err) // at most . and ..
		t.mkdir(d)
		t.that(t.stat(d).Ino != t.fstat(fd).Ino, "the new folder has the inode of the old, which is open")
	}},
	{"rmdir/working-directory", func(t *T) {
		d := t.mkdir(t.path("d"))
		t.alone(func() {
			t.ok(unix.Chdir(d))
			got, err := unix.Getwd()
			t.ok(err)
			equal(t, got, d, "working directory")
			t.ok(unix.Rmdir(d))
			buf := make([]byte, 4096)
			_, err = unix.Getcwd(buf)
			t.errno(err, unix.ENOENT)
			_, err = unix.Open("f", unix.O_CREAT|unix.O_RDWR, 0o644)
			t.errno(err, unix.ENOENT)
			var st unix.Stat_t
			t.ok(unix.Stat(".", &st))
		})
	}},
	{"unlink/tree", func(t *T) {
		for i := range 20 {
			d := t.path("tree", fmt.Sprint(i), "deep", "deeper")
			t.ok(os.MkdirAll(d, 0o755))
			for j := range 20 {
				t.file(d+"/"+fmt.Sprint(j), "x")
			}
		}
		t.ok(os.RemoveAll(t.path("tree")))
		equal(t, len(t.names(t.dir)), 0, "names")
	}},
}
