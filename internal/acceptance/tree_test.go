//go:build linux

package acceptance

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pkg/xattr"

	"github.com/cloudcoin/cloudcoin/internal/treecmp"
)

// source is a real tree: a part of Go's own sources, with links and attributes added.
func source(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "source")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	src := filepath.Join(strings.TrimSpace(run(t, "", "go", "env", "GOROOT")), "src")
	run(t, "", "cp", "-a", filepath.Join(src, "net"), filepath.Join(src, "crypto"), dir)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Symlink("net/http", filepath.Join(dir, "a link")))
	must(os.Link(filepath.Join(dir, "net/net.go"), filepath.Join(dir, "crypto/hard link.go")))
	must(xattr.Set(filepath.Join(dir, "net/ip.go"), "user.colour", []byte("blue\x00green")))
	must(os.Chmod(filepath.Join(dir, "net/dial.go"), 0o4751))
	must(os.WriteFile(filepath.Join(dir, "empty"), nil, 0o400))
	must(os.WriteFile(filepath.Join(dir, "name\n\xff\x01"), []byte("odd"), 0o600))
	big := strings.Repeat("all work and no play\n", 1<<17)
	must(os.WriteFile(filepath.Join(dir, "big"), []byte(big), 0o644))
	// rsync takes times of the same second for equal, on any filesystem: what was made just now gets times of its own.
	run(t, dir, "touch", "-h", "-d", "2020-02-03 04:05:06.123456789", "a link", "crypto", "net", "empty", "big", ".")
	return dir
}

func compare(t *testing.T, a, b string) {
	t.Helper()
	diffs, err := treecmp.Diff(a, b, treecmp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(diffs) > 0 {
		t.Fatalf("%d differences:\n%s", len(diffs), strings.Join(diffs, "\n"))
	}
}

func TestTreeSurvivesStopAndEviction(t *testing.T) {
	src := source(t)
	d := newDrive(t)
	copied := filepath.Join(d.Mount, "source")
	run(t, "", "cp", "-a", src, copied)
	compare(t, src, copied)
	cc(t, d, "sync", "--timeout", "2m")
	cc(t, d, "evict")
	if s := getStatus(t, d); s.CachedBytes != 0 {
		t.Errorf("after evict %d bytes of what is stored are still here", s.CachedBytes)
	}
	stop(t, d)
	start(t, d)
	compare(t, src, copied)
	s := await(t, d, "whole packs", whole)
	if s.PendingFiles != 0 {
		t.Fatalf("%d files pending after sync", s.PendingFiles)
	}
}

func TestTreeThroughBazil(t *testing.T) {
	src := source(t)
	d := newDrive(t, "--fuse", "bazil")
	copied := filepath.Join(d.Mount, "source")
	run(t, "", "cp", "-a", src, copied)
	cc(t, d, "sync", "--timeout", "2m")
	forget(t, d)
	compare(t, src, copied)
}
