package posixtest

import (
	"bytes"

	"golang.org/x/sys/unix"
)

const mib = 1 << 20

var spaceCases = []testCase{
	{"space/sparse", func(t *T) {
		fd := t.open(t.path("f"), unix.O_CREAT|unix.O_RDWR, 0o644)
		t.pwrite(fd, []byte("end"), 100*mib)
		t.forget(fd)
		equal(t, t.fstat(fd).Size, int64(100*mib+3), "size")
		t.bytes(t.pread(fd, 4096, 50*mib), make([]byte, 4096), "hole")
	}},
	{"space/seek-hole", func(t *T) {
		fd := sparseFile(t)
		for _, c := range []struct {
			off    int64
			whence int
			want   int64
		}{
			{0, unix.SEEK_DATA, mib},
			{0, unix.SEEK_HOLE, 0},
			{mib + 5, unix.SEEK_DATA, mib + 5},
			{mib, unix.SEEK_HOLE, mib + 64<<10},
			{mib + 64<<10, unix.SEEK_HOLE, mib + 64<<10},
			{mib + 64<<10, unix.SEEK_DATA, 3 * mib},
			{3 * mib, unix.SEEK_HOLE, 3*mib + 4096},
		} {
			got, err := unix.Seek(fd, c.off, c.whence)
			t.ok(err)
			equal(t, got, c.want, "position")
		}
	}},
	{"space/seek-at-end", func(t *T) {
		fd := sparseFile(t)
		for _, whence := range []int{unix.SEEK_DATA, unix.SEEK_HOLE} {
			_, err := unix.Seek(fd, 4*mib, whence)
			t.errno(err, unix.ENXIO)
		}
		t.ok(unix.Ftruncate(fd, mib+1))
		end, err := unix.Seek(fd, mib, unix.SEEK_HOLE)
		t.ok(err)
		equal(t, end, int64(mib+1), "the end is a hole")
	}},
	{"space/fallocate", func(t *T) {
		fd := t.open(t.path("f"), unix.O_CREAT|unix.O_RDWR, 0o644)
		t.pwrite(fd, []byte("data"), 0)
		t.ok(unix.Fallocate(fd, 0, 0, mib))
		equal(t, t.fstat(fd).Size, int64(mib), "size")
		t.bytes(t.pread(fd, 8, 0), []byte("data\x00\x00\x00\x00"), "content")
		t.ok(unix.Fallocate(fd, 0, 10, 10)) // inside: nothing changes
		equal(t, t.fstat(fd).Size, int64(mib), "size")
		t.errno(unix.Fallocate(fd, 0, -1, 10), unix.EINVAL)
		t.errno(unix.Fallocate(fd, 0, 0, 0), unix.EINVAL)
		ro := t.open(t.path("f"), unix.O_RDONLY, 0)
		t.errno(unix.Fallocate(ro, 0, 0, 10), unix.EBADF)
	}},
	{"space/fallocate-keep-size", func(t *T) {
		fd := t.open(t.path("f"), unix.O_CREAT|unix.O_RDWR, 0o644)
		t.pwrite(fd, []byte("data"), 0)
		t.ok(unix.Fallocate(fd, unix.FALLOC_FL_KEEP_SIZE, 0, mib))
		equal(t, t.fstat(fd).Size, int64(4), "size")
		t.pwrite(fd, []byte("more"), 10)
		t.bytes(t.pread(fd, 100, 0), []byte("data\x00\x00\x00\x00\x00\x00more"), "content")
	}},
	{"space/punch", func(t *T) {
		want := make([]byte, 300_000)
		fill(want, 4)
		fd := t.open(t.path("f"), unix.O_CREAT|unix.O_RDWR, 0o644)
		t.pwrite(fd, want, 0)
		for _, r := range []struct{ off, n int64 }{{5000, 100_000}, {0, 10}, {200_000, 1}, {290_000, 50_000}} {
			t.ok(unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, r.off, r.n))
			clear(want[r.off:min(r.off+r.n, int64(len(want)))])
			t.bytes(t.pread(fd, 400_000, 0), want, "after a hole")
		}
		t.forget(fd)
		t.bytes(t.pread(fd, 400_000, 0), want, "read again")
		equal(t, t.fstat(fd).Size, int64(300_000), "size")
		t.errno(unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE, 0, 10), unix.EOPNOTSUPP)
	}},
	{"space/blocks", func(t *T) {
		fd := t.open(t.path("f"), unix.O_CREAT|unix.O_RDWR, 0o644)
		t.pwrite(fd, bytes.Repeat([]byte("x"), mib), 0)
		t.synced(t.path("f"))
		st := t.fstat(fd)
		t.that(st.Blocks*512 >= mib && st.Blocks*512 < 2*mib, "a file of 1 MiB takes %d blocks", st.Blocks)
	}},
	{"space/blocks-of-sparse-files", func(t *T) {
		fd := t.open(t.path("f"), unix.O_CREAT|unix.O_RDWR, 0o644)
		t.pwrite(fd, []byte("end"), 100*mib)
		t.synced(t.path("f"))
		st := t.fstat(fd)
		t.that(st.Blocks > 0 && st.Blocks*512 < 4*mib, "a sparse file takes %d blocks", st.Blocks)
		fd = t.open(t.path("g"), unix.O_CREAT|unix.O_RDWR, 0o644)
		t.pwrite(fd, bytes.Repeat([]byte("x"), 4*mib), 0)
		t.synced(t.path("g"))
		before := t.fstat(fd).Blocks
		t.ok(unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, mib, 2*mib))
		t.synced(t.path("g"))
		t.that(t.fstat(fd).Blocks <= before-2*mib/512+64, "blocks before %d, after a hole of 2 MiB %d", before, t.fstat(fd).Blocks)
	}},
	{"space/zero-range", func(t *T) {
		want := bytes.Repeat([]byte("y"), 100_000)
		fd := t.open(t.path("f"), unix.O_CREAT|unix.O_RDWR, 0o644)
		t.pwrite(fd, want, 0)
		t.ok(unix.Fallocate(fd, unix.FALLOC_FL_ZERO_RANGE, 3000, 50_000))
		clear(want[3000:53_000])
		t.bytes(t.pread(fd, 200_000, 0), want, "zeroed inside")
		t.ok(unix.Fallocate(fd, unix.FALLOC_FL_ZERO_RANGE|unix.FALLOC_FL_KEEP_SIZE, 90_000, 50_000))
		clear(want[90_000:])
		t.bytes(t.pread(fd, 200_000, 0), want, "zeroed at the end, size kept")
		t.ok(unix.Fallocate(fd, unix.FALLOC_FL_ZERO_RANGE, 95_000, 50_000))
		t.bytes(t.pread(fd, 200_000, 0), append(want, make([]byte, 45_000)...), "zeroed over the end")
	}},
	{"space/large-offset", func(t *T) {
		const tib = 1 << 40
		fd := t.open(t.path("f"), unix.O_CREAT|unix.O_RDWR, 0o644)
		t.pwrite(fd, []byte("far away"), tib+3)
		equal(t, t.fstat(fd).Size, int64(tib+11), "size")
		t.pwrite(fd, []byte("near"), 5)
		t.forget(fd)
		t.bytes(t.pread(fd, 100, tib+3), []byte("far away"), "far end")
		t.bytes(t.pread(fd, 10, 3), []byte("\x00\x00near\x00\x00\x00\x00"), "near end")
		t.ok(unix.Ftruncate(fd, 9))
		t.bytes(t.pread(fd, 100, 0), []byte("\x00\x00\x00\x00\x00near"), "cut")
	}},
	{"space/statfs", func(t *T) {
		var s unix.Statfs_t
		t.ok(unix.Statfs(t.dir, &s))
		t.that(s.Bsize > 0 && s.Blocks > 0, "size %d x %d", s.Blocks, s.Bsize)
		t.that(s.Bavail <= s.Bfree && s.Bfree <= s.Blocks, "available %d, free %d, of %d", s.Bavail, s.Bfree, s.Blocks)
		t.that(s.Ffree <= s.Files, "%d free inodes of %d", s.Ffree, s.Files)
		equal(t, s.Namelen, int64(255), "longest name")
		fd := t.open(t.path("f"), unix.O_CREAT|unix.O_RDWR, 0o644)
		var of unix.Statfs_t
		t.ok(unix.Fstatfs(fd, &of))
		equal(t, of.Type, s.Type, "type")
	}},
}

// synced makes a file durable and closes one of its handles: from then on the count of its blocks must be true.
func (t *T) synced(path string) {
	fd, err := unix.Open(path, unix.O_RDWR, 0)
	t.ok(err)
	t.ok(unix.Fsync(fd))
	t.ok(unix.Close(fd))
}

// sparseFile has data at 1 MiB (64 KiB) and at 3 MiB (4 KiB), and is 4 MiB long.
func sparseFile(t *T) int {
	fd := t.open(t.path("f"), unix.O_CREAT|unix.O_RDWR, 0o644)
	t.ok(unix.Ftruncate(fd, 4*mib))
	t.pwrite(fd, bytes.Repeat([]byte("d"), 64<<10), mib)
	t.pwrite(fd, bytes.Repeat([]byte("d"), 4096), 3*mib)
	t.ok(unix.Fsync(fd))
	return fd
}
