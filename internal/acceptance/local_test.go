//go:build linux

package acceptance

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cloudcoin/cloudcoin/internal/bench/session"
)

// TestLocalNetwork: what `ccdrive local` writes for others, what it leaves behind when it is killed, and how the next start takes that over.
func TestLocalNetwork(t *testing.T) {
	began := time.Now()
	d := newDrive(t)
	// The bounds are the commands' contract: 30 s on a fresh HOME, 15 s later.
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("the first start took %v", took)
	}
	b := read(t, filepath.Join(d.Home, "local/network.json"))
	var n struct {
		Peer      *string
		Providers []session.Provider
	}
	if err := json.Unmarshal([]byte(b), &n); err != nil || n.Peer == nil || len(n.Providers) != 6 {
		t.Fatalf("network.json is %s: %v", b, err)
	}
	var leases []struct {
		Lease, Provider, URL, State string
		Size                        int64
	}
	if err := d.JSON(testContext(t), &leases, "leases"); err != nil || len(leases) != 6 {
		t.Fatalf("leases are %+v: %v", leases, err)
	}
	for i, p := range n.Providers {
		if leases[i].URL != p.URL || leases[i].Provider != p.Name || leases[i].State != "ok" {
			t.Errorf("lease %d is %+v, the provider %+v", i, leases[i], p)
		}
	}
	path := filepath.Join(d.Mount, "file")
	writeSynced(t, path, "kept")
	for _, args := range [][]string{{"local", d.Mount}, {"local", "--no-drive"}, {"mount", t.TempDir()}} {
		if out, err := d.Run(testContext(t), args...); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("in use by process %d", d.PID())) {
			t.Errorf("a second %v: %v %s", args, err, out)
		}
	}

	var pids []int
	for _, p := range n.Providers {
		pids = append(pids, pid(t, p))
	}
	if err := d.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, p := range pids {
		awaitDead(t, p)
	}
	if _, err := os.ReadDir(d.Mount); !errors.Is(err, syscall.ENOTCONN) {
		t.Errorf("the mount of a killed process says %v", err)
	}
	began = time.Now()
	start(t, d)
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("a later start took %v", took)
	}
	if got := read(t, path); got != "kept" {
		t.Errorf("after the kill the file is %q", got)
	}
	again, err := d.Providers()
	if err != nil {
		t.Fatal(err)
	}
	for i := range again {
		if again[i] != n.Providers[i] {
			t.Errorf("provider %d was %+v and is %+v", i+1, n.Providers[i], again[i])
		}
	}
	cc(t, d, "sync", "--timeout", "1m")
	stop(t, d)
	for _, p := range again {
		if resp, err := http.Get(p.URL); err == nil {
			resp.Body.Close()
			t.Errorf("%s answers after the end", p.Name)
		}
	}
	if isMounted(d.Mount) {
		t.Error("it is mounted after the end")
	}
}

// awaitDead waits for the end of a process that isn't our child.
func awaitDead(t *testing.T, pid int) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for syscall.Kill(pid, 0) == nil {
		if b, err := os.ReadFile("/proc/" + itoa(uint64(pid)) + "/stat"); err == nil && strings.Contains(string(b), ") Z ") {
			return // ended; who should wait for it doesn't
		}
		if time.Now().After(deadline) {
			t.Fatalf("process %d lives on", pid)
		}
		time.Sleep(5 * time.Millisecond) // somebody else's process has no event to wait for
	}
}

// TestProvidersGone: with too few providers sync runs out of time, the drive goes on, and a killed provider comes back by itself to what it held.
func TestProvidersGone(t *testing.T) {
	d := newDrive(t, "--providers", "3")
	for _, n := range []string{"1", "2", "3"} {
		cc(t, d, "local", "provider", "stop", n)
	}
	path := filepath.Join(d.Mount, "file")
	write(t, path, "written alone")
	_, err := d.Run(testContext(t), "sync", "--timeout", "1s")
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 5 {
		t.Fatalf("sync without providers: %v", err)
	}
	s := getStatus(t, d)
	if len(s.Warnings) == 0 || s.PendingFiles != 1 {
		t.Errorf("status without providers: %+v", s)
	}
	if got := read(t, path); got != "written alone" {
		t.Errorf("read %q", got)
	}
	stop(t, d) // nothing is lost by an end now
	start(t, d)
	cc(t, d, "sync", "--timeout", "1m")
	forget(t, d)
	if got := read(t, path); got != "written alone" {
		t.Errorf("read %q", got)
	}
	if _, err := d.Run(testContext(t), "local", "provider", "stop", "4"); err == nil {
		t.Error("provider 4 of 3 was stopped")
	}
}
