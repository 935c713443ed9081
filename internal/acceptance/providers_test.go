//go:build linux

package acceptance

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/cloudcoin/cloudcoin/internal/bench/session"
)

// fill writes files of many sizes and returns a folder outside with the same ones.
func fill(t *testing.T, d *session.Drive) (inside, outside string) {
	t.Helper()
	outside = t.TempDir()
	for i, size := range []int{0, 1, 100, 4095, 4096, 4097, 65536, 1 << 20, 3<<20 + 17, 20 << 20} {
		b := make([]byte, size)
		for j := range b {
			b[j] = byte(j>>12 ^ j*7 + i)
		}
		if err := os.WriteFile(filepath.Join(outside, fmt.Sprintf("file-%d", i)), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	inside = filepath.Join(d.Mount, "filled")
	run(t, "", "cp", "-a", outside, inside)
	cc(t, d, "sync", "--timeout", "2m")
	return inside, outside
}

// pairs of the six providers; all 15 are tried in internal/soak.
var pairs = [][2]string{{"1", "2"}, {"3", "6"}, {"4", "5"}}

func TestTwoProvidersStopped(t *testing.T) {
	d := newDrive(t)
	inside, outside := fill(t, d)
	for i, p := range pairs {
		cc(t, d, "local", "provider", "stop", p[0])
		cc(t, d, "local", "provider", "stop", p[1])
		forget(t, d)
		compare(t, outside, inside)
		written := filepath.Join(d.Mount, fmt.Sprintf("written while two were gone %d", i))
		write(t, written, "still works")
		cc(t, d, "sync", "--timeout", "2m")
		cc(t, d, "local", "provider", "start", p[0])
		cc(t, d, "local", "provider", "start", p[1])
		forget(t, d)
		if got := read(t, written); got != "still works" {
			t.Fatalf("read %q", got)
		}
		await(t, d, "whole packs", whole)
	}
}

func TestTwoProvidersWiped(t *testing.T) {
	d := newDrive(t)
	inside, outside := fill(t, d)
	for _, p := range pairs {
		cc(t, d, "local", "provider", "wipe", p[0])
		cc(t, d, "local", "provider", "wipe", p[1])
		forget(t, d)
		compare(t, outside, inside)
		await(t, d, "whole packs after a wipe", whole)
	}
}
