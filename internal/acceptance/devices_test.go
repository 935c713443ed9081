//go:build linux

package acceptance

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudcoin/cloudcoin/internal/bench/session"
)

func mountedDrive(t *testing.T, d *session.Drive) {
	t.Helper()
	startMount(t, d)
	t.Cleanup(func() {
		if d.Running() {
			if err := d.Stop(); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestCopiedHome: a copy of a HOME that is mounted after the original wrote more becomes a device of its own or read-only, and says so. Never is
// anything overwritten silently.
func TestCopiedHome(t *testing.T) {
	_, providers := newNetwork(t)
	d, _ := newMounted(t, providers)
	write(t, filepath.Join(d.Mount, "file"), "before the copy")
	cc(t, d, "sync", "--timeout", "1m")
	stop(t, d)
	copied := session.New(bin, t.TempDir())
	run(t, "", "cp", "-a", "--sparse=always", d.Home, copied.Home)

	mountedDrive(t, d)
	write(t, filepath.Join(d.Mount, "file"), "the original went on")
	cc(t, d, "sync", "--timeout", "1m")

	// Beside the running original.
	mountedDrive(t, copied)
	s := await(t, copied, "a warning of the copy", func(s status) bool { return len(s.Warnings) > 0 && s.State == "read-only" })
	if !strings.Contains(strings.Join(s.Warnings, "\n"), "copy") {
		t.Errorf("the copy says %q", s.Warnings)
	}
	if err := os.WriteFile(filepath.Join(copied.Mount, "fork"), nil, 0o644); err == nil {
		t.Error("the copy took a change that can't be merged")
	}
	if out, err := copied.Run(testContext(t), "sync", "--timeout", "5s"); err == nil {
		t.Logf("sync of the copy: %s", out) // nothing waits
	}
	// The original is not disturbed.
	write(t, filepath.Join(d.Mount, "more"), "still writes")
	cc(t, d, "sync", "--timeout", "1m")
	if s := getStatus(t, d); s.State != "mounted" {
		t.Errorf("the original is %s: %q", s.State, s.Warnings)
	}
	stop(t, copied)
	stop(t, d)
	// The original once more, after both.
	mountedDrive(t, d)
	if got := read(t, filepath.Join(d.Mount, "file")); got != "the original went on" {
		t.Errorf("the original's file is %q", got)
	}
	write(t, filepath.Join(d.Mount, "more"), "writes on")
	cc(t, d, "sync", "--timeout", "1m")
}

// TestOldMachineAfterRecovery: the machine that was thought lost turns read-only when the recovered one has written, and says so.
func TestOldMachineAfterRecovery(t *testing.T) {
	_, providers := newNetwork(t)
	old, phrase := newMounted(t, providers)
	write(t, filepath.Join(old.Mount, "file"), "of the old machine")
	cc(t, old, "sync", "--timeout", "1m")
	stop(t, old)

	recovered := session.New(bin, t.TempDir())
	cc(t, recovered, "recover", "--network", "local", "--phrase-file", phrase, "--provider", providers[5].URL)
	mountedDrive(t, recovered)
	write(t, filepath.Join(recovered.Mount, "file"), "of the new machine")
	cc(t, recovered, "sync", "--timeout", "1m")
	if s := getStatus(t, recovered); s.State != "mounted" {
		t.Errorf("the recovered drive is %s: %q", s.State, s.Warnings)
	}

	mountedDrive(t, old)
	s := await(t, old, "the old machine to turn read-only", func(s status) bool { return s.State == "read-only" })
	if !strings.Contains(strings.Join(s.Warnings, "\n"), "another device") {
		t.Errorf("the old machine says %q", s.Warnings)
	}
	if got := read(t, filepath.Join(old.Mount, "file")); got != "of the old machine" {
		t.Errorf("the old machine shows %q", got)
	}
	if got := read(t, filepath.Join(recovered.Mount, "file")); got != "of the new machine" {
		t.Errorf("the new machine shows %q", got)
	}
}

// TestMountCommand: mount(8) finds the program as a helper of the type fuse.ccdrive.
func TestMountCommand(t *testing.T) {
	const helper = "/sbin/mount.fuse.ccdrive"
	if os.Geteuid() != 0 {
		t.Skip("mount(8) calls helpers for root only")
	}
	if _, err := os.Lstat(helper); err == nil {
		t.Skip(helper + " is there already")
	}
	if err := os.Symlink(filepath.Join(bin, "ccdrive"), helper); err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = os.Remove(helper) }) // of this test
	dir := t.TempDir()
	home, mnt := filepath.Join(dir, "home"), filepath.Join(dir, "mnt")
	run(t, "", filepath.Join(bin, "ccdrive"), "init", "--home", home, "--network", "local", "--phrase-file", filepath.Join(dir, "words"))
	if err := os.Mkdir(mnt, 0o755); err != nil {
		t.Fatal(err)
	}
	run(t, "", "mount", "-t", "fuse.ccdrive", "-o", "noatime,allow_other", home, mnt)
	t.Cleanup(func() {
		if isMounted(mnt) {
			_ = exec.Command(filepath.Join(bin, "ccdrive"), "unmount", mnt, "--home", home).Run() // after a failure
		}
	})
	write(t, filepath.Join(mnt, "file"), "by mount(8)")
	run(t, "", "umount", mnt)
	run(t, "", "mount", "-t", "fuse.ccdrive", home, mnt)
	if got := read(t, filepath.Join(mnt, "file")); got != "by mount(8)" {
		t.Errorf("the file is %q", got)
	}
	run(t, "", filepath.Join(bin, "ccdrive"), "unmount", mnt, "--home", home)
}
