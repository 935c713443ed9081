//go:build linux || darwin || freebsd

package mount

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ErrNotMounted is returned when no ccdrive is mounted at the folder.
var ErrNotMounted = errors.New("not mounted")

// entry is one mounted filesystem.
type entry struct {
	dev    string // major:minor, "" when unknown
	dir    string
	fstype string
	source string
}

// IsMounted tells whether a ccdrive, living or dead, is mounted at dir.
func IsMounted(dir string) bool {
	dir, err := resolve(dir)
	if err != nil {
		return false
	}
	e, err := mountedAt(dir)
	return err == nil && e != nil && e.ours()
}

// UnmountDir takes away the mount of a ccdrive at dir that this process doesn't serve, dead or living. A living one gets its pages written
// first and is waited for while programs hold files in it (EBUSY), until ctx ends, for five seconds at most. ErrNotMounted (wrapped)
// when no ccdrive is mounted there: other filesystems are left alone.
func UnmountDir(ctx context.Context, dir string) error {
	dir, err := resolve(dir)
	if err != nil {
		return err
	}
	e, err := mountedAt(dir)
	switch {
	case err != nil:
		return err
	case e == nil:
		return fmt.Errorf("%s is %w", dir, ErrNotMounted)
	case !e.ours():
		return fmt.Errorf("%s is a mount of type %s (%s), no ccdrive: the drive is %w there", dir, e.fstype, e.source, ErrNotMounted)
	}
	dead, err := isDead(ctx, dir)
	if err != nil {
		return err
	}
	if dead {
		err = detach(dir)
	} else {
		flushWithin(ctx, dir)
		err = unmountPatiently(ctx, dir, nil)
	}
	switch {
	case errors.Is(err, syscall.EBUSY):
		return fmt.Errorf("unmount %s: programs use files or folders in it (`fuser -m %s` names them): %w", dir, dir, err)
	case err != nil:
		return fmt.Errorf("unmount %s: %w", dir, err)
	}
	return nil
}

// probeTimeout is how long a mount may take to answer before it counts as living, but stuck.
const probeTimeout = 5 * time.Second

// isDead tells whether the process behind the mount at dir is gone. It asks for the state of the filesystem, which the kernel never answers
// from its caches as it does a stat of the folder.
func isDead(ctx context.Context, dir string) (bool, error) {
	answered := make(chan error, 1)
	go func() {
		var st unix.Statfs_t
		answered <- unix.Statfs(dir, &st)
	}()
	timeout := time.NewTimer(probeTimeout)
	defer timeout.Stop()
	select {
	case err := <-answered:
		return isGone(err), nil
	case <-timeout.C:
		return false, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// isGone tells whether an error is that of a mount whose process ended.
func isGone(err error) bool {
	return errors.Is(err, syscall.ENOTCONN) || errors.Is(err, syscall.ECONNABORTED) || errors.Is(err, syscall.ENXIO)
}
