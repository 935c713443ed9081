package posixtest

import (
	"bytes"

	"golang.org/x/sys/unix"
)

var mmapCases = []testCase{
	{"mmap/shared", func(t *T) {
		fd := t.open(t.path("f"), unix.O_CREAT|unix.O_RDWR, 0o644)
		t.pwrite(fd, bytes.Repeat([]byte("."), 20_000), 0)
		m := t.mmap(fd, 20_000, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		copy(m[5000:], "by map")
		t.bytes(t.pread(fd, 6, 5000), []byte("by map"), "read after a store")
		t.pwrite(fd, []byte("by write"), 9000)
		t.bytes(m[9000:9008], []byte("by write"), "load after a write")
		t.ok(unix.Msync(m, unix.MS_SYNC))
		t.forget(fd)
		t.bytes(t.pread(fd, 6, 5000), []byte("by map"), "read after msync")
		other := t.open(t.path("f"), unix.O_RDWR, 0)
		t.pwrite(other, []byte("other"), 100)
		t.bytes(m[100:105], []byte("other"), "load after a write by another handle")
	}},
	{"mmap/shared-after-close", func(t *T) {
		fd, err := unix.Open(t.path("f"), unix.O_CREAT|unix.O_RDWR, 0o644)
		t.ok(err)
		t.ok(unix.Ftruncate(fd, 8192))
		m := t.mmap(fd, 8192, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		t.ok(unix.Close(fd))
		copy(m[4000:], "stored through the map, over two pages of it")
		t.ok(unix.Msync(m, unix.MS_SYNC))
		r := t.open(t.path("f"), unix.O_RDONLY, 0)
		t.forget(r)
		t.bytes(t.pread(r, 22, 4000), []byte("stored through the map"), "content")
	}},
	{"mmap/private", func(t *T) {
		t.file(t.path("f"), "original")
		fd := t.open(t.path("f"), unix.O_RDONLY, 0)
		m := t.mmap(fd, 8, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE)
		copy(m, "private!")
		t.content(t.path("f"), "original")
	}},
	{"mmap/rights", func(t *T) {
		t.file(t.path("f"), "original")
		fd := t.open(t.path("f"), unix.O_RDONLY, 0)
		_, err := unix.Mmap(fd, 0, 8, unix.PROT_WRITE, unix.MAP_SHARED)
		t.errno(err, unix.EACCES)
		w := t.open(t.path("f"), unix.O_WRONLY, 0)
		_, err = unix.Mmap(w, 0, 8, unix.PROT_READ, unix.MAP_SHARED)
		t.errno(err, unix.EACCES)
	}},
	{"mmap/behind-the-end", func(t *T) {
		t.file(t.path("f"), "short")
		fd := t.open(t.path("f"), unix.O_RDWR, 0)
		m := t.mmap(fd, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		t.bytes(m[5:100], make([]byte, 95), "behind the end")
		m[50] = 'x' // not part of the file
		t.ok(unix.Msync(m, unix.MS_SYNC))
		equal(t, t.fstat(fd).Size, int64(5), "size")
		t.ok(unix.Ftruncate(fd, 5000))
		t.forget(fd)
		t.bytes(t.pread(fd, 5, 0), []byte("short"), "content")
	}},
	{"mmap/unlinked", func(t *T) {
		t.file(t.path("f"), "still here")
		fd, err := unix.Open(t.path("f"), unix.O_RDWR, 0)
		t.ok(err)
		m := t.mmap(fd, 10, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		t.ok(unix.Close(fd))
		t.ok(unix.Unlink(t.path("f")))
		t.bytes(m, []byte("still here"), "content")
		copy(m, "STILL")
		t.ok(unix.Msync(m, unix.MS_SYNC))
		t.bytes(m, []byte("STILL here"), "content")
	}},
	{"mmap/times", func(t *T) {
		fd := t.open(t.path("f"), unix.O_CREAT|unix.O_RDWR, 0o644)
		t.ok(unix.Ftruncate(fd, 4096))
		before := t.fstat(fd)
		t.tick()
		m := t.mmap(fd, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		m[0] = 1
		t.ok(unix.Msync(m, unix.MS_SYNC))
		after := t.fstat(fd)
		t.that(after.Mtim.Nano() > before.Mtim.Nano(), "mtime didn't move")
	}},
}

func (t *T) mmap(fd, n, prot, flags int) []byte {
	m, err := unix.Mmap(fd, 0, n, prot, flags)
	t.ok(err)
	t.closers = append(t.closers, func() { _ = unix.Munmap(m) })
	return m
}
