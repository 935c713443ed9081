package posixtest

import (
	"fmt"
	"math/rand/v2"
	"os"

	"golang.org/x/sys/unix"
)

var dataCases = []testCase{
	{"data/odd-offsets", func(t *T) {
		const limit = 3 << 20
		r := rand.New(rand.NewPCG(1, 2))
		fd := t.open(t.path("f"), unix.O_CREAT|unix.O_RDWR, 0o644)
		var model []byte
		for i := range 300 {
			off, n := r.Int64N(limit), 1+r.IntN(1+r.IntN(100_000))
			b := make([]byte, n)
			fill(b, uint64(i))
			t.pwrite(fd, b, off)
			model = overlay(model, b, off)
			if i%60 == 59 {
				t.forget(fd)
			}
			at := r.IntN(len(model))
			k := min(1+r.IntN(70_000), len(model)-at)
			t.bytes(t.pread(fd, k, int64(at)), model[at:at+k], fmt.Sprintf("read %d at %d", k, at))
		}
		t.forget(fd)
		t.bytes(t.pread(fd, limit*2, 0), model, "whole file")
	}},
	{"data/truncates-and-writes", func(t *T) {
		r := rand.New(rand.NewPCG(3, 4))
		fd := t.open(t.path("f"), unix.O_CREAT|unix.O_RDWR, 0o644)
		var model []byte
		for i := range 300 {
			if r.IntN(3) == 0 {
				size := r.IntN(300_000)
				t.ok(unix.Ftruncate(fd, int64(size)))
				if size <= len(model) {
					model = model[:size:size]
				} else {
					model = append(model, make([]byte, size-len(model))...)
				}
			} else {
				b := make([]byte, 1+r.IntN(20_000))
				fill(b, uint64(i))
				off := r.Int64N(250_000)
				t.pwrite(fd, b, off)
				model = overlay(model, b, off)
			}
			if i%40 == 39 {
				t.forget(fd)
			}
			equal(t, t.fstat(fd).Size, int64(len(model)), "size")
		}
		t.forget(fd)
		t.bytes(t.pread(fd, 1<<20, 0), model, "whole file")
	}},
	{"data/write-only-handle", func(t *T) {
		for _, size := range []int{100, 10_000, 70_000, 300_000} {
			want := make([]byte, size)
			fill(want, uint64(size))
			name := t.path(fmt.Sprint(size))
			t.ok(os.WriteFile(name, want, 0o644))
			r := t.open(name, unix.O_RDONLY, 0)
			t.forget(r)
			w := t.open(name, unix.O_WRONLY, 0)
			t.pwrite(w, []byte("middle"), int64(size/2)) // the kernel must read the page around it
			copy(want[size/2:], "middle")
			t.bytes(t.pread(r, size+10, 0), want, name)
			t.forget(r)
			t.bytes(t.pread(r, size+10, 0), want, name+" read again")
		}
	}},
	{"data/sizes", func(t *T) {
		for _, size := range []int{0, 1, 4095, 4096, 4097, 65535, 65536, 65537, 131072, 131073, 1 << 20, 1<<20 + 1} {
			want := make([]byte, size)
			fill(want, uint64(size))
			name := t.path(fmt.Sprint(size))
			fd := t.open(name, unix.O_CREAT|unix.O_RDWR, 0o644)
			t.pwrite(fd, want, 0)
			t.forget(fd)
			t.bytes(t.pread(fd, size+1, 0), want, name)
			t.pwrite(fd, []byte("tail"), int64(size))
			t.forget(fd)
			t.bytes(t.pread(fd, size+10, 0), append(want, "tail"...), name+" with tail")
		}
	}},
	{"data/position", func(t *T) {
		t.file(t.path("f"), "0123456789")
		fd := t.open(t.path("f"), unix.O_RDWR, 0)
		for _, c := range []struct {
			off    int64
			whence int
			want   int64
		}{{4, unix.SEEK_SET, 4}, {2, unix.SEEK_CUR, 6}, {-1, unix.SEEK_END, 9}, {100, unix.SEEK_END, 110}} {
			got, err := unix.Seek(fd, c.off, c.whence)
			t.ok(err)
			equal(t, got, c.want, "position")
		}
		_, err := unix.Seek(fd, -1, unix.SEEK_SET)
		t.errno(err, unix.EINVAL)
		n, err := unix.Read(fd, make([]byte, 4))
		t.ok(err)
		equal(t, n, 0, "read behind the end")
		n, err = unix.Write(fd, nil)
		t.ok(err)
		equal(t, n, 0, "empty write")
		equal(t, t.fstat(fd).Size, int64(10), "size")
	}},
	{"data/vectors", func(t *T) {
		fd := t.open(t.path("f"), unix.O_CREAT|unix.O_RDWR, 0o644)
		_, err := unix.Pwritev(fd, [][]byte{[]byte("one"), {}, []byte("two")}, 1)
		t.ok(err)
		a, b := make([]byte, 2), make([]byte, 9)
		n, err := unix.Preadv(fd, [][]byte{a, b}, 0)
		t.ok(err)
		equal(t, n, 7, "length")
		t.bytes(append(a, b[:5]...), []byte("\x00onetwo"), "content")
	}},
	{"data/truncate-by-path", func(t *T) {
		t.file(t.path("f"), "0123456789")
		fd := t.open(t.path("f"), unix.O_RDONLY, 0)
		t.ok(unix.Truncate(t.path("f"), 4))
		t.bytes(t.pread(fd, 20, 0), []byte("0123"), "shorter")
		t.ok(unix.Truncate(t.path("f"), 6))
		t.bytes(t.pread(fd, 20, 0), []byte("0123\x00\x00"), "longer again")
		t.errno(unix.Truncate(t.path("f"), -1), unix.EINVAL)
		t.errno(unix.Truncate(t.path("no"), 1), unix.ENOENT)
		t.errno(unix.Truncate(t.mkdir(t.path("d")), 1), unix.EISDIR)
	}},
	{"data/fsync", func(t *T) {
		fd := t.open(t.path("f"), unix.O_CREAT|unix.O_RDWR, 0o644)
		t.pwrite(fd, []byte("durable"), 0)
		t.ok(unix.Fsync(fd))
		t.ok(unix.Fdatasync(fd))
		t.ok(unix.SyncFileRange(fd, 0, 0, unix.SYNC_FILE_RANGE_WRITE))
		ro := t.open(t.path("f"), unix.O_RDONLY, 0)
		t.ok(unix.Fsync(ro))
		dir := t.open(t.dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		t.ok(unix.Fsync(dir))
		t.ok(unix.Fdatasync(dir))
		t.ok(unix.Syncfs(fd))
		t.content(t.path("f"), "durable")
	}},
	{"data/copy-file-range", func(t *T) {
		src := make([]byte, 300_000)
		fill(src, 9)
		t.ok(os.WriteFile(t.path("a"), src, 0o644))
		in := t.open(t.path("a"), unix.O_RDONLY, 0)
		out := t.open(t.path("b"), unix.O_CREAT|unix.O_RDWR, 0o644)
		from, to := int64(1000), int64(77)
		want := append(make([]byte, 77), src[1000:1000+200_000]...)
		for left := 200_000; left > 0; {
			n, err := unix.CopyFileRange(in, &from, out, &to, left, 0)
			t.ok(err)
			if n == 0 {
				t.fatalf("copied nothing with %d bytes left", left)
			}
			left -= n
		}
		t.bytes(t.pread(out, 400_000, 0), want, "copy")
		end := int64(300_000)
		n, err := unix.CopyFileRange(in, &end, out, &to, 10, 0)
		t.ok(err)
		equal(t, n, 0, "copied from the end")
		a, b := int64(0), int64(50)
		_, err = unix.CopyFileRange(out, &a, out, &b, 100, 0)
		t.errno(err, unix.EINVAL) // the ranges overlap
	}},
	{"data/sendfile", func(t *T) {
		src := make([]byte, 500_000)
		fill(src, 10)
		t.ok(os.WriteFile(t.path("a"), src, 0o644))
		in := t.open(t.path("a"), unix.O_RDONLY, 0)
		out := t.open(t.path("b"), unix.O_CREAT|unix.O_RDWR, 0o644)
		for left := len(src); left > 0; {
			n, err := unix.Sendfile(out, in, nil, left)
			t.ok(err)
			if n == 0 {
				t.fatalf("sent nothing with %d bytes left", left)
			}
			left -= n
		}
		t.bytes(t.pread(out, len(src)+1, 0), src, "copy")
	}},
	{"data/two-handles", func(t *T) {
		a := t.open(t.path("f"), unix.O_CREAT|unix.O_RDWR, 0o644)
		b := t.open(t.path("f"), unix.O_RDWR, 0)
		for i := range 50 {
			msg := fmt.Appendf(nil, "message %d", i)
			t.pwrite(a, msg, int64(i*1000))
			t.bytes(t.pread(b, len(msg), int64(i*1000)), msg, "through the other handle")
			equal(t, t.fstat(b).Size, int64(i*1000+len(msg)), "size")
		}
	}},
}

// overlay writes b over model at off.
func overlay(model, b []byte, off int64) []byte {
	if end := int(off) + len(b); end > len(model) {
		model = append(model, make([]byte, end-len(model))...)
	}
	copy(model[off:], b)
	return model
}
