//go:build linux

// Package soak holds the long runs: kills, power cuts, pairs of lost providers. Each has a short form, which `make test` runs, and
// a long form, which `make soak` runs for SOAK_MINUTES, both seeded: SOAK_SEED repeats a run.
package soak

import (
	"context"
	"math/rand/v2"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/cloudcoin/cloudcoin/internal/bench/session"
	"github.com/cloudcoin/cloudcoin/internal/programs"
)

var bin string

func TestMain(m *testing.M) { os.Exit(programs.Main(m, func(dir string) { bin = dir })) }

// rounds says how long a test goes on: short rounds in `make test`, until the minutes are over (and at least long rounds) in `make soak`.
type rounds struct {
	end         time.Time
	short, long int
}

func newRounds(t *testing.T, short, long, share int) rounds {
	t.Helper()
	minutes, err := strconv.Atoi(os.Getenv("SOAK_MINUTES"))
	if err != nil || minutes <= 0 {
		return rounds{short: short}
	}
	return rounds{end: time.Now().Add(time.Duration(minutes) * time.Minute / time.Duration(share)), long: long}
}

func (r rounds) more(done int) bool {
	if r.long == 0 {
		return done < r.short
	}
	return done < r.long || time.Now().Before(r.end)
}

// seeded is the randomness of a run; the seed is logged so that it can be repeated.
func seeded(t *testing.T) (*rand.Rand, uint64) {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("SOAK_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("SOAK_SEED: %v", err)
		}
		seed = n
	}
	t.Logf("SOAK_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 1)), seed
}

// workDir is a folder for a test, which is kept when the test fails: its HOMEs are the evidence.
func workDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "soak-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("kept for inspection: %s", dir)
			return
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// clearAway ends a drive that a failed test left running, and takes its mount away.
func clearAway(t *testing.T, d *session.Drive) {
	t.Helper()
	if d.Running() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if out, err := d.Run(ctx, "status"); err == nil {
			t.Logf("status when the test ended:\n%s", out)
		}
		if err := d.Kill(); err != nil {
			t.Error(err)
		}
		t.Logf("what the drive said:\n%s", d.Log())
	}
	if t.Failed() {
		_ = syscall.Unmount(d.Mount, syscall.MNT_DETACH) // nothing may be mounted
	}
}

func timeout(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}
