package posixtest

import (
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

var specialCases = []testCase{
	{"special/fifo", func(t *T) {
		p := t.path("p")
		t.alone(func() {
			unix.Umask(0o022)
			t.ok(unix.Mkfifo(p, 0o666))
		})
		equal(t, t.stat(p).Mode, uint32(unix.S_IFIFO|0o644), "mode")
		go func() {
			if w, err := os.OpenFile(p, os.O_WRONLY, 0); err == nil {
				_, _ = io.WriteString(w, "through the fifo")
				w.Close()
			}
		}()
		b, err := os.ReadFile(p)
		t.ok(err)
		equal(t, string(b), "through the fifo", "content")
	}},
	{"special/socket", func(t *T) {
		t.alone(func() { // the path of a socket is short: go there
			t.ok(unix.Chdir(t.dir))
			fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			t.ok(err)
			defer unix.Close(fd)
			t.ok(unix.Bind(fd, &unix.SockaddrUnix{Name: "s"}))
			equal(t, t.stat(t.path("s")).Mode&unix.S_IFMT, uint32(unix.S_IFSOCK), "type")
			t.ok(unix.Listen(fd, 1))
			c, err := net.Dial("unix", t.path("s"))
			if err == nil {
				c.Close()
			} else {
				t.errno(err, unix.EINVAL) // the path is too long for a socket on this machine
			}
		})
		t.refused(t.path("s"), unix.O_RDONLY, unix.ENXIO)
		t.ok(unix.Rename(t.path("s"), t.path("s2")))
		t.ok(unix.Unlink(t.path("s2")))
	}},
	{"special/devices", func(t *T) {
		for name, c := range map[string]struct {
			mode uint32
			dev  uint64
		}{
			"null": {unix.S_IFCHR | 0o666, unix.Mkdev(1, 3)},
			"disk": {unix.S_IFBLK | 0o600, unix.Mkdev(259, 300_000)},
		} {
			t.ok(unix.Mknod(t.path(name), c.mode, int(c.dev)))
			st := t.stat(t.path(name))
			equal(t, st.Mode&unix.S_IFMT, c.mode&unix.S_IFMT, "type of "+name)
			equal(t, st.Rdev, c.dev, "device of "+name)
		}
		t.user(alice, func() {
			t.errno(unix.Mknod(t.path("mine"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))), unix.EPERM)
		})
	}},
	{"special/mknod-file", func(t *T) {
		t.ok(unix.Mknod(t.path("f"), unix.S_IFREG|0o644, 0))
		equal(t, t.stat(t.path("f")).Mode&unix.S_IFMT, uint32(unix.S_IFREG), "type")
		t.errno(unix.Mknod(t.path("f"), unix.S_IFREG|0o644, 0), unix.EEXIST)
		t.file(t.path("f"), "works")
		t.content(t.path("f"), "works")
	}},
	{"special/inotify", func(t *T) {
		fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
		t.ok(err)
		defer unix.Close(fd)
		_, err = unix.InotifyAddWatch(fd, t.dir, unix.IN_CREATE|unix.IN_DELETE|unix.IN_MOVED_TO)
		t.ok(err)
		t.file(t.path("f"), "x")
		t.ok(unix.Rename(t.path("f"), t.path("g")))
		t.ok(unix.Unlink(t.path("g")))
		n, err := unix.Read(fd, make([]byte, 4096))
		t.ok(err)
		equal(t, n, 3*(unix.SizeofInotifyEvent+16), "bytes of three events")
	}},
}
