//go:build linux

package soak

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudcoin/cloudcoin/internal/bench/session"
	"github.com/cloudcoin/cloudcoin/internal/soak/load"
)

// TestSoakPowerCut cuts the power below unmodified processes: HOME is an ext4 in a file that lies on XFS with reflink. A reflink copy of that file,
// taken under load, is the disk as a power cut leaves it: all that was synced, and of the rest whatever the kernel had written. The copy is
// mounted in its place, and what was acknowledged before the copy began must be there.
func TestSoakPowerCut(t *testing.T) {
	rnd, seed := seeded(t)
	disk := newDisk(t)
	network := session.New(bin, t.TempDir())
	if err := network.StartNetwork(timeout(t, time.Minute)); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := network.Stop(); err != nil {
			t.Error(err)
		}
	}()
	providers, err := network.Providers()
	if err != nil {
		t.Fatal(err)
	}
	d := session.New(bin, t.TempDir())
	d.Home = filepath.Join(disk.mount, "home")
	if err := d.TakeLeases(timeout(t, time.Minute), filepath.Join(t.TempDir(), "phrase"), providers); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if d.Running() {
			_ = d.Kill() // the test has failed before
		}
	}()
	if err := d.StartMount(timeout(t, time.Minute)); err != nil {
		t.Fatal(err)
	}
	team := newTeam(d.Mount, seed)
	r := newRounds(t, 3, 40, 4)
	cuts := 0
	for ; r.more(cuts); cuts++ {
		ctx, cancel := context.WithCancel(context.Background())
		errs := make([]error, len(team.writers))
		var wg sync.WaitGroup
		for i, w := range team.writers {
			wg.Go(func() { errs[i] = w.Run(ctx) })
		}
		pause(rnd, 2500*time.Millisecond)
		before := make([]*load.State, len(team.writers))
		for i, w := range team.writers {
			before[i] = w.Snapshot()
		}
		disk.cut(t)
		if err := d.Kill(); err != nil {
			t.Fatal(err)
		}
		cancel()
		wg.Wait()
		for _, err := range errs {
			if err != nil && !killed(err) {
				t.Fatalf("an operation failed before the cut: %v", err)
			}
		}
		disk.swap(t)
		if err := d.StartMount(timeout(t, time.Minute)); err != nil {
			t.Fatalf("after cut %d: %v", cuts+1, err)
		}
		for i, w := range team.writers {
			if err := before[i].Check(); err != nil {
				t.Fatalf("after cut %d:\n%v", cuts+1, err)
			}
			if err := w.Adopt(); err != nil {
				t.Fatalf("after cut %d: %v", cuts+1, err)
			}
		}
	}
	if _, err := d.Run(timeout(t, 3*time.Minute), "sync", "--timeout", "2m"); err != nil {
		t.Fatal(err)
	}
	if err := d.Stop(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d power cuts, %d acknowledged operations, nothing lost", cuts, team.ops())
}

// disk is an ext4 in a file on an XFS with reflink.
type disk struct {
	dir, xfs, image, mount string
}

func newDisk(t *testing.T) *disk {
	t.Helper()
	dir := t.TempDir()
	k := &disk{dir: dir, xfs: filepath.Join(dir, "xfs"), mount: filepath.Join(dir, "ext4")}
	k.image = filepath.Join(k.xfs, "disk")
	for _, m := range []string{k.xfs, k.mount} {
		if err := os.Mkdir(m, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	backing := filepath.Join(dir, "xfs.img")
	sh(t, "truncate", "-s", "6G", backing)
	sh(t, "mkfs.xfs", "-q", "-m", "reflink=1", backing)
	sh(t, "mount", "-o", "loop", backing, k.xfs)
	t.Cleanup(func() { sh(t, "umount", k.xfs) })
	sh(t, "truncate", "-s", "2G", k.image)
	sh(t, "mkfs.ext4", "-q", "-F", k.image)
	k.attach(t)
	t.Cleanup(func() { sh(t, "umount", k.mount) })
	return k
}

func (k *disk) attach(t *testing.T) {
	t.Helper()
	sh(t, "mount", "-o", "loop", k.image, k.mount)
}

// cut copies the disk as a power cut would leave it now.
func (k *disk) cut(t *testing.T) {
	t.Helper()
	sh(t, "cp", "--reflink=always", k.image, k.image+".cut")
}

// swap puts the copy in the disk's place.
func (k *disk) swap(t *testing.T) {
	t.Helper()
	sh(t, "umount", k.mount)
	if err := os.Rename(k.image+".cut", k.image); err != nil {
		t.Fatal(err)
	}
	k.attach(t)
}

func sh(t *testing.T, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/sbin:/usr/sbin")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}
