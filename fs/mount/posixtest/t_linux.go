package posixtest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// errorf notes a failure with the line that it happened at.
func (t *T) errorf(format string, args ...any) {
	t.failures = append(t.failures, caller()+fmt.Sprintf(format, args...))
}

// caller is the nearest line outside of this file.
func caller() string {
	for skip := 2; skip < 12; skip++ {
		if _, file, line, ok := runtime.Caller(skip); ok && filepath.Base(file) != "t_linux.go" {
			return fmt.Sprintf("%s:%d: ", filepath.Base(file), line)
		}
	}
	return ""
}

func (t *T) fatalf(format string, args ...any) {
	t.errorf(format, args...)
	t.stop()
}

// path is a path inside the case's folder.
func (t *T) path(parts ...string) string { return filepath.Join(append([]string{t.dir}, parts...)...) }

// ok ends the case when err isn't nil.
func (t *T) ok(err error) {
	if err != nil {
		t.fatalf("%v", err)
	}
}

// errno wants a certain error.
func (t *T) errno(err error, want ...syscall.Errno) {
	for _, w := range want {
		if errors.Is(err, w) {
			return
		}
	}
	names := make([]string, len(want))
	for i, w := range want {
		names[i] = unix.ErrnoName(w)
	}
	t.errorf("got error %v, want %s", err, strings.Join(names, " or "))
}

// equal compares two values of one type.
func equal[V any](t *T, got, want V, what string) {
	if !reflect.DeepEqual(got, want) {
		t.errorf("%s: got %v, want %v", what, got, want)
	}
}

// bytes compares contents without printing them.
func (t *T) bytes(got, want []byte, what string) {
	if len(got) != len(want) {
		t.errorf("%s: %d bytes, want %d", what, len(got), len(want))
		return
	}
	for i := range got {
		if got[i] != want[i] {
			t.errorf("%s: byte %d is %#x, want %#x", what, i, got[i], want[i])
			return
		}
	}
}

// that wants a condition.
func (t *T) that(cond bool, format string, args ...any) {
	if !cond {
		t.errorf(format, args...)
	}
}

// open opens, and closes at the end of the case.
func (t *T) open(path string, flags int, mode uint32) int {
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, mode)
	if err != nil {
		t.fatalf("open %s: %v", filepath.Base(path), err)
	}
	t.closers = append(t.closers, func() { _ = unix.Close(fd) })
	return fd
}

// refused opens, which must fail.
func (t *T) refused(path string, flags int, want ...syscall.Errno) {
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0o644)
	if err == nil {
		unix.Close(fd)
	}
	t.errno(err, want...)
}

// file makes a file with a content.
func (t *T) file(path, content string) string {
	t.ok(os.WriteFile(path, []byte(content), 0o644))
	return path
}

func (t *T) mkdir(path string) string {
	t.ok(unix.Mkdir(path, 0o755))
	return path
}

// content wants a file's content.
func (t *T) content(path, want string) {
	b, err := os.ReadFile(path)
	t.ok(err)
	t.bytes(b, []byte(want), filepath.Base(path))
}

func (t *T) stat(path string) (st unix.Stat_t) {
	t.ok(unix.Stat(path, &st))
	return st
}

func (t *T) lstat(path string) (st unix.Stat_t) {
	t.ok(unix.Lstat(path, &st))
	return st
}

func (t *T) fstat(fd int) (st unix.Stat_t) {
	t.ok(unix.Fstat(fd, &st))
	return st
}

func (t *T) gone(path string) {
	var st unix.Stat_t
	t.errno(unix.Lstat(path, &st), unix.ENOENT)
}

// pwrite writes all of b.
func (t *T) pwrite(fd int, b []byte, off int64) {
	for len(b) > 0 {
		n, err := unix.Pwrite(fd, b, off)
		t.ok(err)
		b, off = b[n:], off+int64(n)
	}
}

// pread reads n bytes, or fewer at the end of the file.
func (t *T) pread(fd, n int, off int64) []byte {
	b := make([]byte, n)
	got := 0
	for got < n {
		k, err := unix.Pread(fd, b[got:], off+int64(got))
		t.ok(err)
		if k == 0 {
			break
		}
		got += k
	}
	return b[:got]
}

// forget drops a file's pages from the kernel's cache, so that the next read asks the filesystem.
func (t *T) forget(fd int) {
	t.ok(unix.Fsync(fd))
	t.ok(unix.Fadvise(fd, 0, 0, unix.FADV_DONTNEED))
}

// names lists a folder, sorted.
func (t *T) names(dir string) []string {
	entries, err := os.ReadDir(dir)
	t.ok(err)
	names := []string{}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	slices.Sort(names)
	return names
}

// tick returns when the kernel's coarse clock, by which it stamps files, has moved twice.
func (t *T) tick() {
	last := coarse()
	for moved := 0; moved < 2; {
		if now := coarse(); now != last {
			last, moved = now, moved+1
		} else {
			runtime.Gosched()
		}
	}
}

func coarse() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &ts)
	return ts.Nano()
}

// alone runs fn on a thread with its own umask and working directory, which ends with it.
func (t *T) alone(fn func()) {
	done, finished := make(chan struct{}), false
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			t.fatalf("unshare: %v", err)
		}
		fn()
		finished = true
	}()
	<-done
	if !finished {
		t.stop()
	}
}

// as runs fn as another user, without capabilities.
func (t *T) as(uid, gid int, groups []uint32, fn func()) {
	t.alone(func() {
		var list *uint32
		if len(groups) > 0 {
			list = &groups[0]
		}
		t.ok(setGroups(len(groups), list))
		t.ok(raw(unix.SYS_SETRESGID, gid))
		t.ok(raw(unix.SYS_SETRESUID, uid))
		fn()
	})
}

// raw sets all three ids of this thread only.
func raw(call uintptr, id int) error {
	if _, _, e := syscall.RawSyscall(call, uintptr(id), uintptr(id), uintptr(id)); e != 0 {
		return e
	}
	return nil
}

// nano is a time in nanoseconds since 1970.
func nano(ts unix.Timespec) int64 { return ts.Nano() }
