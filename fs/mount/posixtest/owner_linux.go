package posixtest

import (
	"os"

	"golang.org/x/sys/unix"
)

var ownerCases = []testCase{
	{"owner/chown", func(t *T) {
		f := t.owned(t.path("f"), alice, alice, 0o644)
		t.ok(unix.Chown(f, -1, staff))
		st := t.stat(f)
		equal(t, [2]uint32{st.Uid, st.Gid}, [2]uint32{alice, staff}, "owner")
		t.ok(unix.Chown(f, 4_000_000_000, -1))
		equal(t, t.stat(f).Uid, uint32(4_000_000_000), "large owner")
		t.ok(unix.Chown(f, alice, alice))
		t.user(bob, func() { t.errno(unix.Chown(f, bob, -1), unix.EPERM) })
		t.user(alice, func() {
			t.errno(unix.Chown(f, bob, -1), unix.EPERM)
			t.errno(unix.Chown(f, -1, staff), unix.EPERM) // not in that group
		})
		t.user(alice, func() { t.ok(unix.Chown(f, -1, staff)) }, staff)
		equal(t, t.stat(f).Gid, uint32(staff), "group")
	}},
	{"owner/chown-drops-suid", func(t *T) {
		f := t.owned(t.path("f"), alice, alice, 0o6755)
		t.user(alice, func() { t.ok(unix.Chown(f, alice, staff)) }, staff)
		equal(t, t.stat(f).Mode&0o7777, uint32(0o755), "mode after chown by the owner")
		g := t.owned(t.path("g"), alice, alice, 0o6755)
		t.ok(unix.Chown(g, bob, bob))
		equal(t, t.stat(g).Mode&0o7777, uint32(0o755), "mode after chown by root")
		d := t.ownedDir(t.path("d"), alice, alice, 0o2755)
		t.ok(unix.Chown(d, bob, bob))
		equal(t, t.stat(d).Mode&0o7777, uint32(0o2755), "a folder keeps setgid")
	}},
	{"owner/write-drops-suid", func(t *T) {
		f := t.owned(t.path("f"), alice, alice, 0o6777)
		t.user(bob, func() {
			fd := t.open(f, unix.O_WRONLY, 0)
			t.pwrite(fd, []byte("y"), 0)
			equal(t, t.fstat(fd).Mode&0o7777, uint32(0o777), "mode after a write")
		})
		equal(t, t.stat(f).Mode&0o7777, uint32(0o777), "mode after a write")
	}},
	{"owner/write-by-root-keeps-suid", func(t *T) {
		f := t.owned(t.path("f"), alice, alice, 0o6777)
		fd := t.open(f, unix.O_WRONLY, 0)
		t.pwrite(fd, []byte("y"), 0)
		t.ok(unix.Fsync(fd))
		equal(t, t.stat(f).Mode&0o7777, uint32(0o6777), "mode after a write by root")
	}},
	{"owner/truncate-drops-suid", func(t *T) {
		for name, cut := range map[string]func(f string){
			"truncate": func(f string) { t.ok(unix.Truncate(f, 0)) },
			"open":     func(f string) { t.open(f, unix.O_WRONLY|unix.O_TRUNC, 0) },
		} {
			f := t.owned(t.path(name), alice, alice, 0o6777)
			t.user(bob, func() { cut(f) })
			equal(t, t.stat(f).Mode&0o7777, uint32(0o777), "mode after "+name)
		}
	}},
	{"owner/write-drops-capabilities", func(t *T) {
		f := t.owned(t.path("f"), alice, alice, 0o777)
		// struct vfs_cap_data, revision 2: cap_net_bind_service permitted and effective
		value := []byte{1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
		t.ok(unix.Setxattr(f, "security.capability", value, 0))
		t.user(bob, func() { t.pwrite(t.open(f, unix.O_WRONLY, 0), []byte("y"), 0) })
		_, err := unix.Getxattr(f, "security.capability", make([]byte, 100))
		t.errno(err, unix.ENODATA)
	}},
	{"owner/chmod-drops-setgid-of-strangers", func(t *T) {
		f := t.owned(t.path("f"), alice, staff, 0o755)
		t.user(alice, func() { t.ok(unix.Chmod(f, 0o2755)) }) // not in the file's group
		equal(t, t.stat(f).Mode&0o7777, uint32(0o755), "mode")
		t.user(alice, func() { t.ok(unix.Chmod(f, 0o2755)) }, staff)
		equal(t, t.stat(f).Mode&0o7777, uint32(0o2755), "mode by a member")
	}},
	{"owner/setgid-folder", func(t *T) {
		d := t.ownedDir(t.path("d"), alice, staff, 0o2777)
		t.user(bob, func() {
			t.open(t.path("d", "f"), unix.O_CREAT|unix.O_RDWR, 0o644)
			t.mkdir(t.path("d", "e"))
			t.ok(os.Symlink("x", t.path("d", "l")))
			t.ok(unix.Mkfifo(t.path("d", "p"), 0o644))
		})
		for _, n := range []string{"f", "e", "l", "p"} {
			equal(t, t.lstat(t.path("d", n)).Gid, uint32(staff), "group of "+n)
			equal(t, t.lstat(t.path("d", n)).Uid, uint32(bob), "owner of "+n)
		}
		equal(t, t.stat(t.path("d", "e")).Mode&unix.S_ISGID, uint32(unix.S_ISGID), "a new folder is setgid too")
		equal(t, t.stat(t.path("d", "f")).Mode&unix.S_ISGID, uint32(0), "a new file isn't")
		_ = d
	}},
	{"owner/setgid-file-of-a-stranger", func(t *T) {
		t.ownedDir(t.path("d"), alice, staff, 0o2777)
		t.alone(func() {
			unix.Umask(0)
			t.user(bob, func() { t.open(t.path("d", "f"), unix.O_CREAT|unix.O_RDWR, 0o2775) })
		})
		equal(t, t.stat(t.path("d", "f")).Mode&unix.S_ISGID, uint32(0), "setgid for a group that bob isn't in")
	}},
}
