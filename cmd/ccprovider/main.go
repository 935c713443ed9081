// Command ccprovider rents out disk space: it serves shards over HTTP to those who hold a lease. What it can do is in docs/operating-provider.md;
// this package holds flags, wiring and output, and no logic.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/cloudcoin/cloudcoin/provider"
)

// Exit codes of every command; 4 (not found) is for commands of other programs.
const (
	exitFailed     = 1
	exitUsage      = 2
	exitNotRunning = 3
	exitTimeout    = 5
)

func main() { os.Exit(run()) }

// run is main for the tests, too.
func run() int {
	// Notify takes SIGINT even when it was ignored at the start, as it is for background jobs of a shell.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	a := &app{out: os.Stdout, errs: os.Stderr}
	root := a.root()
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, "ccprovider:", err)
	return exitCode(err)
}

// usageError is a wrong use of a command.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usage(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

func exitCode(err error) int {
	var u usageError
	switch {
	case errors.As(err, &u), isCobraUsage(err):
		return exitUsage
	case errors.Is(err, provider.ErrNotRunning):
		return exitNotRunning
	case errors.Is(err, context.DeadlineExceeded):
		return exitTimeout
	}
	return exitFailed
}

// isCobraUsage recognises what cobra itself refuses, for which it has no type.
func isCobraUsage(err error) bool {
	for _, prefix := range []string{"unknown command", "unknown flag", "unknown shorthand"} {
		if strings.HasPrefix(err.Error(), prefix) {
			return true
		}
	}
	return false
}
