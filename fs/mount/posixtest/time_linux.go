package posixtest

import (
	"os"

	"golang.org/x/sys/unix"
)

// moved names the times that differ: "m" and "c".
func moved(a, b unix.Stat_t) string {
	s := ""
	if a.Mtim != b.Mtim {
		s += "m"
	}
	if a.Ctim != b.Ctim {
		s += "c"
	}
	return s
}

// moves wants that an action moves certain times of a path, and none backwards.
func (t *T) moves(path, want, what string, act func()) {
	before := t.lstat(path)
	t.tick()
	act()
	after := t.lstat(path)
	equal(t, moved(before, after), want, what+" moves")
	t.that(after.Mtim.Nano() >= before.Mtim.Nano() && after.Ctim.Nano() >= before.Ctim.Nano(), "%s moves times backwards", what)
}

var timeCases = []testCase{
	{"time/contents", func(t *T) {
		f := t.file(t.path("f"), "content")
		fd := t.open(f, unix.O_RDWR, 0)
		t.moves(f, "mc", "write", func() { t.pwrite(fd, []byte("x"), 0) })
		t.moves(f, "mc", "write at the end", func() { t.pwrite(fd, []byte("x"), 100) })
		t.moves(f, "", "empty write", func() { _, _ = unix.Pwrite(fd, nil, 0) })
		t.moves(f, "mc", "ftruncate", func() { t.ok(unix.Ftruncate(fd, 3)) })
		t.moves(f, "mc", "truncate", func() { t.ok(unix.Truncate(f, 30)) })
		t.moves(f, "mc", "O_TRUNC", func() { t.open(f, unix.O_WRONLY|unix.O_TRUNC, 0) })
		t.moves(f, "mc", "fallocate", func() { t.ok(unix.Fallocate(fd, 0, 0, 100)) })
		t.moves(f, "mc", "punch", func() { t.ok(unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, 10)) })
		t.moves(f, "", "read", func() { t.pread(fd, 10, 0) })
	}},
	{"time/close-and-fsync-keep", func(t *T) {
		f := t.path("f")
		fd, err := unix.Open(f, unix.O_CREAT|unix.O_RDWR, 0o644)
		t.ok(err)
		t.pwrite(fd, []byte("x"), 0)
		written := t.lstat(f)
		t.tick()
		t.ok(unix.Fsync(fd))
		equal(t, moved(written, t.lstat(f)), "", "fsync moves")
		t.ok(unix.Close(fd))
		equal(t, moved(written, t.lstat(f)), "", "close moves")
		t.forget(t.open(f, unix.O_RDONLY, 0))
		equal(t, moved(written, t.lstat(f)), "", "dropping pages moves")
	}},
	{"time/attributes", func(t *T) {
		f := t.file(t.path("f"), "content")
		t.moves(f, "c", "chmod", func() { t.ok(unix.Chmod(f, 0o600)) })
		t.moves(f, "c", "chown", func() { t.ok(unix.Chown(f, 1, 1)) })
		t.moves(f, "c", "setxattr", func() { t.ok(unix.Setxattr(f, "user.a", []byte("b"), 0)) })
		t.moves(f, "c", "removexattr", func() { t.ok(unix.Removexattr(f, "user.a")) })
		t.moves(f, "c", "link", func() { t.ok(unix.Link(f, t.path("g"))) })
		t.moves(f, "c", "unlink of another name", func() { t.ok(unix.Unlink(t.path("g"))) })
		g := t.path("g")
		before := t.stat(f)
		t.tick()
		t.ok(unix.Rename(f, g))
		equal(t, moved(before, t.stat(g)), "c", "rename moves")
	}},
	{"time/folders", func(t *T) {
		d := t.mkdir(t.path("d"))
		f := t.path("d", "f")
		t.moves(d, "mc", "create", func() { t.file(f, "") })
		t.moves(d, "", "write to a file inside", func() { t.file(f, "more") })
		t.moves(d, "", "chmod of a file inside", func() { t.ok(unix.Chmod(f, 0o600)) })
		t.moves(d, "mc", "mkdir", func() { t.mkdir(t.path("d", "e")) })
		t.moves(d, "mc", "rmdir", func() { t.ok(unix.Rmdir(t.path("d", "e"))) })
		t.moves(d, "mc", "link", func() { t.ok(unix.Link(f, t.path("d", "g"))) })
		t.moves(d, "mc", "rename inside", func() { t.ok(unix.Rename(t.path("d", "g"), t.path("d", "h"))) })
		t.moves(d, "mc", "symlink", func() { t.ok(os.Symlink("x", t.path("d", "l"))) })
		t.moves(d, "mc", "mkfifo", func() { t.ok(unix.Mkfifo(t.path("d", "p"), 0o644)) })
		t.moves(d, "mc", "unlink", func() { t.ok(unix.Unlink(f)) })
		t.moves(d, "mc", "rename out", func() { t.ok(unix.Rename(t.path("d", "h"), t.path("h"))) })
		t.moves(d, "mc", "rename in", func() { t.ok(unix.Rename(t.path("h"), t.path("d", "h"))) })
		t.moves(d, "", "listing", func() { t.names(d) })
		t.moves(t.dir, "", "change of a folder inside", func() { t.file(t.path("d", "new"), "") })
	}},
	{"time/utimensat", func(t *T) {
		f := t.file(t.path("f"), "x")
		set := func(a, m unix.Timespec) {
			t.ok(unix.UtimesNanoAt(unix.AT_FDCWD, f, []unix.Timespec{a, m}, 0))
		}
		for _, ts := range []unix.Timespec{
			{Sec: 1, Nsec: 1}, {Sec: 1_700_000_000, Nsec: 123_456_789}, {Sec: 1 << 31, Nsec: 7}, {Sec: 1<<32 + 5, Nsec: 0},
		} {
			set(ts, ts)
			equal(t, t.stat(f).Mtim, ts, "mtime")
			equal(t, t.stat(f).Atim, ts, "atime")
		}
		base := unix.Timespec{Sec: 1000, Nsec: 1}
		set(base, base)
		omit, now := unix.Timespec{Nsec: unix.UTIME_OMIT}, unix.Timespec{Nsec: unix.UTIME_NOW}
		set(unix.Timespec{Sec: 5}, omit)
		equal(t, [2]int64{t.stat(f).Atim.Sec, t.stat(f).Mtim.Sec}, [2]int64{5, 1000}, "atime set, mtime left")
		set(omit, unix.Timespec{Sec: 6})
		equal(t, [2]int64{t.stat(f).Atim.Sec, t.stat(f).Mtim.Sec}, [2]int64{5, 6}, "mtime set, atime left")
		t.moves(f, "mc", "UTIME_NOW", func() { set(omit, now) })
		equal(t, t.stat(f).Atim.Sec, int64(5), "atime left")
		t.moves(f, "", "OMIT of both", func() { set(omit, omit) })
	}},
	{"time/before-1970", func(t *T) {
		f := t.file(t.path("f"), "x")
		for _, ts := range []unix.Timespec{{Sec: -1, Nsec: 5}, {Sec: -86400 * 365, Nsec: 999_999_999}, {Sec: -1000}} {
			t.ok(unix.UtimesNanoAt(unix.AT_FDCWD, f, []unix.Timespec{ts, ts}, 0))
			equal(t, t.stat(f).Mtim, ts, "mtime")
			equal(t, t.stat(f).Atim, ts, "atime")
		}
	}},
	{"time/utimensat-while-writing", func(t *T) { // what cp -p, tar and rsync do
		f := t.path("f")
		fd, err := unix.Open(f, unix.O_CREAT|unix.O_WRONLY, 0o644)
		t.ok(err)
		t.pwrite(fd, make([]byte, 200_000), 0)
		ts := unix.Timespec{Sec: 1_000_000_000, Nsec: 987_654_321}
		t.ok(unix.UtimesNanoAt(unix.AT_FDCWD, f, []unix.Timespec{ts, ts}, 0))
		equal(t, t.fstat(fd).Mtim, ts, "mtime")
		t.ok(unix.Fsync(fd))
		t.ok(unix.Close(fd))
		r := t.open(f, unix.O_RDONLY, 0)
		t.forget(r)
		equal(t, t.stat(f).Mtim, ts, "mtime after the pages were written")
	}},
	{"time/utimensat-rights", func(t *T) {
		f := t.owned(t.path("f"), alice, alice, 0o666)
		set := func(a, m unix.Timespec) error {
			return unix.UtimesNanoAt(unix.AT_FDCWD, f, []unix.Timespec{a, m}, 0)
		}
		now := unix.Timespec{Nsec: unix.UTIME_NOW}
		t.user(bob, func() {
			t.errno(set(unix.Timespec{Sec: 1}, unix.Timespec{Sec: 1}), unix.EPERM)
			t.ok(set(now, now)) // who may write may touch
		})
		t.ok(unix.Chmod(f, 0o644))
		t.user(bob, func() { t.errno(set(now, now), unix.EACCES) })
		t.user(alice, func() { t.ok(set(unix.Timespec{Sec: 1}, unix.Timespec{Sec: 1})) })
	}},
	{"time/birth", func(t *T) {
		f := t.file(t.path("f"), "x")
		var before, after unix.Statx_t
		t.ok(unix.Statx(unix.AT_FDCWD, f, 0, unix.STATX_BTIME|unix.STATX_BASIC_STATS, &before))
		t.that(before.Mask&unix.STATX_BTIME != 0, "statx tells no time of birth")
		t.tick()
		t.ok(os.WriteFile(f, []byte("changed"), 0o644))
		t.ok(unix.Chmod(f, 0o600))
		t.ok(unix.Rename(f, t.path("g")))
		t.ok(unix.Statx(unix.AT_FDCWD, t.path("g"), unix.AT_STATX_FORCE_SYNC, unix.STATX_BTIME, &after))
		equal(t, after.Btime, before.Btime, "time of birth")
	}},
}
