//go:build linux

package acceptance

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

type revision struct {
	Revision uint64
	Time     time.Time
	Op       string
	Size     int64
	Stored   bool
}

func TestHistoryAndRevert(t *testing.T) {
	d := newDrive(t)
	in := func(name string) string { return filepath.Join(d.Mount, name) }
	write(t, in("file"), "first")
	write(t, in("gone"), "was deleted")
	write(t, in("folder/a"), "a")
	write(t, in("folder/sub/b"), "b")
	write(t, in("old name/c"), "c")
	cc(t, d, "sync", "--timeout", "1m")
	var before revision
	{
		var revs []revision
		if err := d.JSON(testContext(t), &revs, "history", in("file")); err != nil {
			t.Fatal(err)
		}
		if len(revs) == 0 || revs[0].Size != 5 || !revs[0].Stored {
			t.Fatalf("history of a stored file: %+v", revs)
		}
		before = revs[0]
	}
	var s struct{ Revision uint64 }
	if err := d.JSON(testContext(t), &s, "status"); err != nil {
		t.Fatal(err)
	}
	then := fmt.Sprint(s.Revision)

	write(t, in("file"), "second, longer")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Remove(in("gone")))
	must(os.RemoveAll(in("folder")))
	must(os.Rename(in("old name"), in("new name")))
	cc(t, d, "sync", "--timeout", "1m")

	at := filepath.Join(d.Mount, ".ccdrive/at", then)
	for name, want := range map[string]string{"file": "first", "gone": "was deleted", "folder/a": "a", "folder/sub/b": "b", "old name/c": "c"} {
		if got := read(t, filepath.Join(at, name)); got != want {
			t.Errorf("%s as of then is %q, want %q", name, got, want)
		}
	}
	if _, err := os.Stat(filepath.Join(at, "new name")); !os.IsNotExist(err) {
		t.Errorf("the new name as of then: %v", err)
	}
	if err := os.WriteFile(filepath.Join(at, "file"), nil, 0o644); err == nil {
		t.Error("the past could be written")
	}
	names, err := os.ReadDir(d.Mount)
	must(err)
	for _, n := range names {
		if n.Name() == ".ccdrive" {
			t.Error(".ccdrive is listed")
		}
	}

	if out := cc(t, d, "cat", in("file"), "--at", fmt.Sprint(before.Revision)); out != "first" {
		t.Errorf("cat --at: %q", out)
	}
	if out := cc(t, d, "cat", in("gone"), "--at", then); out != "was deleted" {
		t.Errorf("cat of a deleted file: %q", out)
	}
	for _, name := range []string{"file", "gone", "folder", "old name"} {
		cc(t, d, "revert", in(name), "--to", then)
	}
	for name, want := range map[string]string{"file": "first", "gone": "was deleted", "folder/a": "a", "folder/sub/b": "b", "old name/c": "c"} {
		if got := read(t, in(name)); got != want {
			t.Errorf("%s after revert is %q, want %q", name, got, want)
		}
	}
	var revs []revision
	if err := d.JSON(testContext(t), &revs, "history", in("file")); err != nil {
		t.Fatal(err)
	}
	if len(revs) < 3 {
		t.Errorf("a revert must be a new revision: %+v", revs)
	}
}

// TestRestedVersionIsKept: a version that was closed and left alone for two seconds comes back though it was overwritten before it was uploaded.
func TestRestedVersionIsKept(t *testing.T) {
	d := newDrive(t)
	for _, n := range []string{"1", "2", "3", "4", "5", "6"} {
		cc(t, d, "local", "provider", "stop", n)
	}
	path := filepath.Join(d.Mount, "file")
	write(t, path, "precious")
	rested := time.NewTimer(2500 * time.Millisecond) // the rule under test is about elapsed time
	<-rested.C
	write(t, path, "overwritten")
	for _, n := range []string{"1", "2", "3", "4", "5", "6"} {
		cc(t, d, "local", "provider", "start", n)
	}
	cc(t, d, "sync", "--timeout", "2m")
	var revs []revision
	if err := d.JSON(testContext(t), &revs, "history", path); err != nil {
		t.Fatal(err)
	}
	for _, r := range revs {
		if r.Size == 8 && r.Stored {
			if out := cc(t, d, "cat", path, "--at", fmt.Sprint(r.Revision)); out != "precious" {
				t.Fatalf("revision %d is %q", r.Revision, out)
			}
			return
		}
	}
	t.Fatalf("no stored revision of 8 bytes: %+v", revs)
}
