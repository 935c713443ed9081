package posixtest

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

var nameCases = []testCase{
	{"name/255", func(t *T) {
		long := strings.Repeat("n", 255)
		t.file(t.path(long), "long")
		t.content(t.path(long), "long")
		equal(t, t.names(t.dir), []string{long}, "names")
		tooLong := t.path(long + "n")
		t.refused(tooLong, unix.O_CREAT|unix.O_RDWR, unix.ENAMETOOLONG)
		t.refused(tooLong, unix.O_RDONLY, unix.ENAMETOOLONG)
		t.errno(unix.Mkdir(tooLong, 0o755), unix.ENAMETOOLONG)
		t.errno(unix.Rename(t.path(long), tooLong), unix.ENAMETOOLONG)
		t.errno(unix.Link(t.path(long), tooLong), unix.ENAMETOOLONG)
		t.errno(unix.Symlink("x", tooLong), unix.ENAMETOOLONG)
		t.errno(unix.Unlink(tooLong), unix.ENAMETOOLONG)
		wide := strings.Repeat("漢", 85) // 255 bytes
		t.mkdir(t.path(wide))
		t.stat(t.path(wide))
	}},
	{"name/every-byte", func(t *T) {
		var want []string
		for c := 1; c < 256; c++ {
			if c == '/' {
				continue
			}
			name := "a" + string([]byte{byte(c)}) + "z"
			t.file(t.dir+"/"+name, name)
			want = append(want, name)
		}
		slices.Sort(want)
		equal(t, t.names(t.dir), want, "names")
		for _, name := range want {
			t.content(t.dir+"/"+name, name)
		}
	}},
	{"name/odd", func(t *T) {
		names := []string{"...", "..x", " ", "\n", "-rf", "*", "CON", "a\\b", "x:y", "trailing.", "trailing ", "\xff\xfe", "é", "e\u0301", "A", "a"}
		for _, n := range names {
			t.file(t.dir+"/"+n, n)
		}
		slices.Sort(names)
		equal(t, t.names(t.dir), names, "names: nothing is folded or normalised")
		for _, n := range names {
			t.content(t.dir+"/"+n, n)
		}
	}},
	{"name/path-4096", func(t *T) {
		p := t.dir
		for len(p)+201 < 4095-10 {
			p += "/" + strings.Repeat("d", 200)
			t.mkdir(p)
		}
		p += "/" + strings.Repeat("f", 4095-len(p)-1)
		equal(t, len(p), 4095, "length with the NUL is 4096")
		t.file(p, "at the end")
		t.content(p, "at the end")
		t.refused(p+"f", unix.O_RDONLY, unix.ENAMETOOLONG)
	}},
	{"name/absent-is-remembered-rightly", func(t *T) {
		for i := range 50 {
			p := t.path(fmt.Sprint(i))
			t.gone(p)
			t.gone(p)
			switch i % 5 {
			case 0:
				t.file(p, "x")
			case 1:
				t.mkdir(p)
			case 2:
				t.ok(os.Symlink("x", p))
			case 3:
				t.ok(unix.Link(t.path(fmt.Sprint(i-3)), p))
			case 4:
				t.ok(unix.Rename(t.path(fmt.Sprint(i-1)), p))
				t.gone(t.path(fmt.Sprint(i - 1)))
			}
			t.lstat(p)
		}
	}},
}
