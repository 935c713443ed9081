package posixtest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// xattrs lists the names of a path's attributes, sorted.
func (t *T) xattrs(path string) []string {
	b := make([]byte, 64<<10)
	n, err := unix.Llistxattr(path, b)
	t.ok(err)
	names := strings.FieldsFunc(string(b[:n]), func(r rune) bool { return r == 0 })
	slices.Sort(names)
	return names
}

// xattr is one value.
func (t *T) xattr(path, name string) []byte {
	b := make([]byte, 64<<10)
	n, err := unix.Lgetxattr(path, name, b)
	t.ok(err)
	return b[:n]
}

var xattrCases = []testCase{
	{"xattr/set-get-list-remove", func(t *T) {
		f, d := t.file(t.path("f"), ""), t.mkdir(t.path("d"))
		for _, p := range []string{f, d} {
			t.ok(unix.Setxattr(p, "user.one", []byte("1"), 0))
			t.ok(unix.Setxattr(p, "user.two", []byte("a\x00b"), 0))
			t.ok(unix.Setxattr(p, "user.empty", nil, 0))
			t.ok(unix.Setxattr(p, "trusted.t", []byte("t"), 0))
			t.bytes(t.xattr(p, "user.two"), []byte("a\x00b"), "value")
			t.bytes(t.xattr(p, "user.empty"), nil, "empty value")
			equal(t, t.xattrs(p), []string{"trusted.t", "user.empty", "user.one", "user.two"}, "names")
			t.ok(unix.Setxattr(p, "user.one", []byte("changed"), 0))
			t.bytes(t.xattr(p, "user.one"), []byte("changed"), "changed value")
			t.ok(unix.Removexattr(p, "user.one"))
			_, err := unix.Getxattr(p, "user.one", nil)
			t.errno(err, unix.ENODATA)
			t.errno(unix.Removexattr(p, "user.one"), unix.ENODATA)
			equal(t, t.xattrs(p), []string{"trusted.t", "user.empty", "user.two"}, "names after remove")
		}
	}},
	{"xattr/create-replace", func(t *T) {
		f := t.file(t.path("f"), "")
		t.errno(unix.Setxattr(f, "user.a", []byte("1"), unix.XATTR_REPLACE), unix.ENODATA)
		t.ok(unix.Setxattr(f, "user.a", []byte("2"), unix.XATTR_CREATE))
		t.errno(unix.Setxattr(f, "user.a", []byte("3"), unix.XATTR_CREATE), unix.EEXIST)
		t.ok(unix.Setxattr(f, "user.a", []byte("4"), unix.XATTR_REPLACE))
		t.bytes(t.xattr(f, "user.a"), []byte("4"), "value")
	}},
	{"xattr/sizes", func(t *T) {
		f := t.file(t.path("f"), "")
		t.ok(unix.Setxattr(f, "user.a", []byte("12345"), 0))
		n, err := unix.Getxattr(f, "user.a", nil)
		t.ok(err)
		equal(t, n, 5, "asked-for length")
		_, err = unix.Getxattr(f, "user.a", make([]byte, 4))
		t.errno(err, unix.ERANGE)
		n, err = unix.Listxattr(f, nil)
		t.ok(err)
		equal(t, n, len("user.a")+1, "asked-for length of the list")
		_, err = unix.Listxattr(f, make([]byte, 3))
		t.errno(err, unix.ERANGE)
		long := "user." + strings.Repeat("n", 250)
		t.ok(unix.Setxattr(f, long, []byte("x"), 0))
		t.bytes(t.xattr(f, long), []byte("x"), "value of the longest name")
		t.errno(unix.Setxattr(f, long+"n", []byte("x"), 0), unix.ERANGE)
		t.errno(unix.Setxattr(f, "user.big", make([]byte, 64<<10+1), 0), unix.E2BIG)
		t.ok(unix.Setxattr(f, "user.medium", bytes.Repeat([]byte("m"), 2000), 0))
		equal(t, len(t.xattr(f, "user.medium")), 2000, "length")
	}},
	{"xattr/large", func(t *T) {
		if !t.opt.LargeXattrs {
			return
		}
		f := t.file(t.path("f"), "")
		big := make([]byte, 64<<10)
		fill(big, 11)
		t.ok(unix.Setxattr(f, "user.big", big, 0))
		t.bytes(t.xattr(f, "user.big"), big, "value")
		for i := range 100 {
			t.ok(unix.Setxattr(f, fmt.Sprintf("user.n%d", i), fmt.Append(nil, i), 0))
		}
		equal(t, len(t.xattrs(f)), 101, "names")
		t.bytes(t.xattr(f, "user.n77"), []byte("77"), "value")
	}},
	{"xattr/namespaces", func(t *T) {
		f := t.file(t.path("f"), "")
		t.ok(os.Symlink("f", t.path("l")))
		t.errno(unix.Lsetxattr(t.path("l"), "user.a", []byte("x"), 0), unix.EPERM)
		t.ok(unix.Lsetxattr(t.path("l"), "trusted.a", []byte("x"), 0))
		t.errno(unix.Setxattr(f, "nonsense", []byte("x"), 0), unix.EOPNOTSUPP)
		t.errno(unix.Setxattr(f, "user.", []byte("x"), 0), unix.EINVAL)
		t.ok(unix.Setxattr(f, "security.anything", []byte("x"), 0))
		t.bytes(t.xattr(f, "security.anything"), []byte("x"), "value")
		t.owned(t.path("g"), alice, alice, 0o644)
		t.user(bob, func() {
			t.errno(unix.Setxattr(t.path("g"), "user.a", []byte("x"), 0), unix.EACCES)
			t.errno(unix.Setxattr(t.path("g"), "trusted.a", []byte("x"), 0), unix.EPERM)
		})
		t.user(alice, func() { t.ok(unix.Setxattr(t.path("g"), "user.a", []byte("x"), 0)) })
	}},
	{"xattr/stay-with-the-file", func(t *T) {
		f := t.file(t.path("f"), "")
		t.ok(unix.Setxattr(f, "user.a", []byte("x"), 0))
		t.ok(unix.Rename(f, t.path("g")))
		t.bytes(t.xattr(t.path("g"), "user.a"), []byte("x"), "after rename")
		t.ok(unix.Link(t.path("g"), t.path("h")))
		t.bytes(t.xattr(t.path("h"), "user.a"), []byte("x"), "by another name")
		t.file(t.path("f"), "")
		equal(t, len(t.xattrs(t.path("f"))), 0, "attributes of a new file of the old name")
	}},
	{"xattr/acl", func(t *T) {
		f, d := t.file(t.path("f"), ""), t.mkdir(t.path("d"))
		acl := aclOf(
			aclEntry{0x01, 6, ^uint32(0)}, aclEntry{0x02, 4, alice}, aclEntry{0x04, 4, ^uint32(0)},
			aclEntry{0x10, 4, ^uint32(0)}, aclEntry{0x20, 4, ^uint32(0)},
		)
		t.ok(unix.Setxattr(f, "system.posix_acl_access", acl, 0))
		t.bytes(t.xattr(f, "system.posix_acl_access"), acl, "access ACL")
		t.ok(unix.Setxattr(d, "system.posix_acl_default", acl, 0))
		t.bytes(t.xattr(d, "system.posix_acl_default"), acl, "default ACL")
		equal(t, t.xattrs(f), []string{"system.posix_acl_access"}, "names")
		t.ok(unix.Removexattr(f, "system.posix_acl_access"))
		equal(t, len(t.xattrs(f)), 0, "names after remove")
	}},
	{"xattr/acl-decides", func(t *T) {
		f := t.owned(t.path("f"), 0, 0, 0o600)
		t.ok(unix.Setxattr(f, "system.posix_acl_access", aclOf(
			aclEntry{0x01, 6, ^uint32(0)}, aclEntry{0x02, 4, alice}, aclEntry{0x04, 0, ^uint32(0)},
			aclEntry{0x10, 4, ^uint32(0)}, aclEntry{0x20, 0, ^uint32(0)},
		), 0))
		t.user(alice, func() { t.open(f, unix.O_RDONLY, 0) })
		t.user(bob, func() { t.refused(f, unix.O_RDONLY, unix.EACCES) })
	}},
	{"xattr/acl-inherited", func(t *T) {
		d := t.mkdir(t.path("d"))
		t.ok(unix.Setxattr(d, "system.posix_acl_default", aclOf(
			aclEntry{0x01, 7, ^uint32(0)}, aclEntry{0x02, 6, alice}, aclEntry{0x04, 5, ^uint32(0)},
			aclEntry{0x10, 7, ^uint32(0)}, aclEntry{0x20, 0, ^uint32(0)},
		), 0))
		t.alone(func() {
			unix.Umask(0o077) // counts for nothing where there is a default ACL
			t.open(t.path("d", "f"), unix.O_CREAT|unix.O_RDWR, 0o666)
			t.ok(unix.Mkdir(t.path("d", "e"), 0o777))
			t.ok(unix.Mkfifo(t.path("d", "p"), 0o666))
		})
		equal(t, t.stat(t.path("d", "f")).Mode&0o777, uint32(0o660), "mode of a new file")
		equal(t, t.stat(t.path("d", "p")).Mode&0o777, uint32(0o660), "mode of a new fifo")
		equal(t, t.stat(t.path("d", "e")).Mode&0o777, uint32(0o770), "mode of a new folder")
		t.bytes(t.xattr(t.path("d", "f"), "system.posix_acl_access"), aclOf(
			aclEntry{0x01, 6, ^uint32(0)}, aclEntry{0x02, 6, alice}, aclEntry{0x04, 5, ^uint32(0)},
			aclEntry{0x10, 6, ^uint32(0)}, aclEntry{0x20, 0, ^uint32(0)},
		), "ACL of a new file")
		t.bytes(t.xattr(t.path("d", "e"), "system.posix_acl_default"), t.xattr(d, "system.posix_acl_default"), "default ACL of a new folder")
	}},
	{"xattr/acl-and-mode", func(t *T) {
		f := t.file(t.path("f"), "")
		t.ok(unix.Setxattr(f, "system.posix_acl_access", aclOf(
			aclEntry{0x01, 6, ^uint32(0)}, aclEntry{0x02, 7, alice}, aclEntry{0x04, 4, ^uint32(0)},
			aclEntry{0x10, 7, ^uint32(0)}, aclEntry{0x20, 4, ^uint32(0)},
		), 0))
		equal(t, t.stat(f).Mode&0o777, uint32(0o674), "the mode shows the mask")
		t.ok(unix.Chmod(f, 0o640))
		t.bytes(t.xattr(f, "system.posix_acl_access"), aclOf(
			aclEntry{0x01, 6, ^uint32(0)}, aclEntry{0x02, 7, alice}, aclEntry{0x04, 4, ^uint32(0)},
			aclEntry{0x10, 4, ^uint32(0)}, aclEntry{0x20, 0, ^uint32(0)},
		), "chmod sets the mask")
		t.ok(unix.Setxattr(f, "system.posix_acl_access", aclOf(
			aclEntry{0x01, 7, ^uint32(0)}, aclEntry{0x04, 5, ^uint32(0)}, aclEntry{0x20, 0, ^uint32(0)},
		), 0))
		equal(t, t.stat(f).Mode&0o777, uint32(0o750), "an ACL of three entries is a mode")
		equal(t, len(t.xattrs(f)), 0, "attributes")
	}},
}

// aclEntry is one entry of a POSIX ACL as xattrs hold it.
type aclEntry struct {
	tag, perm uint16
	id        uint32
}

func aclOf(entries ...aclEntry) []byte {
	b := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range entries {
		b = binary.LittleEndian.AppendUint16(b, e.tag)
		b = binary.LittleEndian.AppendUint16(b, e.perm)
		b = binary.LittleEndian.AppendUint32(b, e.id)
	}
	return b
}
