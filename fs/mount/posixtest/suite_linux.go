package posixtest

import (
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"testing"
)

// longEnv makes the suite run its long form.
const longEnv = "CCDRIVE_POSIX_LONG"

// mostShown is how many failures of one case are shown.
const mostShown = 8

// Options says what a filesystem is.
type Options struct {
	// Pins are the cases that must fail, with the reason.
	Pins map[string]string
	// LargeXattrs: values of 64 KiB and 100 attributes for each file are taken. Local filesystems often hold 4 KiB in all.
	LargeXattrs bool
}

// testCase is one thing that a filesystem must do.
type testCase struct {
	name string
	run  func(*T)
}

// groups are all cases.
var groups = [][]testCase{
	openCases, dataCases, spaceCases, mmapCases, linkCases, renameCases, unlinkCases, dirCases, nameCases, permissionCases, ownerCases,
	timeCases, xattrCases, specialCases, lockCases, concurrentCases, execCases,
}

// Run runs all cases, each in a folder of its own below dir.
func Run(t *testing.T, dir string, opt Options) {
	if os.Geteuid() != 0 {
		t.Fatal("the POSIX suite acts as several users: run it as root")
	}
	left := map[string]bool{}
	for name := range opt.Pins {
		left[name] = true
	}
	for _, group := range groups {
		for _, c := range group {
			delete(left, c.name)
			t.Run(c.name, func(t *testing.T) { runCase(t, c, dir, opt) })
		}
	}
	for name := range left {
		t.Errorf("pinned case %q doesn't exist", name)
	}
}

// runCase runs one case and holds its end against its pin.
func runCase(t *testing.T, c testCase, dir string, opt Options) {
	home := filepath.Join(dir, strings.ReplaceAll(c.name, "/", "-"))
	if err := os.Mkdir(home, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(home, 0o777); err != nil {
		t.Fatal(err)
	}
	x := &T{dir: home, opt: opt}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer x.cleanup()
		c.run(x)
	}()
	<-done
	why, pinned := opt.Pins[c.name]
	switch {
	case pinned && len(x.failures) == 0:
		t.Errorf("passes, but is pinned as failing (%s): remove the pin", why)
	case pinned:
		t.Logf("fails as pinned (%s): %s", why, x.failures[0])
	default:
		for _, f := range x.failures[:min(len(x.failures), mostShown)] {
			t.Error(f)
		}
		if n := len(x.failures) - mostShown; n > 0 {
			t.Errorf("and %d more", n)
		}
	}
	if err := os.RemoveAll(home); err != nil && !pinned {
		t.Errorf("remove what the case left: %v", err)
	}
}

// Names are the names of all cases, sorted.
func Names() []string {
	var names []string
	for _, group := range groups {
		for _, c := range group {
			names = append(names, c.name)
		}
	}
	sort.Strings(names)
	return names
}

// T is the testing.T of a case: it notes failures instead of failing, since a pinned case has to.
type T struct {
	dir      string
	opt      Options
	failures []string
	closers  []func()
}

func (t *T) cleanup() {
	for i := len(t.closers) - 1; i >= 0; i-- {
		t.closers[i]()
	}
}

// stop ends the case.
func (t *T) stop() { runtime.Goexit() }

// OpenDir makes a temporary folder that all users may reach; testing's own is closed to them. It is removed at the end.
func OpenDir(t testing.TB) string {
	dir, err := os.MkdirTemp("", "posixtest")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}
