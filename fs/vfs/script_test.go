package vfs_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/cloudcoin/cloudcoin/fs/vfs"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// script runs lines of "op args [= what it says]" against a drive; without "=" the operation must succeed.
type script struct {
	*drive
	c       vfs.Caller
	handles map[string]openFile
}

type openFile struct {
	node vfs.NodeID
	fh   vfs.Handle
}

var errnos = map[syscall.Errno]string{
	syscall.EEXIST: "EEXIST", syscall.ENOENT: "ENOENT", syscall.ENOTDIR: "ENOTDIR", syscall.EISDIR: "EISDIR", syscall.EINVAL: "EINVAL",
	syscall.ENOTEMPTY: "ENOTEMPTY", syscall.EPERM: "EPERM", syscall.EACCES: "EACCES", syscall.EROFS: "EROFS", syscall.ENAMETOOLONG: "ENAMETOOLONG",
	syscall.EBADF: "EBADF", syscall.ELOOP: "ELOOP", syscall.ENXIO: "ENXIO", syscall.ESTALE: "ESTALE", syscall.EFBIG: "EFBIG", syscall.EBUSY: "EBUSY",
	syscall.EOPNOTSUPP: "EOPNOTSUPP", vfs.ErrNoAttr: "ENODATA", syscall.E2BIG: "E2BIG", syscall.ERANGE: "ERANGE", syscall.EIO: "EIO",
}

func run(t *testing.T, d *drive, text string) {
	t.Helper()
	s := &script{drive: d, handles: map[string]openFile{}}
	for i, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(strings.TrimSpace(line), " #")
		if line == "" || line[0] == '#' {
			continue
		}
		cmd, want, _ := strings.Cut(line, " = ")
		args := strings.Fields(cmd)
		got, errno := s.do(args)
		if errno != 0 {
			if got = errnos[errno]; got == "" {
				got = errno.Error()
			}
		}
		if got != want {
			t.Fatalf("line %d: %s: got %q", i+1, line, got)
		}
	}
}

func oct(s string) uint32 {
	n, err := strconv.ParseUint(s, 8, 32)
	if err != nil {
		panic(err)
	}
	return uint32(n)
}

func num(s string) int64 {
	n, err := strconv.ParseInt(s, 0, 64)
	if err != nil {
		panic(err)
	}
	return n
}

func (s *script) do(a []string) (string, syscall.Errno) {
	arg := func(i int, or string) string {
		if i < len(a) {
			return a[i]
		}
		return or
	}
	switch a[0] {
	case "as":
		s.c = vfs.Caller{UID: uint32(num(a[1])), GID: uint32(num(a[2])), Umask: oct(arg(3, "0"))}
		return "", 0
	case "wait":
		s.clock.advance(3_000_000_000)
		return "", 0
	case "mkdir", "create", "mknod", "symlink", "unlink", "rmdir":
		return s.names(a[0], a[1], arg)
	case "rename", "exchange", "noreplace", "link":
		return s.twoNames(a[0], a[1], a[2])
	case "open", "tmpfile", "hwrite", "hread", "hsize", "hnlink", "htrunc", "close", "fsync", "alloc", "seek", "hlink":
		return s.files(a, arg)
	case "write":
		return "", s.tryWrite(a[1], arg(2, ""))
	case "read":
		return s.tryRead(a[1])
	case "upload":
		s.upload(a[1])
		return "", 0
	}
	n, errno := s.node(a[1])
	if errno != 0 {
		return "", errno
	}
	return s.attrs(a, n, arg)
}

func (s *script) names(op, path string, arg func(int, string) string) (string, syscall.Errno) {
	p, name, errno := s.parent(path)
	if errno != 0 {
		return "", errno
	}
	name = strings.Replace(name, "LONG", strings.Repeat("x", 256), 1)
	switch op {
	case "mkdir":
		_, errno = s.fs.Mkdir(bg, s.c, p, name, oct(arg(2, "755")))
	case "create":
		var e vfs.Entry
		var fh vfs.Handle
		if e, fh, _, errno = s.fs.Create(bg, s.c, p, name, vfs.OpenWriteOnly|vfs.OpenExcl, oct(arg(2, "644"))); errno == 0 {
			s.fs.Release(e.Node, fh)
		}
	case "mknod":
		_, errno = s.fs.Mknod(bg, s.c, p, name, oct(arg(2, "10644")), uint64(num(arg(3, "0"))))
	case "symlink":
		_, errno = s.fs.Symlink(bg, s.c, p, name, arg(2, ""))
	case "unlink":
		errno = s.fs.Unlink(bg, s.c, p, name)
	case "rmdir":
		errno = s.fs.Rmdir(bg, s.c, p, name)
	}
	return "", errno
}

func (s *script) twoNames(op, from, to string) (string, syscall.Errno) {
	p, name, errno := s.parent(from)
	if errno != 0 {
		return "", errno
	}
	q, newName, errno := s.parent(to)
	if errno != 0 {
		return "", errno
	}
	switch op {
	case "rename":
		errno = s.fs.Rename(bg, s.c, p, name, q, newName, 0)
	case "exchange":
		errno = s.fs.Rename(bg, s.c, p, name, q, newName, vfs.RenameExchange)
	case "noreplace":
		errno = s.fs.Rename(bg, s.c, p, name, q, newName, vfs.RenameNoReplace)
	case "link":
		n, err := s.node(from)
		if err != 0 {
			return "", err
		}
		_, errno = s.fs.Link(bg, s.c, n, q, newName)
	}
	return "", errno
}

func (s *script) files(a []string, arg func(int, string) string) (string, syscall.Errno) {
	switch a[0] {
	case "open":
		n, errno := s.node(a[2])
		if errno != 0 {
			return "", errno
		}
		flags := map[string]uint32{"r": vfs.OpenReadOnly, "w": vfs.OpenWriteOnly, "rw": vfs.OpenReadWrite, "a": vfs.OpenWriteOnly | vfs.OpenAppend}[arg(3, "r")]
		fh, _, errno := s.fs.Open(bg, s.c, n, flags)
		if errno == 0 {
			s.handles[a[1]] = openFile{n, fh}
		}
		return "", errno
	case "tmpfile":
		n, errno := s.node(a[2])
		if errno != 0 {
			return "", errno
		}
		e, fh, _, errno := s.fs.Tmpfile(bg, s.c, n, vfs.OpenReadWrite, 0o600)
		s.handles[a[1]] = openFile{e.Node, fh}
		return "", errno
	}
	h := s.handles[a[1]]
	switch a[0] {
	case "hwrite":
		_, errno := s.fs.Write(bg, s.c, h.node, h.fh, []byte(a[3]), num(a[2]), vfs.WriteFlags{})
		return "", errno
	case "hread":
		p := make([]byte, num(a[3]))
		n, errno := s.fs.Read(bg, h.node, h.fh, p, num(a[2]))
		return strings.ReplaceAll(string(p[:n]), "\x00", "."), errno
	case "hsize", "hnlink":
		at, errno := s.fs.GetAttr(bg, s.c, h.node, h.fh)
		if a[0] == "hnlink" {
			return fmt.Sprint(at.Nlink), errno
		}
		return fmt.Sprint(at.Size), errno
	case "htrunc":
		_, errno := s.fs.SetAttr(bg, s.c, h.node, h.fh, vfs.SetAttr{Valid: vfs.SetSize, Size: num(a[2])})
		return "", errno
	case "hlink":
		q, name, errno := s.parent(a[2])
		if errno != 0 {
			return "", errno
		}
		_, errno = s.fs.Link(bg, s.c, h.node, q, name)
		return "", errno
	case "close":
		delete(s.handles, a[1])
		errno := s.fs.Flush(bg, h.node, h.fh)
		s.fs.Release(h.node, h.fh)
		return "", errno
	case "fsync":
		return "", s.fs.Fsync(bg, h.node, h.fh, false)
	case "alloc":
		mode := map[string]uint32{"plain": 0, "keep": 1, "punch": 3, "zero": 0x10, "zerokeep": 0x11, "collapse": 8}[a[2]]
		return "", s.fs.Fallocate(bg, s.c, h.node, h.fh, mode, num(a[3]), num(a[4]))
	case "seek":
		pos, errno := s.fs.Lseek(bg, h.node, h.fh, num(a[3]), map[string]uint32{"data": 3, "hole": 4}[a[2]])
		return fmt.Sprint(pos), errno
	}
	panic("unknown operation " + a[0])
}

func (s *script) attrs(a []string, n vfs.NodeID, arg func(int, string) string) (string, syscall.Errno) {
	set := func(v vfs.SetAttr) (string, syscall.Errno) {
		_, errno := s.fs.SetAttr(bg, s.c, n, 0, v)
		return "", errno
	}
	at, errno := s.fs.GetAttr(bg, s.c, n, 0)
	if errno != 0 {
		return "", errno
	}
	switch a[0] {
	case "nlink":
		return fmt.Sprint(at.Nlink), 0
	case "mode":
		return fmt.Sprintf("%o", at.Mode&0o7777), 0
	case "type":
		return fmt.Sprintf("%o", at.Mode&model.TypeMask), 0
	case "rdev":
		return fmt.Sprint(at.Rdev), 0
	case "size":
		return fmt.Sprint(at.Size), 0
	case "owner":
		return fmt.Sprintf("%d:%d", at.UID, at.GID), 0
	case "times":
		return fmt.Sprintf("%d %d", at.Atime, at.Mtime), 0
	case "utimes":
		return set(vfs.SetAttr{Valid: vfs.SetAtime | vfs.SetMtime, Atime: num(a[2]), Mtime: num(a[3])})
	case "chmod":
		return set(vfs.SetAttr{Valid: vfs.SetMode, Mode: oct(a[2])})
	case "chown":
		return set(vfs.SetAttr{Valid: vfs.SetUID | vfs.SetGID, UID: uint32(num(a[2])), GID: uint32(num(a[3]))})
	case "truncate":
		return set(vfs.SetAttr{Valid: vfs.SetSize, Size: num(a[2])})
	case "readlink":
		return s.fs.Readlink(bg, s.c, n)
	case "access":
		return "", s.fs.Access(bg, s.c, n, uint32(num(a[2])))
	case "setx":
		return "", s.fs.SetXattr(bg, s.c, n, a[2], []byte(a[3]), uint32(num(arg(4, "0"))))
	case "getx":
		v, errno := s.fs.GetXattr(bg, s.c, n, a[2])
		return string(v), errno
	case "listx":
		l, errno := s.fs.ListXattr(bg, s.c, n)
		slices.Sort(l)
		return strings.Join(l, " "), errno
	case "rmx":
		return "", s.fs.RemoveXattr(bg, s.c, n, a[2])
	case "ls":
		return s.list(n)
	}
	panic("unknown operation " + a[0])
}

func (s *script) list(n vfs.NodeID) (string, syscall.Errno) {
	names, errno := s.drive.list(n, 3)
	slices.Sort(names)
	return strings.Join(names, " "), errno
}

// list lists a folder, at most batch names at once, without "." and "..".
func (d *drive) list(n vfs.NodeID, batch int) ([]string, syscall.Errno) {
	fh, _, errno := d.fs.OpenDir(bg, vfs.Caller{}, n)
	if errno != 0 {
		return nil, errno
	}
	defer d.fs.ReleaseDir(n, fh)
	var names []string
	var cookie uint64
	for {
		got := 0
		errno := d.fs.ReadDir(bg, vfs.Caller{}, n, fh, cookie, false, func(e *vfs.DirEntry) bool {
			if got == batch {
				return false
			}
			got++
			cookie = e.Cookie
			if e.Name != "." && e.Name != ".." {
				names = append(names, e.Name)
			}
			return true
		})
		if errno != 0 || got == 0 {
			return names, errno
		}
	}
}

func fields(s string) []string    { return strings.Fields(s) }
func trimSlash(s string) string   { return strings.TrimSuffix(s, "/") }
func fmtRev(rev model.Rev) string { return fmt.Sprint(uint64(rev)) }
