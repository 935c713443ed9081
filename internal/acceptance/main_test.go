//go:build linux

// Package acceptance tests the programs as a user has them: real processes, real mounts, real providers on loopback. What takes
// long has its full form in internal/soak.
package acceptance

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cloudcoin/cloudcoin/internal/bench/session"
	"github.com/cloudcoin/cloudcoin/internal/programs"
)

// bin is the folder of the programs, built once.
var bin string

func TestMain(m *testing.M) { os.Exit(programs.Main(m, func(dir string) { bin = dir })) }

// limit bounds every wait of these tests; none comes near it.
const limit = 3 * time.Minute

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	return ctx
}

// newDrive runs `ccdrive local` in a folder of its own until the test ends.
func newDrive(t *testing.T, args ...string) *session.Drive {
	t.Helper()
	d := session.New(bin, t.TempDir(), args...)
	start(t, d)
	t.Cleanup(func() {
		if d.Running() {
			if err := d.Stop(); err != nil {
				t.Error(err)
			}
		}
	})
	return d
}

func start(t *testing.T, d *session.Drive) {
	t.Helper()
	if err := d.Start(testContext(t)); err != nil {
		t.Fatal(err)
	}
}

func stop(t *testing.T, d *session.Drive) {
	t.Helper()
	if err := d.Stop(); err != nil {
		t.Fatal(err)
	}
}

// cc runs a command of ccdrive that must succeed.
func cc(t *testing.T, d *session.Drive, args ...string) string {
	t.Helper()
	out, err := d.Run(testContext(t), args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// run runs another program that must succeed.
func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(testContext(t), name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@localhost", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@localhost")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// status is what `ccdrive status --json` says.
type status struct {
	State        string
	PendingFiles int64 `json:"pending_files"`
	StoredFiles  int64 `json:"stored_files"`
	CachedBytes  int64 `json:"cached_bytes"`
	Health       struct {
		Packs  int
		AtRisk int `json:"at_risk"`
		Lost   int
	}
	Warnings []string
}

func getStatus(t *testing.T, d *session.Drive) (s status) {
	t.Helper()
	if err := d.JSON(testContext(t), &s, "status"); err != nil {
		t.Fatal(err)
	}
	return s
}

// await asks for the status until it is as wanted, or the time of the test is over.
func await(t *testing.T, d *session.Drive, what string, ok func(status) bool) status {
	t.Helper()
	ctx := testContext(t)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		s := getStatus(t, d)
		if ok(s) {
			return s
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited in vain for %s: %+v", what, s)
		}
	}
}

func whole(s status) bool { return s.Health.AtRisk == 0 && s.Health.Lost == 0 && s.Health.Packs > 0 }
