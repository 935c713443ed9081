package posixtest

import (
	"os"

	"golang.org/x/sys/unix"
)

// kinds of things that rename meets.
var renameKinds = []string{"nothing", "file", "folder", "full", "link"}

// make makes a thing of a kind.
func (t *T) make(kind, path string) {
	switch kind {
	case "file":
		t.file(path, "content of "+kind)
	case "folder":
		t.mkdir(path)
	case "full":
		t.mkdir(path)
		t.file(path+"/inside", "inside")
	case "link":
		t.ok(os.Symlink("nowhere", path))
	}
}

// renameError is what rename answers for a source and a target; 0 is success.
func renameError(from, to string) unix.Errno {
	folder := func(k string) bool { return k == "folder" || k == "full" }
	switch {
	case from == "nothing":
		return unix.ENOENT
	case to == "nothing":
		return 0
	case folder(from) && !folder(to):
		return unix.ENOTDIR
	case !folder(from) && folder(to):
		return unix.EISDIR
	case to == "full":
		return unix.ENOTEMPTY
	}
	return 0
}

var renameCases = []testCase{
	{"rename/matrix", func(t *T) {
		for _, from := range renameKinds {
			for _, to := range renameKinds {
				dir := t.mkdir(t.path(from + "-" + to))
				a, b := dir+"/a", dir+"/b"
				t.make(from, a)
				t.make(to, b)
				var was unix.Stat_t
				_ = unix.Lstat(a, &was)
				err := unix.Rename(a, b)
				if want := renameError(from, to); want != 0 {
					t.that(err == want, "%s over %s: %v, want %s", from, to, err, unix.ErrnoName(want))
					continue
				}
				t.that(err == nil, "%s over %s: %v", from, to, err)
				t.gone(a)
				equal(t, t.lstat(b).Ino, was.Ino, "inode")
			}
		}
	}},
	{"rename/noreplace", func(t *T) {
		a, b := t.file(t.path("a"), "a"), t.file(t.path("b"), "b")
		t.errno(rename2(a, b, unix.RENAME_NOREPLACE), unix.EEXIST)
		t.content(b, "b")
		t.ok(rename2(a, t.path("c"), unix.RENAME_NOREPLACE))
		t.content(t.path("c"), "a")
		t.gone(a)
	}},
	{"rename/exchange", func(t *T) {
		a, d := t.file(t.path("a"), "a"), t.mkdir(t.path("d"))
		t.file(t.path("d", "in"), "in")
		t.ok(rename2(a, d, unix.RENAME_EXCHANGE))
		t.content(d, "a")
		t.content(t.path("a", "in"), "in")
		sub := t.mkdir(t.path("sub"))
		parent, subBefore := t.stat(t.dir).Nlink, t.stat(sub).Nlink
		t.file(t.path("sub", "f"), "f")
		t.ok(rename2(t.path("a"), t.path("sub", "f"), unix.RENAME_EXCHANGE))
		t.content(t.path("a"), "f")
		t.content(t.path("sub", "f", "in"), "in")
		equal(t, t.stat(t.dir).Nlink, parent-1, "links of the folder that lost one")
		equal(t, t.stat(sub).Nlink, subBefore+1, "links of the folder that got one")
		t.errno(rename2(t.path("a"), t.path("no"), unix.RENAME_EXCHANGE), unix.ENOENT)
		t.errno(rename2(sub, t.path("sub", "f"), unix.RENAME_EXCHANGE), unix.EINVAL)
		t.errno(rename2(t.path("a"), t.path("b"), unix.RENAME_EXCHANGE|unix.RENAME_NOREPLACE), unix.EINVAL)
	}},
	{"rename/into-itself", func(t *T) {
		d := t.mkdir(t.path("d"))
		t.mkdir(t.path("d", "e"))
		t.errno(unix.Rename(d, t.path("d", "e", "f")), unix.EINVAL)
		t.errno(unix.Rename(d, t.path("d", "f")), unix.EINVAL)
		t.errno(unix.Rename(t.path("d", "e"), d), unix.ENOTEMPTY)
		t.errno(unix.Rename(d+"/.", t.path("x")), unix.EBUSY)
		t.ok(unix.Rename(d, d))
		t.stat(t.path("d", "e"))
	}},
	{"rename/one-inode", func(t *T) {
		a, b := t.file(t.path("a"), "x"), t.path("b")
		t.ok(unix.Link(a, b))
		t.ok(unix.Rename(a, b)) // does nothing
		equal(t, uint64(t.stat(a).Nlink), uint64(2), "nlink")
		t.content(b, "x")
	}},
	{"rename/over-open", func(t *T) {
		a, b := t.file(t.path("a"), "new"), t.file(t.path("b"), "old")
		fd := t.open(b, unix.O_RDWR, 0)
		src := t.open(a, unix.O_RDWR, 0)
		t.ok(unix.Rename(a, b))
		t.bytes(t.pread(fd, 10, 0), []byte("old"), "open file")
		equal(t, uint64(t.fstat(fd).Nlink), uint64(0), "nlink of what was replaced")
		t.pwrite(fd, []byte("into nothing"), 0)
		t.bytes(t.pread(fd, 20, 0), []byte("into nothing"), "open file")
		t.pwrite(src, []byte("NEW"), 0)
		t.content(b, "NEW")
	}},
	{"rename/save-by-rename", func(t *T) { // what editors do
		target := t.file(t.path("f"), "version 0")
		for i := range 50 {
			tmp := t.path("f.tmp")
			fd, err := unix.Open(tmp, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, 0o644)
			t.ok(err)
			content := []byte{byte('a' + i%26), byte('0' + i%10)}
			t.pwrite(fd, content, 0)
			t.ok(unix.Close(fd))
			t.ok(unix.Rename(tmp, target))
			t.content(target, string(content))
		}
		equal(t, t.names(t.dir), []string{"f"}, "names")
	}},
	{"rename/parents", func(t *T) {
		a, b := t.mkdir(t.path("a")), t.mkdir(t.path("b"))
		t.mkdir(t.path("a", "d"))
		na, nb := t.stat(a).Nlink, t.stat(b).Nlink
		t.ok(unix.Rename(t.path("a", "d"), t.path("b", "d")))
		equal(t, t.stat(a).Nlink, na-1, "links of the old parent")
		equal(t, t.stat(b).Nlink, nb+1, "links of the new parent")
		equal(t, t.stat(t.path("b", "d")+"/..").Ino, t.stat(b).Ino, "..")
		fd := t.open(t.path("b", "d"), unix.O_RDONLY|unix.O_DIRECTORY, 0)
		var st unix.Stat_t
		t.ok(unix.Fstatat(fd, "..", &st, 0))
		equal(t, st.Ino, t.stat(b).Ino, ".. of an open folder")
		t.mkdir(t.path("a", "e"))
		t.ok(unix.Rename(t.path("b", "d"), t.path("a", "e"))) // over an empty folder
		equal(t, t.stat(a).Nlink, na, "links after replacing a folder")
		equal(t, t.stat(b).Nlink, nb, "links after losing one")
	}},
	{"rename/open-descendants", func(t *T) {
		t.ok(os.MkdirAll(t.path("a", "b", "c"), 0o755))
		t.file(t.path("a", "b", "c", "f"), "deep")
		fd := t.open(t.path("a", "b", "c", "f"), unix.O_RDWR, 0)
		t.ok(unix.Rename(t.path("a"), t.path("z")))
		t.pwrite(fd, []byte("DEEP"), 0)
		t.content(t.path("z", "b", "c", "f"), "DEEP")
		t.gone(t.path("a"))
		t.ok(unix.Rename(t.path("z", "b"), t.path("top")))
		t.content(t.path("top", "c", "f"), "DEEP")
	}},
	{"rename/missing-parts", func(t *T) {
		a := t.file(t.path("a"), "")
		t.errno(unix.Rename(a, t.path("no", "b")), unix.ENOENT)
		t.errno(unix.Rename(t.path("a", "x"), t.path("b")), unix.ENOTDIR)
		t.errno(unix.Rename(a, t.path("b")+"/"), unix.ENOTDIR)
		t.stat(a)
	}},
}

func rename2(from, to string, flags uint) error {
	return unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, flags)
}
