package posixtest

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

var linkCases = []testCase{
	{"link/hard", func(t *T) {
		a, b := t.file(t.path("a"), "shared"), t.path("b")
		before := t.stat(a)
		t.tick()
		t.ok(unix.Link(a, b))
		st := t.stat(b)
		equal(t, st.Ino, before.Ino, "inode")
		equal(t, uint64(st.Nlink), uint64(2), "nlink")
		equal(t, uint64(t.stat(a).Nlink), uint64(2), "nlink of the first name")
		t.that(st.Ctim.Nano() > before.Ctim.Nano(), "ctime didn't move")
		equal(t, st.Mtim, before.Mtim, "mtime")
		t.file(b, "through the other name")
		t.content(a, "through the other name")
		t.tick()
		t.ok(unix.Unlink(a))
		t.content(b, "through the other name")
		equal(t, uint64(t.stat(b).Nlink), uint64(1), "nlink after unlink")
		t.that(nano(t.stat(b).Ctim) > nano(st.Ctim), "unlink of another name didn't move ctime")
	}},
	{"link/refused", func(t *T) {
		a, d := t.file(t.path("a"), ""), t.mkdir(t.path("d"))
		t.errno(unix.Link(d, t.path("e")), unix.EPERM)
		t.errno(unix.Link(a, d), unix.EEXIST)
		t.errno(unix.Link(a, a), unix.EEXIST)
		t.errno(unix.Link(t.path("no"), t.path("b")), unix.ENOENT)
		t.errno(unix.Link(a, t.path("no", "b")), unix.ENOENT)
		t.errno(unix.Link(a, t.path("a", "b")), unix.ENOTDIR)
	}},
	{"link/many", func(t *T) {
		a := t.file(t.path("a"), "x")
		t.mkdir(t.path("d"))
		for i := range 200 {
			t.ok(unix.Link(a, t.path("d", strings.Repeat("n", i+1))))
		}
		equal(t, uint64(t.stat(a).Nlink), uint64(201), "nlink")
		equal(t, len(t.names(t.path("d"))), 200, "names")
		for i := range 200 {
			t.ok(unix.Unlink(t.path("d", strings.Repeat("n", i+1))))
		}
		equal(t, uint64(t.stat(a).Nlink), uint64(1), "nlink")
	}},
	{"link/of-symlink", func(t *T) {
		t.ok(os.Symlink("nowhere", t.path("s")))
		t.ok(unix.Link(t.path("s"), t.path("s2")))
		equal(t, t.lstat(t.path("s")).Ino, t.lstat(t.path("s2")).Ino, "inode")
		to, err := os.Readlink(t.path("s2"))
		t.ok(err)
		equal(t, to, "nowhere", "target")
	}},
	{"symlink/plain", func(t *T) {
		t.file(t.path("f"), "content")
		t.ok(os.Symlink("f", t.path("l")))
		st := t.lstat(t.path("l"))
		equal(t, st.Mode&unix.S_IFMT, uint32(unix.S_IFLNK), "type")
		equal(t, st.Mode&0o777, uint32(0o777), "mode")
		equal(t, st.Size, int64(1), "size is the target's length")
		t.content(t.path("l"), "content")
		b := make([]byte, 3)
		t.ok(os.Symlink("abcdef", t.path("m")))
		n, err := unix.Readlink(t.path("m"), b)
		t.ok(err)
		t.bytes(b[:n], []byte("abc"), "cut target")
		_, err = unix.Readlink(t.path("f"), b)
		t.errno(err, unix.EINVAL)
		t.errno(unix.Symlink("x", t.path("l")), unix.EEXIST)
		t.errno(unix.Symlink("", t.path("empty")), unix.ENOENT)
	}},
	{"symlink/long", func(t *T) {
		for _, n := range []int{59, 60, 61, 1000, 4094, 4095} {
			target := strings.Repeat("t", n)
			name := t.path("l")
			t.ok(os.Symlink(target, name))
			got, err := os.Readlink(name)
			t.ok(err)
			t.bytes([]byte(got), []byte(target), "target")
			equal(t, t.lstat(name).Size, int64(n), "size")
			t.ok(os.Remove(name))
		}
		t.errno(unix.Symlink(strings.Repeat("t", 4096), t.path("l")), unix.ENAMETOOLONG)
	}},
	{"symlink/bytes", func(t *T) {
		var b []byte
		for i := 1; i < 256; i++ {
			b = append(b, byte(i))
		}
		t.ok(unix.Symlink(string(b), t.path("l")))
		got, err := os.Readlink(t.path("l"))
		t.ok(err)
		equal(t, got, string(b), "target")
	}},
	{"symlink/dangling-and-loops", func(t *T) {
		t.ok(os.Symlink("missing", t.path("dangling")))
		t.refused(t.path("dangling"), unix.O_RDONLY, unix.ENOENT)
		t.lstat(t.path("dangling"))
		t.ok(os.Symlink("b", t.path("a")))
		t.ok(os.Symlink("a", t.path("b")))
		t.refused(t.path("a"), unix.O_RDONLY, unix.ELOOP)
		t.refused(t.path("a", "x"), unix.O_RDONLY, unix.ELOOP)
		t.ok(os.Symlink(".", t.path("here")))
		t.file(t.path("here", "here", "here", "f"), "found")
		t.content(t.path("f"), "found")
	}},
	{"symlink/in-the-way", func(t *T) {
		t.mkdir(t.path("d"))
		t.file(t.path("d", "f"), "in d")
		t.ok(os.Symlink("d", t.path("l")))
		t.ok(os.Symlink(t.path("d"), t.path("abs")))
		t.content(t.path("l", "f"), "in d")
		t.content(t.path("abs", "f"), "in d")
		t.content(t.path("l")+"/../d/f", "in d")
		t.errno(unix.Rmdir(t.path("l")), unix.ENOTDIR)
		t.ok(unix.Unlink(t.path("l")))
		t.content(t.path("d", "f"), "in d")
	}},
	{"symlink/own-attributes", func(t *T) {
		t.file(t.path("f"), "x")
		t.ok(os.Symlink("f", t.path("l")))
		t.ok(unix.Lchown(t.path("l"), 12, 34))
		st := t.lstat(t.path("l"))
		equal(t, [2]uint32{st.Uid, st.Gid}, [2]uint32{12, 34}, "owner of the link")
		equal(t, t.stat(t.path("f")).Uid, uint32(0), "owner of the file")
		ts := []unix.Timespec{{Sec: 1000, Nsec: 1}, {Sec: 2000, Nsec: 2}}
		t.ok(unix.UtimesNanoAt(unix.AT_FDCWD, t.path("l"), ts, unix.AT_SYMLINK_NOFOLLOW))
		equal(t, t.lstat(t.path("l")).Mtim, ts[1], "mtime of the link")
		t.that(t.stat(t.path("f")).Mtim.Sec > 2000, "mtime of the file was set")
	}},
}
