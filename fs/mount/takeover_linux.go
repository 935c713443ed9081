package mount

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"
)

// Takeover makes dir free to be mounted at: mounts of ccdrive that a killed process left behind (ENOTCONN) are detached. ErrMounted
// (wrapped) when something living is mounted at dir, ours or foreign.
func Takeover(ctx context.Context, dir string, log *slog.Logger) error {
	for {
		e, err := mountedAt(dir)
		if err != nil || e == nil {
			return err
		}
		dead, err := isDead(ctx, dir)
		switch {
		case err != nil:
			return err
		case !dead && e.ours():
			return fmt.Errorf("%s: %w (a running ccdrive)", dir, ErrMounted)
		case !e.ours():
			return fmt.Errorf("%s: %w (%s, type %s): choose another folder or unmount it", dir, ErrMounted, e.source, e.fstype)
		}
		if log != nil {
			log.Warn("taking over the mount of a process that is gone", "dir", dir)
		}
		if err := detach(dir); err != nil {
			return fmt.Errorf("take over the dead mount at %s: %w", dir, err)
		}
	}
}

// unmountOnce unmounts dir if it isn't busy (EBUSY).
func unmountOnce(dir string) error {
	err := unix.Unmount(dir, unix.UMOUNT_NOFOLLOW)
	if !errors.Is(err, unix.EPERM) {
		return err
	}
	return runHelper("-u", dir)
}

// detach takes the mount out of the tree; it lives on while files in it are open.
func detach(dir string) error {
	err := unix.Unmount(dir, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if !errors.Is(err, unix.EPERM) {
		return err
	}
	return runHelper("-u", "-z", dir)
}

// runHelper unmounts by fusermount3. Its refusal because of open files is EBUSY.
func runHelper(args ...string) error {
	helper, err := fusermount()
	if err != nil {
		return err
	}
	cmd := exec.Command(helper, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	switch said := strings.TrimSpace(string(out)); {
	case err == nil:
		return nil
	case strings.Contains(said, "busy"):
		return unix.EBUSY
	case strings.Contains(said, "not found"), strings.Contains(said, "not mounted"):
		return unix.EINVAL
	default:
		return fmt.Errorf("fusermount3: %s: %w", said, err)
	}
}
