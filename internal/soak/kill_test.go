//go:build linux

package soak

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cloudcoin/cloudcoin/internal/bench/session"
	"github.com/cloudcoin/cloudcoin/internal/homelock"
	"github.com/cloudcoin/cloudcoin/internal/soak/load"
)

const writers = 3

// TestSoakKillGoFuse and TestSoakKillBazil kill the drive, and sometimes a provider, at random moments under load.
func TestSoakKillGoFuse(t *testing.T) { killTest(t, "gofuse") }

func TestSoakKillBazil(t *testing.T) { killTest(t, "bazil") }

func killTest(t *testing.T, adapter string) {
	rnd, seed := seeded(t)
	d := session.New(bin, workDir(t), "--fuse", adapter)
	defer clearAway(t, d)
	if err := d.Start(timeout(t, time.Minute)); err != nil {
		t.Fatal(err)
	}
	team := newTeam(d.Mount, seed)
	r := newRounds(t, 4, 60, 4)
	kills := 0
	for ; r.more(kills); kills++ {
		team.run(t, d, rnd, kills)
		if err := d.Start(timeout(t, time.Minute)); err != nil {
			t.Fatalf("after kill %d: %v", kills+1, err)
		}
		team.check(t, kills+1)
		if kills%20 == 19 {
			t.Logf("%d kills, %d acknowledged operations so far", kills+1, team.ops())
		}
	}
	providers, err := d.Providers()
	if err != nil {
		t.Fatal(err)
	}
	finish(t, d, providers)
	t.Logf("%d kills, %d acknowledged operations, nothing lost", kills, team.ops())
}

// team is the writers of one drive.
type team struct {
	writers []*load.Writer
}

func newTeam(mount string, seed uint64) *team {
	tm := &team{}
	for i := range uint64(writers) {
		tm.writers = append(tm.writers, load.NewWriter(filepath.Join(mount, fmt.Sprintf("writer-%d", i)), i+1, seed+i))
	}
	return tm
}

func (tm *team) ops() (n int64) {
	for _, w := range tm.writers {
		n += w.Ops()
	}
	return n
}

// run writes until a random moment, at which the drive is killed.
func (tm *team) run(t *testing.T, d *session.Drive, rnd *rand.Rand, round int) {
	t.Helper()
	kill := tm.write(d)
	if round%3 == 2 {
		pause(rnd, 400*time.Millisecond)
		killProvider(t, d, 1+rnd.IntN(6))
	}
	pause(rnd, 1500*time.Millisecond)
	kill(t)
}

// write lets the writers begin. The function that it returns kills the drive and ends them; an operation that failed before that fails the test.
func (tm *team) write(d *session.Drive) (kill func(*testing.T)) {
	ctx, cancel := context.WithCancel(context.Background())
	errs := make([]error, len(tm.writers))
	var wg sync.WaitGroup
	for i, w := range tm.writers {
		wg.Go(func() { errs[i] = w.Run(ctx) })
	}
	return func(t *testing.T) {
		t.Helper()
		defer cancel()
		if err := d.Kill(); err != nil {
			t.Fatal(err)
		}
		cancel()
		wg.Wait()
		for _, err := range errs {
			if err != nil && !killed(err) {
				t.Fatalf("an operation failed before the drive was killed: %v", err)
			}
		}
	}
}

// killed tells whether an error is what a killed drive's mount answers.
func killed(err error) bool {
	return errors.Is(err, syscall.ENOTCONN) || errors.Is(err, syscall.ECONNABORTED) || errors.Is(err, syscall.EIO) || errors.Is(err, syscall.ENODEV)
}

// pause waits for a random time up to most: the moments of the kills are what is random in this test.
func pause(rnd *rand.Rand, most time.Duration) {
	<-time.After(time.Duration(rnd.Int64N(int64(most))))
}

func (tm *team) check(t *testing.T, kills int) {
	t.Helper()
	for _, w := range tm.writers {
		if err := w.Snapshot().Check(); err != nil {
			t.Fatalf("after kill %d:\n%v", kills, err)
		}
		if err := w.Adopt(); err != nil {
			t.Fatalf("after kill %d: %v", kills, err)
		}
	}
}

// killProvider ends a provider by SIGKILL and brings it up again.
func killProvider(t *testing.T, d *session.Drive, n int) {
	t.Helper()
	providers, err := d.Providers()
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(providerPID(t, providers[n-1]), syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		t.Fatal(err)
	}
	for homelock.Holder(providers[n-1].Home) != 0 {
		<-time.After(time.Millisecond)
	}
	if _, err := d.Run(timeout(t, time.Minute), "local", "provider", "start", strconv.Itoa(n)); err != nil {
		t.Fatal(err)
	}
}

// providerPID is the process that holds the HOME of a provider.
func providerPID(t *testing.T, p session.Provider) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(p.Home, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// finish lets everything be stored, then reads every shard at its provider: each that has a receipt must be there and right.
func finish(t *testing.T, d *session.Drive, providers []session.Provider) {
	t.Helper()
	ctx := timeout(t, 3*time.Minute)
	if _, err := d.Run(ctx, "sync", "--timeout", "2m"); err != nil {
		t.Fatal(err)
	}
	if out, err := d.Run(ctx, "doctor", "--read-data"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, p := range providers {
		if out, err := exec.CommandContext(ctx, filepath.Join(bin, "ccprovider"), "scrub", "--home", p.Home).CombinedOutput(); err != nil {
			t.Fatalf("scrub of %s: %v\n%s", p.Name, err, out)
		}
	}
	if err := d.Stop(); err != nil {
		t.Fatal(err)
	}
}
