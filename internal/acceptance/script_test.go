//go:build linux

package acceptance

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/cloudcoin/cloudcoin/internal/bench/session"
)

// TestScripts runs sessions at a terminal. They share one network of six providers; each has a HOME of its own.
// $URL1 … $URL6 are the providers, $IGNORING is a program that runs its arguments with SIGINT ignored.
func TestScripts(t *testing.T) {
	_, providers := newNetwork(t)
	t.Run("sessions", func(t *testing.T) { // ends before the network does
		testscript.Run(t, testscript.Params{
			Dir: "testdata/script",
			Setup: func(e *testscript.Env) error {
				e.Setenv("PATH", bin+string(os.PathListSeparator)+e.Getenv("PATH"))
				e.Setenv("BIN", bin)
				e.Setenv("CCDRIVE_HOME", filepath.Join(e.WorkDir, "home"))
				for i, p := range providers {
					e.Setenv(fmt.Sprintf("URL%d", i+1), p.URL)
				}
				e.Values[providersKey{}] = providers
				mnt := filepath.Join(e.WorkDir, "mnt")
				e.Defer(func() { // after a failure
					if isMounted(mnt) {
						_ = exec.Command(filepath.Join(bin, "ccdrive"), "unmount", mnt, "--home", e.Getenv("CCDRIVE_HOME")).Run()
					}
				})
				return os.Mkdir(mnt, 0o755)
			},
			Cmds: map[string]func(*testscript.TestScript, bool, []string){"await": awaitFile, "exits": exits, "takeleases": takeLeases, "mounted": mounted},
		})
	})
}

type providersKey struct{}

// awaitFile (await FILE TEXT) TEXT waits until a file holds a text.
func awaitFile(ts *testscript.TestScript, _ bool, args []string) {
	deadline := time.Now().Add(limit)
	for {
		b, err := os.ReadFile(ts.MkAbs(args[0]))
		if err == nil && strings.Contains(string(b), args[1]) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s never held %q: %s", args[0], args[1], b)
		}
		time.Sleep(5 * time.Millisecond) // polling a file has no event to wait for
	}
}

// exits CODE COMMAND… runs a command and compares its exit code.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	code := "0"
	if err != nil {
		code = strings.TrimPrefix(err.Error(), "exit status ")
	}
	if code != args[0] {
		ts.Fatalf("%v: exit code %s, want %s", args[1:], code, args[0])
	}
}

// mounted DIR, or ! mounted DIR.
func mounted(ts *testscript.TestScript, neg bool, args []string) {
	if isMounted(ts.MkAbs(args[0])) == neg {
		ts.Fatalf("%s: mounted is %v", args[0], !neg)
	}
}

func isMounted(dir string) bool {
	b, err := os.ReadFile("/proc/self/mounts")
	return err == nil && strings.Contains(string(b), " "+dir+" ")
}

// takeleases takes a granted lease of every provider, by key and code.
func takeLeases(ts *testscript.TestScript, _ bool, _ []string) {
	for _, p := range ts.Value(providersKey{}).([]session.Provider) {
		ts.Check(takeLease(ts.Getenv("CCDRIVE_HOME"), p))
	}
}

func takeLease(home string, p session.Provider) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	said := func(program string, args ...string) (string, error) {
		cmd := exec.CommandContext(ctx, filepath.Join(bin, program), args...)
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			return "", fmt.Errorf("%s %v: %w: %s", program, args, err, stderr.String())
		}
		return strings.TrimSpace(string(out)), nil
	}
	key, err := said("ccdrive", "lease", "key", p.URL, "--home", home)
	if err != nil {
		return err
	}
	code, err := said("ccprovider", "grant", "--home", p.Home, "--size", "1GiB", "--for", key, "--until", "1y")
	if err != nil {
		return err
	}
	_, err = said("ccdrive", "lease", "add", code, "--home", home)
	return err
}
