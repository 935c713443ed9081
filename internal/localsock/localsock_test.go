package localsock

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestListen: again and again, over what a killed process left, in short and long folders.
func TestListen(t *testing.T) {
	for _, dir := range []string{t.TempDir(), filepath.Join(t.TempDir(), strings.Repeat("long", 40))} {
		must(t, os.MkdirAll(dir, 0o755))
		path := filepath.Join(dir, "api.sock")
		must(t, os.Mkdir(filepath.Join(dir, private), 0o700))
		must(t, os.WriteFile(filepath.Join(dir, private, name), nil, 0o600))
		for range 2 {
			l, err := Listen(path)
			must(t, err)
			st, err := os.Stat(path)
			must(t, err)
			if st.Mode() != os.ModeSocket|0o600 {
				t.Fatalf("mode %s", st.Mode())
			}
			if _, err := os.Stat(filepath.Join(dir, private)); !os.IsNotExist(err) {
				t.Fatalf("the private folder stays: %v", err)
			}
			short, release, err := shorten(path)
			must(t, err)
			c, err := net.Dial("unix", short)
			must(t, err)
			release()
			s, err := l.Accept()
			must(t, err)
			must(t, s.Close())
			must(t, c.Close())
			must(t, l.Close())
		}
	}
}

// TestNobodyElseGetsInBetween watches a folder that is open to all, under an umask of 0, while sockets are made: none may be seen in it with another mode than 0600.
func TestNobodyElseGetsInBetween(t *testing.T) {
	old := setUmask(0)
	defer setUmask(old)
	dir := t.TempDir()
	path := filepath.Join(dir, "api.sock")
	end, seen := make(chan struct{}), make(chan os.FileMode, 1)
	go func() {
		defer close(seen)
		for {
			select {
			case <-end:
				return
			default:
			}
			for _, p := range []string{path, filepath.Join(dir, private)} {
				if st, err := os.Lstat(p); err == nil && st.Mode().Perm()&0o077 != 0 {
					seen <- st.Mode()
					return
				}
			}
		}
	}()
	for until := time.Now().Add(300 * time.Millisecond); time.Now().Before(until); {
		l, err := Listen(path)
		must(t, err)
		must(t, l.Close())
	}
	close(end)
	if mode, bad := <-seen; bad {
		t.Fatalf("there was something of mode %s", mode)
	}
}
