// Command ccdrive mounts a folder whose files live encrypted and erasure-coded with several independent providers.
//
// The commands are flags, wiring and output; what they do is in package drive. CLI names, flags, JSON keys and exit codes are a
// contract: 0 done, 1 failed, 2 wrong usage, 3 not running, 4 not found, 5 timed out.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/cloudcoin/cloudcoin/drive"
)

func main() {
	limitMemory()
	os.Exit(run(filepath.Base(os.Args[0]), os.Args[1:]))
}

// softLimit is the memory, in bytes, above which the garbage collector works as often as need be. A drive is to stay below 150 MiB resident,
// about 30 of which are the program's own pages and what the runtime has freed but not given back yet. What is in use at once is bounded by the packages
// (packs under way, requests of the kernel, caches) and far below it; without a limit the collector would let garbage grow to the same size again.
const softLimit = 112 << 20

// limitMemory sets the collector's goals, unless GOGC or GOMEMLIMIT do.
func limitMemory() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(softLimit)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(60)
	}
}

// run executes one command line and returns its exit code.
func run(name string, args []string) int {
	// Notify also takes back a SIGINT that was ignored at the start, as shells do for background jobs.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	a := &app{}
	root := a.root()
	if strings.HasPrefix(name, "mount.") {
		root = a.mountHelper(name)
	}
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err != nil && !errors.Is(err, errSilent) {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
	}
	return exitCode(err)
}

// errSilent ends a command with exit code 1 when all was said already.
var errSilent = errors.New("")

// usageError is wrong usage: exit code 2.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

func exitCode(err error) int {
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage), errors.Is(err, drive.ErrUsage), errors.Is(err, drive.ErrNetwork), isCobraUsage(err):
		return 2
	case errors.Is(err, drive.ErrNotRunning):
		return 3
	case errors.Is(err, drive.ErrNotFound):
		return 4
	case errors.Is(err, drive.ErrTimeout):
		return 5
	}
	return 1
}

// isCobraUsage recognises what cobra itself refuses, for which it has no type.
func isCobraUsage(err error) bool {
	for _, prefix := range []string{"unknown command", "unknown flag", "unknown shorthand", "flag needs an argument", "invalid argument", "required flag", "if any flags in the group"} {
		if strings.HasPrefix(err.Error(), prefix) {
			return true
		}
	}
	return false
}

// args wraps cobra's checks of the number of arguments, so that they end with exit code 2.
func args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, a []string) error {
		if err := check(c, a); err != nil {
			return usageError{fmt.Errorf("%w\nUsage: %s", err, c.UseLine())}
		}
		return nil
	}
}
