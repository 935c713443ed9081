//go:build linux

package soak

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cloudcoin/cloudcoin/internal/bench/session"
	"github.com/cloudcoin/cloudcoin/internal/soak/load"
)

// TestSoakPowerCut cuts the power below unmodified processes: HOME is an ext4 in a file that lies on XFS with reflink. A reflink copy of that file,
// taken under load, is the disk as a power cut leaves it: all that was synced, and of the rest whatever the kernel had written. The copy is
// mounted in its place, and what was acknowledged before the copy began must be there.
func TestSoakPowerCut(t *testing.T) {
	if _, err := os.Stat("/dev/loop-control"); os.Geteuid() != 0 || err != nil {
		t.Skip("needs root and loop devices")
	}
	rnd, seed := seeded(t)
	disk := newDisk(t)
	network := session.New(bin, workDir(t))
	defer clearAway(t, network)
	if err := network.StartNetwork(timeout(t, time.Minute)); err != nil {
		t.Fatal(err)
	}
	providers, err := network.Providers()
	if err != nil {
		t.Fatal(err)
	}
	dir := workDir(t)
	d := session.New(bin, dir)
	d.Home = filepath.Join(disk.mount, "home")
	defer clearAway(t, d)
	if err := d.TakeLeases(timeout(t, time.Minute), filepath.Join(dir, "phrase"), providers); err != nil {
		t.Fatal(err)
	}
	if err := d.StartMount(timeout(t, time.Minute)); err != nil {
		t.Fatal(err)
	}
	team := newTeam(d.Mount, seed)
	r := newRounds(t, 3, 40, 4)
	cuts := 0
	for ; r.more(cuts); cuts++ {
		states := team.runUntilCut(t, d, disk, providers, rnd)
		if err := d.StartMount(timeout(t, time.Minute)); err != nil {
			t.Fatalf("after cut %d: %v", cuts+1, err)
		}
		for i, w := range team.writers {
			if err := states[i].Check(); err != nil {
				t.Fatalf("after cut %d:\n%v", cuts+1, err)
			}
			if err := w.Adopt(); err != nil {
				t.Fatalf("after cut %d: %v", cuts+1, err)
			}
		}
		if cuts%10 == 9 {
			t.Logf("%d power cuts, %d acknowledged operations so far", cuts+1, team.ops())
		}
	}
	finish(t, d, providers)
	if err := network.Stop(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d power cuts, %d acknowledged operations, nothing lost", cuts, team.ops())
}

// runUntilCut writes until a random moment, at which the power is cut. Nothing reaches a provider from shortly before the cut until the drive is dead: it
// goes on for some milliseconds after its disk was copied, and what it sends then a machine without power doesn't send. It returns what was
// acknowledged right before the cut.
func (tm *team) runUntilCut(t *testing.T, d *session.Drive, disk *disk, providers []session.Provider, rnd *rand.Rand) (before []*load.State) {
	t.Helper()
	kill := tm.write(d)
	pause(rnd, 2500*time.Millisecond)
	signalProviders(t, providers, syscall.SIGSTOP)
	defer signalProviders(t, providers, syscall.SIGCONT)
	pause(rnd, 30*time.Millisecond)
	for _, w := range tm.writers {
		before = append(before, w.Snapshot())
	}
	disk.cut(t)
	kill(t)
	disk.swap(t)
	return before
}

func signalProviders(t *testing.T, providers []session.Provider, sig syscall.Signal) {
	t.Helper()
	for _, p := range providers {
		if err := syscall.Kill(providerPID(t, p), sig); err != nil {
			t.Fatal(err)
		}
	}
}

// disk is an ext4 in a file on an XFS with reflink.
type disk struct {
	dir, xfs, image, mount string
}

func newDisk(t *testing.T) *disk {
	t.Helper()
	dir := workDir(t)
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
