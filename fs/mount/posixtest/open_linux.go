package posixtest

import (
	"fmt"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

var openCases = []testCase{
	{"open/create", func(t *T) {
		t.alone(func() {
			unix.Umask(0o027)
			fd := t.open(t.path("f"), unix.O_CREAT|unix.O_RDWR, 0o666)
			st := t.fstat(fd)
			equal(t, st.Mode, uint32(unix.S_IFREG|0o640), "mode")
			equal(t, st.Size, int64(0), "size")
			equal(t, uint64(st.Nlink), uint64(1), "nlink")
			equal(t, st.Ino, t.stat(t.path("f")).Ino, "inode")
		})
	}},
	{"open/mode-bits", func(t *T) {
		t.alone(func() {
			unix.Umask(0)
			for _, mode := range []uint32{0, 0o777, 0o4755, 0o2711, 0o400} {
				name := t.path(fmt.Sprintf("f%o", mode))
				t.open(name, unix.O_CREAT|unix.O_RDWR, mode)
				equal(t, t.stat(name).Mode&0o7777, mode, "mode")
			}
			t.open(t.path("ro"), unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, 0o400) // the mode holds for later opens only
		})
	}},
	{"open/excl", func(t *T) {
		t.file(t.path("f"), "x")
		t.refused(t.path("f"), unix.O_CREAT|unix.O_EXCL|unix.O_RDWR, unix.EEXIST)
		t.ok(os.Symlink("missing", t.path("dangling")))
		t.refused(t.path("dangling"), unix.O_CREAT|unix.O_EXCL|unix.O_RDWR, unix.EEXIST)
		t.mkdir(t.path("d"))
		t.refused(t.path("d"), unix.O_CREAT|unix.O_EXCL|unix.O_RDWR, unix.EEXIST)
		t.content(t.path("f"), "x")
		t.open(t.path("new"), unix.O_CREAT|unix.O_EXCL|unix.O_RDWR, 0o644)
	}},
	{"open/through-dangling-link", func(t *T) {
		t.ok(os.Symlink("target", t.path("link")))
		t.file(t.path("link"), "made")
		t.content(t.path("target"), "made")
	}},
	{"open/trunc", func(t *T) {
		t.file(t.path("f"), strings.Repeat("0123456789", 10000))
		fd := t.open(t.path("f"), unix.O_RDWR|unix.O_TRUNC, 0)
		equal(t, t.fstat(fd).Size, int64(0), "size")
		t.pwrite(fd, []byte("z"), 5)
		t.content(t.path("f"), "\x00\x00\x00\x00\x00z")
	}},
	{"open/append", func(t *T) {
		t.file(t.path("f"), "one")
		a := t.open(t.path("f"), unix.O_RDWR|unix.O_APPEND, 0)
		b := t.open(t.path("f"), unix.O_WRONLY, 0)
		t.pwrite(b, []byte("two"), 3)
		_, err := unix.Write(a, []byte("three"))
		t.ok(err)
		_, err = unix.Seek(a, 0, unix.SEEK_SET)
		t.ok(err)
		_, err = unix.Write(a, []byte("four"))
		t.ok(err)
		_, err = unix.Pwrite(a, []byte("five"), 1) // Linux appends here too
		t.ok(err)
		t.content(t.path("f"), "onetwothreefourfive")
		t.bytes(t.pread(a, 3, 0), []byte("one"), "read on an appending handle")
		t.ok(unix.Ftruncate(a, 3))
		_, err = unix.Write(a, []byte("!"))
		t.ok(err)
		t.content(t.path("f"), "one!")
	}},
	{"open/nofollow", func(t *T) {
		t.file(t.path("f"), "x")
		t.ok(os.Symlink("f", t.path("l")))
		t.refused(t.path("l"), unix.O_RDONLY|unix.O_NOFOLLOW, unix.ELOOP)
		fd := t.open(t.path("l"), unix.O_PATH|unix.O_NOFOLLOW, 0)
		equal(t, t.fstat(fd).Mode&unix.S_IFMT, uint32(unix.S_IFLNK), "type")
		t.open(t.path("f"), unix.O_RDONLY|unix.O_NOFOLLOW, 0)
	}},
	{"open/folder", func(t *T) {
		t.file(t.path("f"), "x")
		t.mkdir(t.path("d"))
		t.refused(t.path("f"), unix.O_RDONLY|unix.O_DIRECTORY, unix.ENOTDIR)
		t.refused(t.path("d"), unix.O_WRONLY, unix.EISDIR)
		t.refused(t.path("d"), unix.O_RDWR, unix.EISDIR)
		t.refused(t.path("d"), unix.O_RDONLY|unix.O_CREAT, unix.EISDIR)
		fd := t.open(t.path("d"), unix.O_RDONLY, 0)
		_, err := unix.Read(fd, make([]byte, 8))
		t.errno(err, unix.EISDIR)
	}},
	{"open/missing", func(t *T) {
		t.file(t.path("f"), "x")
		t.refused(t.path("no"), unix.O_RDONLY, unix.ENOENT)
		t.refused(t.path("no", "deeper"), unix.O_RDONLY|unix.O_CREAT, unix.ENOENT)
		t.refused(t.path("f", "deeper"), unix.O_RDONLY, unix.ENOTDIR)
		t.refused(t.path("f")+"/", unix.O_RDONLY, unix.ENOTDIR)
		t.refused(t.path("no")+"/", unix.O_RDWR|unix.O_CREAT, unix.EISDIR)
		t.open(t.path("no"), unix.O_RDWR|unix.O_CREAT, 0o644) // an absent name that was cached comes into being
		t.stat(t.path("no"))
	}},
	{"open/direction", func(t *T) {
		t.file(t.path("f"), "abc")
		w, r := t.open(t.path("f"), unix.O_WRONLY, 0), t.open(t.path("f"), unix.O_RDONLY, 0)
		_, err := unix.Read(w, make([]byte, 3))
		t.errno(err, unix.EBADF)
		_, err = unix.Write(r, []byte("x"))
		t.errno(err, unix.EBADF)
		t.errno(unix.Ftruncate(r, 0), unix.EINVAL)
	}},
	{"open/tmpfile", func(t *T) {
		fd := t.open(t.dir, unix.O_TMPFILE|unix.O_RDWR, 0o600)
		equal(t, uint64(t.fstat(fd).Nlink), uint64(0), "nlink")
		t.pwrite(fd, []byte("nameless"), 0)
		equal(t, len(t.names(t.dir)), 0, "names")
		t.ok(unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), unix.AT_FDCWD, t.path("named"), unix.AT_SYMLINK_FOLLOW))
		equal(t, uint64(t.fstat(fd).Nlink), uint64(1), "nlink")
		t.content(t.path("named"), "nameless")
		t.pwrite(fd, []byte("N"), 0)
		t.content(t.path("named"), "Nameless")
	}},
	{"open/tmpfile-excl", func(t *T) {
		fd := t.open(t.dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_EXCL, 0o600)
		t.pwrite(fd, []byte("x"), 0)
		t.errno(unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), unix.AT_FDCWD, t.path("named"), unix.AT_SYMLINK_FOLLOW), unix.ENOENT)
	}},
	{"open/direct", func(t *T) {
		const size = 64 << 10
		block := aligned(size)
		fill(block, 3)
		fd := t.open(t.path("f"), unix.O_CREAT|unix.O_RDWR|unix.O_DIRECT, 0o644)
		t.pwrite(fd, block, 0)
		t.pwrite(fd, block, size)
		got := aligned(size)
		n, err := unix.Pread(fd, got, size)
		t.ok(err)
		t.bytes(got[:n], block, "direct read")
		buffered := t.open(t.path("f"), unix.O_RDWR, 0)
		t.bytes(t.pread(buffered, size, 0), block, "buffered read")
		t.pwrite(buffered, []byte("changed"), size)
		n, err = unix.Pread(fd, got, size)
		t.ok(err)
		t.bytes(got[:min(7, n)], []byte("changed"), "direct read after a buffered write")
		t.pwrite(fd, block, size)
		t.bytes(t.pread(buffered, size, size), block, "buffered read after a direct write")
		equal(t, t.fstat(fd).Size, int64(2*size), "size")
	}},
	{"open/sync", func(t *T) {
		for i, flag := range []int{unix.O_SYNC, unix.O_DSYNC, unix.O_SYNC | unix.O_APPEND} {
			name := t.path(fmt.Sprint(i))
			fd := t.open(name, unix.O_CREAT|unix.O_RDWR|flag, 0o644)
			_, err := unix.Write(fd, []byte("synced"))
			t.ok(err)
			t.content(name, "synced")
		}
	}},
	{"open/again-by-proc", func(t *T) {
		t.file(t.path("f"), "abc")
		fd := t.open(t.path("f"), unix.O_RDONLY, 0)
		t.ok(unix.Unlink(t.path("f")))
		again := t.open(fmt.Sprintf("/proc/self/fd/%d", fd), unix.O_RDWR, 0)
		t.pwrite(again, []byte("X"), 1)
		t.bytes(t.pread(fd, 10, 0), []byte("aXc"), "content")
	}},
}

// aligned makes a buffer as O_DIRECT wants it.
func aligned(n int) []byte {
	b := make([]byte, n+4096)
	off := 4096 - int(uintptr(unsafe.Pointer(&b[0]))%4096)
	return b[off : off+n : off+n]
}

// fill makes bytes that differ from place to place and from seed to seed.
func fill(b []byte, seed uint64) {
	x := seed*0x9e3779b97f4a7c15 + 1
	for i := range b {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = byte(x >> 32)
	}
}
