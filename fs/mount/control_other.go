//go:build darwin || freebsd

package mount

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Takeover makes dir free to be mounted at: a mount that a killed process left behind is unmounted. ErrMounted (wrapped) when a living
// ccdrive or another FUSE filesystem is mounted there.
func Takeover(ctx context.Context, dir string, log *slog.Logger) error {
	e, err := mountedAt(dir)
	if err != nil || e == nil {
		return err
	}
	dead, err := isDead(ctx, dir)
	switch {
	case err != nil:
		return err
	case !dead:
		return fmt.Errorf("%s: %w (%s, type %s): choose another folder or unmount it", dir, ErrMounted, e.source, e.fstype)
	}
	if log != nil {
		log.Warn("taking over the mount of a process that is gone", "dir", dir)
	}
	return detach(dir)
}

// ours tells whether a ccdrive was mounted there: macOS and FreeBSD keep the source, not the name of a FUSE program.
func (e *entry) ours() bool {
	return e.source == DefaultFsName || strings.HasSuffix(e.fstype, "."+subtype)
}

// mountedAt is the topmost mount at dir, an absolute path without links; nil when there is none.
func mountedAt(dir string) (*entry, error) {
	n, err := unix.Getfsstat(nil, unix.MNT_NOWAIT)
	if err != nil {
		return nil, fmt.Errorf("look for mounts: %w", err)
	}
	table := make([]unix.Statfs_t, n+8) // some more may come meanwhile
	if n, err = unix.Getfsstat(table, unix.MNT_NOWAIT); err != nil {
		return nil, fmt.Errorf("look for mounts: %w", err)
	}
	var found *entry
	for i := range table[:n] {
		m := &table[i]
		if unix.ByteSliceToString(m.Mntonname[:]) == dir {
			found = &entry{
				dir: dir, fstype: unix.ByteSliceToString(m.Fstypename[:]), source: unix.ByteSliceToString(m.Mntfromname[:]),
			}
		}
	}
	return found, nil
}

func unmountOnce(dir string) error {
	err := syscall.Unmount(dir, 0)
	if errors.Is(err, syscall.EPERM) {
		return runUmount(dir)
	}
	return err
}

func detach(dir string) error {
	const force = 0x80000 // MNT_FORCE
	err := syscall.Unmount(dir, force)
	if errors.Is(err, syscall.EPERM) {
		return runUmount("-f", dir)
	}
	return err
}

func runUmount(args ...string) error {
	out, err := exec.Command("umount", args...).CombinedOutput()
	switch said := strings.TrimSpace(string(out)); {
	case err == nil:
		return nil
	case strings.Contains(said, "busy"):
		return syscall.EBUSY
	default:
		return fmt.Errorf("umount: %s: %w", said, err)
	}
}

func flushPages(string) {} // unmount does

func (m *Mounted) force(context.Context) error { return detach(m.dir) }

func (m *Mounted) abort() {}

// Drain returns at once: this system doesn't tell what is under way.
func (m *Mounted) Drain(context.Context) error { return nil }

func deviceOf(string) string { return "" }

func tune(string, *slog.Logger) {}
