//go:build unix

package treecmp

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// make builds a small tree with one of everything.
func build(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	at := time.Unix(1700000000, 123456789)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Mkdir(filepath.Join(dir, "d"), 0o755))
	must(os.WriteFile(filepath.Join(dir, "d", "f"), []byte("hello"), 0o644))
	must(os.WriteFile(filepath.Join(dir, "g"), []byte("world"), 0o600))
	must(os.Link(filepath.Join(dir, "g"), filepath.Join(dir, "h")))
	must(os.Symlink("d/f", filepath.Join(dir, "s")))
	for _, n := range []string{"d/f", "g", "d"} {
		must(os.Chtimes(filepath.Join(dir, n), at, at))
	}
	return dir
}

// ignoreLinkTimes leaves out the time of the symbolic link, which os can't set.
func diff(t *testing.T, a, b string) []string {
	t.Helper()
	d, err := Diff(a, b, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, line := range d {
		if !strings.HasPrefix(line, "s: mtime") {
			out = append(out, line)
		}
	}
	return out
}

func TestEqualTrees(t *testing.T) {
	if d := diff(t, build(t), build(t)); len(d) != 0 {
		t.Fatalf("equal trees differ: %v", d)
	}
}

func TestEachDifferenceIsFound(t *testing.T) {
	at := time.Unix(1700000000, 123456789)
	for name, change := range map[string]func(dir string) error{
		"content": func(d string) error {
			if err := os.WriteFile(filepath.Join(d, "d/f"), []byte("hellO"), 0o644); err != nil {
				return err
			}
			return os.Chtimes(filepath.Join(d, "d/f"), at, at)
		},
		"mode":  func(d string) error { return os.Chmod(filepath.Join(d, "g"), 0o640) },
		"mtime": func(d string) error { return os.Chtimes(filepath.Join(d, "d/f"), at, at.Add(1)) },
		"links": func(d string) error {
			if err := os.Remove(filepath.Join(d, "h")); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(d, "h"), []byte("world"), 0o600)
		},
		"only":    func(d string) error { return os.WriteFile(filepath.Join(d, "extra"), nil, 0o600) },
		"no such": func(d string) error { return os.Remove(filepath.Join(d, "h")) },
		"link to": func(d string) error {
			if err := os.Remove(filepath.Join(d, "s")); err != nil {
				return err
			}
			return os.Symlink("d/g", filepath.Join(d, "s"))
		},
	} {
		a, b := build(t), build(t)
		if err := change(b); err != nil {
			t.Fatal(err)
		}
		if d := diff(t, a, b); !strings.Contains(strings.Join(d, "\n"), name) {
			t.Errorf("%s: differences are %v", name, d)
		}
	}
}
