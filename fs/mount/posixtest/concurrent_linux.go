package posixtest

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// parallel runs fn for 0 to n-1 at once and wants no error.
func (t *T) parallel(n int, fn func(i int) error) {
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { errs[i] = fn(i) })
	}
	all.Wait()
	for _, err := range errs {
		t.ok(err)
	}
}

var concurrentCases = []testCase{
	{"concurrent/append-by-two-processes", func(t *T) {
		f := t.file(t.path("f"), "")
		const n = 2000
		a, b := t.child("append", f, "a", fmt.Sprint(n)), t.child("append", f, "b", fmt.Sprint(n))
		a.end()
		b.end()
		data, err := os.ReadFile(f)
		t.ok(err)
		equal(t, len(data), 2*n*100, "length")
		next := map[byte]int{}
		for line := range strings.Lines(string(data)) {
			var tag byte
			var i int
			if _, err := fmt.Sscanf(line, "%c %d ", &tag, &i); err != nil || i != next[tag] || len(line) != 100 {
				t.fatalf("line %q: number %d of %c, want %d", line, i, tag, next[tag])
			}
			next[tag]++
		}
	}},
	{"concurrent/writers-of-one-file", func(t *T) {
		const n, size = 8, 300_001
		f := t.path("f")
		t.parallel(n, func(i int) error {
			fd, err := unix.Open(f, unix.O_CREAT|unix.O_RDWR|unix.O_CLOEXEC, 0o644)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			part := make([]byte, size)
			fill(part, uint64(i))
			for at := 0; at < size; at += 7001 {
				if _, err := unix.Pwrite(fd, part[at:min(at+7001, size)], int64(i*size+at)); err != nil {
					return err
				}
			}
			return nil
		})
		fd := t.open(f, unix.O_RDONLY, 0)
		t.forget(fd)
		for i := range n {
			want := make([]byte, size)
			fill(want, uint64(i))
			t.bytes(t.pread(fd, size, int64(i*size)), want, fmt.Sprint("part ", i))
		}
	}},
	{"concurrent/creates", func(t *T) {
		t.parallel(8, func(i int) error {
			for j := range 100 {
				if err := os.WriteFile(t.path(fmt.Sprintf("%d-%d", i, j)), fmt.Append(nil, i, j), 0o644); err != nil {
					return err
				}
			}
			return nil
		})
		equal(t, len(t.names(t.dir)), 800, "names")
		t.content(t.path("7-99"), "7 99")
	}},
	{"concurrent/one-winner", func(t *T) {
		for round := range 30 {
			var files, folders atomic.Int32
			f, d := t.path(fmt.Sprint("f", round)), t.path(fmt.Sprint("d", round))
			t.parallel(6, func(int) error {
				switch fd, err := unix.Open(f, unix.O_CREAT|unix.O_EXCL|unix.O_RDWR|unix.O_CLOEXEC, 0o644); err {
				case nil:
					files.Add(1)
					unix.Close(fd)
				case unix.EEXIST:
				default:
					return err
				}
				switch err := unix.Mkdir(d, 0o755); err {
				case nil:
					folders.Add(1)
				case unix.EEXIST:
				default:
					return err
				}
				return nil
			})
			equal(t, [2]int32{files.Load(), folders.Load()}, [2]int32{1, 1}, "winners")
		}
	}},
	{"concurrent/rename-is-atomic", func(t *T) {
		f := t.path("f")
		a, b := strings.Repeat("a", 10_000), strings.Repeat("b", 10_000)
		t.file(f, a)
		var stop atomic.Bool
		t.parallel(3, func(i int) error {
			if i == 0 {
				defer stop.Store(true)
				for n := range 200 {
					tmp := f + ".tmp"
					if err := os.WriteFile(tmp, []byte([]string{a, b}[n%2]), 0o644); err != nil {
						return err
					}
					if err := os.Rename(tmp, f); err != nil {
						return err
					}
				}
				return nil
			}
			for !stop.Load() {
				got, err := os.ReadFile(f)
				if err != nil {
					return err
				}
				if s := string(got); s != a && s != b {
					return fmt.Errorf("a reader saw a mixture of %d bytes", len(got))
				}
			}
			return nil
		})
	}},
	{"concurrent/tree", func(t *T) { // moves, links and removals in all directions: no error that isn't a race's, no loss
		for i := range 4 {
			t.mkdir(t.path(fmt.Sprint(i)))
		}
		allowed := func(err error) error {
			switch err {
			case nil, unix.ENOENT, unix.EEXIST, unix.ENOTEMPTY, unix.EINVAL, unix.EISDIR, unix.ENOTDIR, unix.ESTALE:
				return nil
			}
			return err
		}
		t.parallel(6, func(i int) error {
			for j := range 150 {
				from, to := t.path(fmt.Sprint(j%4), fmt.Sprint(j%5)), t.path(fmt.Sprint((i+j)%4), fmt.Sprint((i*j)%5))
				var err error
				switch (i + j) % 6 {
				case 0:
					err = unix.Mkdir(from, 0o755)
				case 1, 2:
					err = unix.Rename(from, to)
				case 3:
					err = unix.Link(from, to)
					if err == unix.EPERM {
						err = nil // a folder
					}
				case 4:
					err = unix.Unlink(from)
				case 5:
					var fd int
					if fd, err = unix.Open(from, unix.O_CREAT|unix.O_RDWR|unix.O_CLOEXEC, 0o644); err == nil {
						err = unix.Close(fd)
					}
				}
				if err := allowed(err); err != nil {
					return fmt.Errorf("step %d of %d: %w", j, i, err)
				}
			}
			return nil
		})
		for i := range 4 {
			d := t.path(fmt.Sprint(i))
			for _, n := range t.names(d) {
				t.lstat(d + "/" + n)
			}
		}
	}},
	{"concurrent/reads-while-writing", func(t *T) {
		f := t.path("f")
		t.ok(os.WriteFile(f, bytes.Repeat([]byte{1}, 4096*16), 0o644))
		var stop atomic.Bool
		t.parallel(3, func(i int) error {
			fd, err := unix.Open(f, unix.O_RDWR|unix.O_CLOEXEC, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			if i == 0 {
				defer stop.Store(true)
				for n := range 300 {
					if _, err := unix.Pwrite(fd, bytes.Repeat([]byte{byte(n%250 + 1)}, 4096), int64(n%16)*4096); err != nil {
						return err
					}
				}
				return nil
			}
			for n := 0; !stop.Load(); n++ {
				b := make([]byte, 4096)
				if k, err := unix.Pread(fd, b, int64(n%16)*4096); err != nil || k != 4096 || b[0] == 0 || b[4095] == 0 {
					return fmt.Errorf("read %d bytes, first %d: %w", k, b[0], err)
				}
			}
			return nil
		})
	}},
}
