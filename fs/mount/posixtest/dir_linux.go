package posixtest

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// dirent is an entry as getdents64 gives it.
type dirent struct {
	name string
	ino  uint64
	off  int64 // position behind it
	typ  byte
}

// getdents reads the rest of a folder from the position of fd.
func (t *T) getdents(fd int) []dirent {
	var all []dirent
	for {
		some := t.someDirents(fd, 32<<10)
		if len(some) == 0 {
			return all
		}
		all = append(all, some...)
	}
}

// someDirents makes one call of getdents64.
func (t *T) someDirents(fd, size int) []dirent {
	b := make([]byte, size)
	n, err := unix.Getdents(fd, b)
	t.ok(err)
	var out []dirent
	for b = b[:n]; len(b) > 0; {
		length := binary.NativeEndian.Uint16(b[16:])
		name := b[19:length]
		for i, c := range name {
			if c == 0 {
				name = name[:i]
				break
			}
		}
		out = append(out, dirent{
			name: string(name), ino: binary.NativeEndian.Uint64(b), off: int64(binary.NativeEndian.Uint64(b[8:])), typ: b[18],
		})
		b = b[length:]
	}
	return out
}

// many is how many entries a large folder has.
func many() int {
	if os.Getenv(longEnv) != "" {
		return 100_000
	}
	return 10_000
}

// fillFolder makes n empty files.
func (t *T) fillFolder(dir string, n int) {
	t.mkdir(dir)
	for i := range n {
		fd, err := unix.Open(fmt.Sprintf("%s/file%06d", dir, i), unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, 0o644)
		t.ok(err)
		t.ok(unix.Close(fd))
	}
}

// times counts names.
func times(entries []dirent) map[string]int {
	seen := map[string]int{}
	for _, e := range entries {
		seen[e.name]++
	}
	return seen
}

var dirCases = []testCase{
	{"dir/mkdir", func(t *T) {
		t.alone(func() {
			unix.Umask(0o022)
			links := t.stat(t.dir).Nlink
			t.ok(unix.Mkdir(t.path("d"), 0o777))
			equal(t, t.stat(t.path("d")).Mode, uint32(unix.S_IFDIR|0o755), "mode")
			equal(t, uint64(t.stat(t.path("d")).Nlink), uint64(2), "links of a new folder")
			equal(t, t.stat(t.dir).Nlink, links+1, "links of its parent")
			unix.Umask(0)
			t.ok(unix.Mkdir(t.path("e"), 0o1777))
			equal(t, t.stat(t.path("e")).Mode&0o777, uint32(0o777), "mode")
		})
		t.errno(unix.Mkdir(t.path("d"), 0o755), unix.EEXIST)
		t.errno(unix.Mkdir(t.path("no", "d"), 0o755), unix.ENOENT)
		t.errno(unix.Mkdir(t.dir+"/.", 0o755), unix.EEXIST)
	}},
	{"dir/dots", func(t *T) {
		d := t.mkdir(t.path("d"))
		found := map[string]uint64{}
		for _, e := range t.getdents(t.open(d, unix.O_RDONLY, 0)) {
			found[e.name] = e.ino
			equal(t, e.typ, byte(unix.DT_DIR), "type of "+e.name)
		}
		equal(t, found, map[string]uint64{".": t.stat(d).Ino, "..": t.stat(t.dir).Ino}, "entries")
	}},
	{"dir/types", func(t *T) {
		t.file(t.path("f"), "")
		t.mkdir(t.path("d"))
		t.ok(os.Symlink("x", t.path("l")))
		t.ok(unix.Mkfifo(t.path("p"), 0o644))
		want := map[string]byte{"f": unix.DT_REG, "d": unix.DT_DIR, "l": unix.DT_LNK, "p": unix.DT_FIFO}
		for _, e := range t.getdents(t.open(t.dir, unix.O_RDONLY, 0)) {
			if typ, ok := want[e.name]; ok {
				equal(t, e.typ, typ, "type of "+e.name)
				equal(t, e.ino, t.lstat(t.path(e.name)).Ino, "inode of "+e.name)
				delete(want, e.name)
			}
		}
		equal(t, len(want), 0, "names not listed")
	}},
	{"dir/large", func(t *T) {
		n, d := many(), t.path("d")
		t.fillFolder(d, n)
		fd := t.open(d, unix.O_RDONLY, 0)
		all := t.getdents(fd)
		seen := times(all)
		equal(t, len(seen), n+2, "names")
		equal(t, len(all), n+2, "entries")
		for _, at := range []int{0, 1, 2, n / 3, n / 2, n} { // telldir and seekdir
			_, err := unix.Seek(fd, all[at].off, unix.SEEK_SET)
			t.ok(err)
			rest := t.getdents(fd)
			equal(t, len(rest), len(all)-at-1, "entries behind a position")
			if len(rest) > 0 {
				equal(t, rest[0].name, all[at+1].name, "name behind a position")
			}
		}
		_, err := unix.Seek(fd, 0, unix.SEEK_SET)
		t.ok(err)
		equal(t, len(t.getdents(fd)), n+2, "entries after rewinddir")
		t.removeWhileListing(d, n)
	}},
	{"dir/positions-survive-changes", func(t *T) {
		d := t.path("d")
		t.fillFolder(d, 2000)
		fd := t.open(d, unix.O_RDONLY, 0)
		all := t.getdents(fd)
		half := len(all) / 2
		for i, e := range all { // delete every third, and add others
			if i%3 == 0 && e.name[0] != '.' && i != half {
				t.ok(unix.Unlink(filepath.Join(d, e.name)))
			}
		}
		for i := range 500 {
			t.file(fmt.Sprintf("%s/new%d", d, i), "")
		}
		_, err := unix.Seek(fd, all[half].off, unix.SEEK_SET)
		t.ok(err)
		seen := times(t.getdents(fd))
		for i, e := range all[half+1:] { // whether deleted ones are still listed is open
			kept := (i+half+1)%3 != 0
			t.that(seen[e.name] == 1 || !kept && seen[e.name] == 0, "%s is listed %d times behind its position", e.name, seen[e.name])
		}
		for _, e := range all[:half+1] {
			t.that(seen[e.name] == 0, "%s is listed again", e.name)
		}
	}},
	{"dir/changes-while-listing", func(t *T) {
		d := t.path("d")
		t.fillFolder(d, 3000)
		fd := t.open(d, unix.O_RDONLY, 0)
		listed := t.someDirents(fd, 8<<10)
		for i := range 300 { // names that come and go must not disturb the others
			t.file(fmt.Sprintf("%s/extra%d", d, i), "")
			t.ok(unix.Rename(fmt.Sprintf("%s/extra%d", d, i), fmt.Sprintf("%s/moved%d", d, i)))
		}
		seen := times(append(listed, t.getdents(fd)...))
		for i := range 3000 {
			name := fmt.Sprintf("file%06d", i)
			t.that(seen[name] == 1, "%s is listed %d times", name, seen[name])
		}
	}},
	{"dir/cache-sees-changes", func(t *T) {
		equal(t, len(t.names(t.dir)), 0, "names")
		for i := range 20 {
			t.file(t.path(fmt.Sprint(i)), "")
			equal(t, len(t.names(t.dir)), i+1, "names after a create")
		}
		t.ok(unix.Rename(t.path("0"), t.path("zero")))
		t.that(t.names(t.dir)[19] == "zero", "a renamed name isn't listed")
		for i := range 19 {
			t.ok(unix.Unlink(t.path(fmt.Sprint(i + 1))))
			equal(t, len(t.names(t.dir)), 19-i, "names after an unlink")
		}
	}},
	{"dir/deep", func(t *T) {
		t.alone(func() { // a path of 4,096 bytes and beyond can be walked step by step
			name := fmt.Sprintf("%0200d", 7)
			t.ok(unix.Chdir(t.dir))
			for range 25 {
				t.ok(unix.Mkdir(name, 0o755))
				t.ok(unix.Chdir(name))
			}
			t.ok(os.WriteFile("deep", []byte("down here"), 0o644))
			b, err := os.ReadFile("deep")
			t.ok(err)
			equal(t, string(b), "down here", "content")
			for range 25 {
				_ = os.Remove("deep")
				t.ok(unix.Chdir(".."))
				t.ok(unix.Rmdir(name))
			}
		})
	}},
}

// removeWhileListing deletes each name as it is listed, as rm -r does, and wants to meet all of them.
func (t *T) removeWhileListing(d string, n int) {
	fd := t.open(d, unix.O_RDONLY, 0)
	removed := 0
	for {
		some := t.someDirents(fd, 8<<10)
		if len(some) == 0 {
			break
		}
		for _, e := range some {
			if e.name != "." && e.name != ".." {
				t.ok(unix.Unlinkat(fd, e.name, 0))
				removed++
			}
		}
	}
	equal(t, removed, n, "names removed in one pass")
	t.ok(unix.Rmdir(d))
}
