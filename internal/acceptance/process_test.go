//go:build linux

package acceptance

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/cloudcoin/cloudcoin/internal/bench/session"
)

func itoa(n uint64) string { return strconv.FormatUint(n, 10) }

// pid of a provider that runs in a HOME.
func pid(t *testing.T, p session.Provider) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(p.Home, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// freeze makes a provider silent: its process is stopped, not ended.
func freeze(t *testing.T, p session.Provider) {
	t.Helper()
	if err := syscall.Kill(pid(t, p), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
}

func thaw(t *testing.T, p session.Provider) {
	t.Helper()
	if err := syscall.Kill(pid(t, p), syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
}

// writeSynced writes a file and its name durably.
func writeSynced(t *testing.T, path, content string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(content); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil {
		t.Fatal(err)
	}
}
