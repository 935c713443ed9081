//go:build linux

package acceptance

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudcoin/cloudcoin/internal/bench/session"
	"github.com/cloudcoin/cloudcoin/internal/treecmp"
)

// newNetwork runs six providers without a drive until the test ends.
func newNetwork(t *testing.T) (*session.Drive, []session.Provider) {
	t.Helper()
	n := session.New(bin, t.TempDir())
	if err := n.StartNetwork(testContext(t)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Stop(); err != nil {
			t.Error(err)
		}
	})
	providers, err := n.Providers()
	if err != nil {
		t.Fatal(err)
	}
	return n, providers
}

// newMounted mounts a drive that took leases of the providers, until the test ends.
func newMounted(t *testing.T, providers []session.Provider, args ...string) (d *session.Drive, phrase string) {
	t.Helper()
	d = session.New(bin, t.TempDir(), args...)
	phrase = filepath.Join(t.TempDir(), "phrase")
	if err := d.TakeLeases(testContext(t), phrase, providers); err != nil {
		t.Fatal(err)
	}
	startMount(t, d)
	t.Cleanup(func() {
		if d.Running() {
			if err := d.Stop(); err != nil {
				t.Error(err)
			}
		}
	})
	return d, phrase
}

func startMount(t *testing.T, d *session.Drive) {
	t.Helper()
	if err := d.StartMount(testContext(t)); err != nil {
		t.Fatal(err)
	}
}

func TestRecoverFromPhrase(t *testing.T) {
	_, providers := newNetwork(t)
	d, phrase := newMounted(t, providers)
	src := source(t)
	run(t, "", "cp", "-a", src, filepath.Join(d.Mount, "source"))
	write(t, filepath.Join(d.Mount, "file"), "first")
	cc(t, d, "sync", "--timeout", "2m")
	write(t, filepath.Join(d.Mount, "file"), "second!")
	cc(t, d, "sync", "--timeout", "2m")
	var before []revision
	if err := d.JSON(testContext(t), &before, "history", filepath.Join(d.Mount, "file")); err != nil {
		t.Fatal(err)
	}
	stop(t, d)
	if err := os.RemoveAll(d.Home); err != nil {
		t.Fatal(err)
	}
	again := session.New(bin, t.TempDir())
	// One provider is enough to find the others.
	cc(t, again, "recover", "--network", "local", "--phrase-file", phrase, "--provider", providers[2].URL)
	startMount(t, again)
	defer stop(t, again)
	compare(t, src, filepath.Join(again.Mount, "source"))
	if got := read(t, filepath.Join(again.Mount, "file")); got != "second!" {
		t.Fatalf("file is %q", got)
	}
	var after []revision
	if err := again.JSON(testContext(t), &after, "history", filepath.Join(again.Mount, "file")); err != nil {
		t.Fatal(err)
	}
	if len(after) != len(before) {
		t.Fatalf("history has %d revisions, had %d:\n%+v\n%+v", len(after), len(before), after, before)
	}
	first := after[len(after)-1]
	for _, r := range after {
		if r.Size == 5 {
			first = r
		}
	}
	if out := cc(t, again, "cat", filepath.Join(again.Mount, "file"), "--at", itoa(first.Revision)); out != "first" {
		t.Fatalf("the first revision is %q", out)
	}
	// The recovered drive goes on as a device of its own.
	write(t, filepath.Join(again.Mount, "after"), "written after recovery")
	cc(t, again, "sync", "--timeout", "2m")
}

// TestDamagedHome damages each local file in turn: it must be reported or make no difference, and recover --from must lose nothing that was fsynced.
func TestDamagedHome(t *testing.T) {
	_, providers := newNetwork(t)
	d, phrase := newMounted(t, providers)
	src := t.TempDir()
	write(t, filepath.Join(src, "tree/stored"), strings.Repeat("stored ", 20000))
	write(t, filepath.Join(src, "tree/small"), "small and stored")
	run(t, "", "cp", "-a", filepath.Join(src, "tree"), d.Mount)
	cc(t, d, "sync", "--timeout", "2m")
	// No provider: what follows stays on this disk.
	for _, p := range providers {
		freeze(t, p)
	}
	unsent := map[string]string{"unsent small": "only here", "unsent big": strings.Repeat("only here too ", 50000)}
	for name, content := range unsent {
		writeSynced(t, filepath.Join(d.Mount, name), content)
	}
	if err := d.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, p := range providers {
		thaw(t, p)
	}
	cc(t, d, "unmount", d.Mount) // what the killed process left
	for _, victim := range localFiles(t, d.Home) {
		for _, how := range damages {
			t.Run(how.name+" "+victim, func(t *testing.T) {
				damagedHome(t, d, phrase, providers, victim, how, filepath.Join(src, "tree"), unsent)
			})
			if testing.Short() {
				break
			}
		}
	}
}

type damage struct {
	name string
	do   func(path string) error
}

var damages = []damage{
	{"flip", func(path string) error {
		b, err := os.ReadFile(path)
		if err != nil || len(b) == 0 {
			return err
		}
		b[len(b)/3] ^= 0x40
		return os.WriteFile(path, b, 0o600)
	}},
	{"truncate", func(path string) error {
		st, err := os.Stat(path)
		if err != nil {
			return err
		}
		return os.Truncate(path, st.Size()/2)
	}},
	{"remove", os.Remove},
}

func localFiles(t *testing.T, home string) (out []string) {
	t.Helper()
	err := filepath.WalkDir(home, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(home, path)
		if filepath.Base(rel) != "lock" && filepath.Base(rel) != "LOCK" && filepath.Base(rel) != "LOG" {
			out = append(out, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// damagedHome copies the killed drive's HOME, damages one file, and goes the way that a user would.
func damagedHome(t *testing.T, d *session.Drive, phrase string, providers []session.Provider, victim string, how damage, tree string, unsent map[string]string) {
	bad := session.New(bin, t.TempDir())
	run(t, "", "cp", "-a", "--sparse=always", d.Home, bad.Home)
	if err := how.do(filepath.Join(bad.Home, victim)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := bad.StartMount(ctx); err == nil {
		ok := intact(t, bad, tree, unsent)
		if err := bad.Stop(); err != nil {
			t.Logf("stop: %v", err)
		}
		if ok {
			return // the damage makes no difference
		}
	} else if !strings.Contains(err.Error(), "ccdrive recover") {
		t.Errorf("the report doesn't tell the way back: %v", err)
	}
	saved := session.New(bin, t.TempDir())
	out, err := saved.Run(ctx, "recover", "--network", "local", "--phrase-file", phrase, "--provider", providers[0].URL, "--from", bad.Home)
	if err != nil {
		t.Fatalf("recover --from: %v", err)
	}
	startMount(t, saved)
	defer stop(t, saved)
	compare(t, tree, filepath.Join(saved.Mount, "tree"))
	for name, content := range unsent {
		found, err := filepath.Glob(filepath.Join(saved.Mount, "Recovered *", name))
		if err == nil && len(found) > 0 && read(t, found[0]) == content {
			continue
		}
		// What lay in the damaged file alone can't come back. Then it is told.
		if only := strings.HasPrefix(victim, "stage/layers/") || strings.HasPrefix(victim, "journal/segment"); !only || !strings.Contains(out, victim) {
			t.Errorf("%s was not saved (found %v); recover said:\n%s", name, found, out)
		}
	}
}

// intact tells whether the drive answers as if nothing had happened. A wrong answer is a failure; an error or a report is not.
func intact(t *testing.T, d *session.Drive, tree string, unsent map[string]string) bool {
	t.Helper()
	diffs, err := treecmp.Diff(tree, filepath.Join(d.Mount, "tree"), treecmp.Options{})
	if err != nil || len(diffs) > 0 {
		for _, line := range diffs {
			if strings.Contains(line, "contents differ") {
				t.Errorf("a wrong answer: %s", line)
			}
		}
		return false
	}
	for name, content := range unsent {
		b, err := os.ReadFile(filepath.Join(d.Mount, name))
		if err != nil {
			return false
		}
		if string(b) != content {
			t.Errorf("a wrong answer: %s has %d bytes that aren't its own", name, len(b))
		}
	}
	return true
}
