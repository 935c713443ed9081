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
)

// Takeover makes dir free to be mounted at: a mount that a killed process left behind is unmounted.
func Takeover(_ context.Context, dir string, log *slog.Logger) error {
	var st syscall.Stat_t
	if err := syscall.Lstat(dir, &st); !errors.Is(err, syscall.ENOTCONN) && !errors.Is(err, syscall.ENXIO) {
		return nil
	}
	if log != nil {
		log.Warn("taking over the mount of a process that is gone", "dir", dir)
	}
	return detach(dir)
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

func (m *Mounted) force() error { return detach(m.dir) }

func (m *Mounted) abort() {}

// Drain returns at once: this system doesn't tell what is under way.
func (m *Mounted) Drain(context.Context) error { return nil }

func deviceOf(string) string { return "" }

func tune(string, *slog.Logger) {}
