//go:build linux || darwin || freebsd

package mount

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"
)

// Times of an unmount.
const (
	busyPatience = 5 * time.Second       // how long a busy mount is waited for
	busyEvery    = 50 * time.Millisecond // how often it is tried
	endPatience  = 3 * time.Second       // how long the connection may take to end after it was detached
)

// Unmount writes the kernel's pages, unmounts, and returns when no request is under way any more. While files are open in it
// (EBUSY) it tries again for some seconds or until ctx ends; then it detaches the mount, writes the pages once more and aborts the
// connection, with a warning: programs that still hold files get ENOTCONN from then on. It may be called again, and after somebody else unmounted.
func (m *Mounted) Unmount(ctx context.Context) error {
	m.unmounting.Lock()
	defer m.unmounting.Unlock()
	if m.ended() {
		return nil
	}
	flushWithin(ctx, m.dir)
	err := unmountPatiently(ctx, m.dir, m.done)
	switch {
	case err == nil:
		return m.awaitEnd()
	case !errors.Is(err, syscall.EBUSY):
		return fmt.Errorf("unmount %s: %w", m.dir, err)
	}
	m.opt.Logger.Warn("the mount is busy: detaching it, programs that hold files there lose them", "dir", m.dir)
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), endPatience)
	defer cancel()
	if err := m.force(last); err != nil {
		return fmt.Errorf("unmount %s: %w", m.dir, err)
	}
	return m.awaitEnd()
}

// flushWithin writes the dirty pages of the filesystem at dir, and waits for it until ctx ends.
func flushWithin(ctx context.Context, dir string) {
	flushed := make(chan struct{})
	go func() {
		flushPages(dir)
		close(flushed)
	}()
	select {
	case <-flushed:
	case <-ctx.Done():
	}
}

// unmountPatiently unmounts, again and again while the mount is busy. gone, if any, is closed when somebody else unmounted.
func unmountPatiently(ctx context.Context, dir string, gone <-chan struct{}) error {
	patience, cancel := context.WithTimeout(ctx, busyPatience)
	defer cancel()
	tick := time.NewTicker(busyEvery)
	defer tick.Stop()
	for {
		err := unmountOnce(dir)
		if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOENT) {
			return nil // somebody else was quicker
		}
		if err == nil || !errors.Is(err, syscall.EBUSY) {
			return err
		}
		select {
		case <-tick.C:
		case <-gone:
			return nil
		case <-patience.Done():
			return err
		}
	}
}

// awaitEnd returns when serving has ended. A mount that was bound elsewhere too, or copied into another mount namespace, doesn't end
// by itself.
func (m *Mounted) awaitEnd() error {
	if m.endsWithin(endPatience) {
		return nil
	}
	m.opt.Logger.Warn("the connection lives on after the unmount (another mount namespace?): aborting it", "dir", m.dir)
	m.abort()
	if m.endsWithin(endPatience) {
		return nil
	}
	return fmt.Errorf("unmount %s: a request is still under way", m.dir)
}

func (m *Mounted) endsWithin(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-m.done:
		return true
	case <-t.C:
		return false
	}
}

func (m *Mounted) ended() bool {
	select {
	case <-m.done:
		return true
	default:
		return false
	}
}
