package posixtest

import (
	"golang.org/x/sys/unix"
)

// lockOf asks who holds a lock on bytes of a file that keeps an exclusive one away.
func (t *T) lockOf(fd int, start, n int64) unix.Flock_t {
	l := unix.Flock_t{Type: unix.F_WRLCK, Start: start, Len: n}
	t.ok(unix.FcntlFlock(uintptr(fd), unix.F_GETLK, &l))
	return l
}

var lockCases = []testCase{
	{"lock/flock", func(t *T) {
		t.file(t.path("f"), "x")
		a, b := t.open(t.path("f"), unix.O_RDWR, 0), t.open(t.path("f"), unix.O_RDWR, 0)
		t.ok(unix.Flock(a, unix.LOCK_SH))
		t.ok(unix.Flock(b, unix.LOCK_SH|unix.LOCK_NB))
		t.errno(unix.Flock(b, unix.LOCK_EX|unix.LOCK_NB), unix.EWOULDBLOCK)
		t.ok(unix.Flock(a, unix.LOCK_UN))
		t.ok(unix.Flock(b, unix.LOCK_EX|unix.LOCK_NB))
		t.errno(unix.Flock(a, unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
		dir := t.open(t.dir, unix.O_RDONLY, 0)
		t.ok(unix.Flock(dir, unix.LOCK_EX))
	}},
	{"lock/flock-between-processes", func(t *T) {
		t.file(t.path("f"), "x")
		fd := t.open(t.path("f"), unix.O_RDWR, 0)
		c := t.child("lock", t.path("f"), "flock")
		c.says("waiting")
		c.says("locked")
		t.errno(unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB), unix.EWOULDBLOCK)
		c.end() // a process that ends gives its locks back
		t.ok(unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB))
		d := t.child("lock", t.path("f"), "flock")
		d.says("waiting")
		t.ok(unix.Flock(fd, unix.LOCK_UN))
		d.says("locked")
		d.end()
	}},
	{"lock/fcntl-between-processes", func(t *T) {
		t.file(t.path("f"), "x")
		fd := t.open(t.path("f"), unix.O_RDWR, 0)
		c := t.child("lock", t.path("f"), "fcntl")
		c.says("waiting")
		c.says("locked")
		l := t.lockOf(fd, 0, 100)
		equal(t, l.Type, int16(unix.F_WRLCK), "kind of lock")
		equal(t, [3]int64{int64(l.Pid), l.Start, l.Len}, [3]int64{int64(c.cmd.Process.Pid), 10, 10}, "pid and range")
		set := func(start, n int64) error {
			return unix.FcntlFlock(uintptr(fd), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK, Start: start, Len: n})
		}
		t.errno(set(15, 1), unix.EAGAIN, unix.EACCES)
		t.ok(set(20, 5)) // other bytes
		c.end()
		t.ok(set(0, 0)) // to the end
		d := t.child("lock", t.path("f"), "fcntl")
		d.says("waiting")
		t.ok(unix.FcntlFlock(uintptr(fd), unix.F_SETLK, &unix.Flock_t{Type: unix.F_UNLCK}))
		d.says("locked")
		equal(t, int(t.lockOf(fd, 12, 1).Pid), d.cmd.Process.Pid, "pid")
		d.end()
		equal(t, t.lockOf(fd, 12, 1).Type, int16(unix.F_UNLCK), "lock after the process ended")
	}},
	{"lock/fcntl-rights", func(t *T) {
		t.file(t.path("f"), "x")
		r := t.open(t.path("f"), unix.O_RDONLY, 0)
		t.errno(unix.FcntlFlock(uintptr(r), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK, Len: 1}), unix.EBADF)
		t.ok(unix.FcntlFlock(uintptr(r), unix.F_SETLK, &unix.Flock_t{Type: unix.F_RDLCK, Len: 1}))
	}},
	{"lock/of-open-file", func(t *T) {
		t.file(t.path("f"), "x")
		a, b := t.open(t.path("f"), unix.O_RDWR, 0), t.open(t.path("f"), unix.O_RDWR, 0)
		set := func(fd int, typ int16) error {
			return unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &unix.Flock_t{Type: typ, Len: 10})
		}
		t.ok(set(a, unix.F_WRLCK))
		t.errno(set(b, unix.F_RDLCK), unix.EAGAIN)
		t.ok(set(a, unix.F_UNLCK))
		t.ok(set(b, unix.F_RDLCK))
	}},
}
