package posixtest

import (
	"golang.org/x/sys/unix"
)

// The users and the group that cases act as.
const (
	alice = 5001
	bob   = 5002
	staff = 6001
)

// user runs fn as a user whose group has the same number, and who is in the groups given.
func (t *T) user(uid int, fn func(), groups ...uint32) { t.as(uid, uid, groups, fn) }

// owned makes a file of an owner with a mode.
func (t *T) owned(path string, uid, gid int, mode uint32) string {
	t.file(path, "x")
	t.ok(unix.Chown(path, uid, gid))
	t.ok(unix.Chmod(path, mode))
	return path
}

// ownedDir is the same for a folder.
func (t *T) ownedDir(path string, uid, gid int, mode uint32) string {
	t.mkdir(path)
	t.ok(unix.Chown(path, uid, gid))
	t.ok(unix.Chmod(path, mode))
	return path
}

var permissionCases = []testCase{
	{"permission/read-write", func(t *T) {
		f := t.owned(t.path("f"), alice, staff, 0o640)
		t.user(alice, func() { t.open(f, unix.O_RDWR, 0) })
		t.user(bob, func() {
			t.refused(f, unix.O_RDONLY, unix.EACCES)
			t.refused(f, unix.O_WRONLY|unix.O_TRUNC, unix.EACCES)
			t.errno(unix.Truncate(f, 0), unix.EACCES)
		})
		t.user(bob, func() {
			t.open(f, unix.O_RDONLY, 0)
			t.refused(f, unix.O_RDWR, unix.EACCES)
		}, staff)
		t.content(f, "x")
	}},
	{"permission/owner-class-counts-first", func(t *T) {
		f := t.owned(t.path("f"), alice, staff, 0o077)
		t.user(alice, func() { t.refused(f, unix.O_RDONLY, unix.EACCES) }, staff)
		t.user(bob, func() { t.open(f, unix.O_RDWR, 0) })
	}},
	{"permission/search", func(t *T) {
		d := t.ownedDir(t.path("d"), alice, alice, 0o700)
		t.file(t.path("d", "f"), "x")
		t.user(bob, func() {
			var st unix.Stat_t
			t.errno(unix.Stat(t.path("d", "f"), &st), unix.EACCES)
			t.refused(d, unix.O_RDONLY, unix.EACCES)
		})
		t.ok(unix.Chmod(d, 0o711))
		t.user(bob, func() {
			t.stat(t.path("d", "f"))
			t.refused(d, unix.O_RDONLY, unix.EACCES)
		})
		t.ok(unix.Chmod(d, 0o744))
		t.user(bob, func() {
			t.names(d)
			t.refused(t.path("d", "f"), unix.O_RDONLY, unix.EACCES)
		})
	}},
	{"permission/change-folder", func(t *T) {
		d := t.ownedDir(t.path("d"), alice, alice, 0o755)
		f := t.owned(t.path("d", "f"), bob, bob, 0o644)
		t.user(bob, func() {
			t.refused(t.path("d", "new"), unix.O_CREAT|unix.O_RDWR, unix.EACCES)
			t.errno(unix.Unlink(f), unix.EACCES)
			t.errno(unix.Mkdir(t.path("d", "e"), 0o755), unix.EACCES)
			t.errno(unix.Rename(f, t.path("d", "g")), unix.EACCES)
			t.errno(unix.Symlink("x", t.path("d", "l")), unix.EACCES)
		})
		t.user(alice, func() {
			t.ok(unix.Unlink(f)) // the folder decides
			fd := t.open(t.path("d", "mine"), unix.O_CREAT|unix.O_RDWR, 0o644)
			st := t.fstat(fd)
			equal(t, [2]uint32{st.Uid, st.Gid}, [2]uint32{alice, alice}, "owner of a new file")
		})
		_ = d
	}},
	{"permission/sticky", func(t *T) {
		d := t.ownedDir(t.path("d"), 0, 0, 0o1777)
		f := t.owned(t.path("d", "alices"), alice, alice, 0o666)
		e := t.ownedDir(t.path("d", "folder"), alice, alice, 0o777)
		t.user(bob, func() {
			t.errno(unix.Unlink(f), unix.EPERM)
			t.errno(unix.Rename(f, t.path("d", "stolen")), unix.EPERM)
			t.errno(unix.Rmdir(e), unix.EPERM)
			mine := t.path("d", "bobs")
			t.open(mine, unix.O_CREAT|unix.O_RDWR, 0o666)
			t.errno(unix.Rename(mine, f), unix.EPERM)
			t.ok(unix.Rename(mine, t.path("d", "bobs2")))
			t.ok(unix.Unlink(t.path("d", "bobs2")))
		})
		t.user(alice, func() {
			t.ok(unix.Unlink(f))
			t.ok(unix.Rmdir(e))
		})
		equal(t, t.stat(d).Mode&0o7777, uint32(0o1777), "mode")
	}},
	{"permission/access", func(t *T) {
		f := t.owned(t.path("f"), alice, alice, 0o754)
		for _, c := range []struct {
			uid  int
			mode uint32
			want error
		}{
			{alice, unix.R_OK | unix.W_OK | unix.X_OK, nil},
			{bob, unix.R_OK, nil},
			{bob, unix.W_OK, unix.EACCES},
			{bob, unix.X_OK, unix.EACCES},
			{bob, unix.F_OK, nil},
		} {
			t.user(c.uid, func() {
				if err := unix.Access(f, c.mode); err != c.want {
					t.errorf("access of %d, mode %d: %v, want %v", c.uid, c.mode, err, c.want)
				}
			})
		}
		t.errno(unix.Access(t.path("no"), unix.F_OK), unix.ENOENT)
		noExec := t.owned(t.path("g"), alice, alice, 0o644)
		t.errno(unix.Access(noExec, unix.X_OK), unix.EACCES) // not even for root
		t.ok(unix.Access(noExec, unix.R_OK|unix.W_OK))
	}},
	{"permission/chmod", func(t *T) {
		f := t.owned(t.path("f"), alice, alice, 0o644)
		t.user(bob, func() { t.errno(unix.Chmod(f, 0o666), unix.EPERM) })
		t.user(alice, func() {
			for _, mode := range []uint32{0, 0o777, 0o4711, 0o2755, 0o600} {
				t.ok(unix.Chmod(f, mode))
				equal(t, t.stat(f).Mode&0o7777, mode, "mode")
			}
		})
		d := t.ownedDir(t.path("d"), alice, alice, 0o755)
		t.ok(unix.Chmod(d, 0o2770))
		equal(t, t.stat(d).Mode, uint32(unix.S_IFDIR|0o2770), "mode of a folder")
	}},
	{"permission/open-handle-keeps-rights", func(t *T) {
		f := t.owned(t.path("f"), alice, alice, 0o600)
		t.user(alice, func() {
			fd := t.open(f, unix.O_RDWR, 0)
			t.ok(unix.Chmod(f, 0))
			t.pwrite(fd, []byte("still"), 0)
			t.bytes(t.pread(fd, 9, 0), []byte("still"), "content")
			t.refused(f, unix.O_RDONLY, unix.EACCES)
		})
	}},
	{"permission/protected-link", func(t *T) {
		f := t.owned(t.path("f"), alice, alice, 0o600)
		t.user(bob, func() { t.errno(unix.Link(f, t.path("l")), unix.EPERM, unix.EACCES) })
	}},
}
