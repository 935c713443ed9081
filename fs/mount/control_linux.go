package mount

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// flushPages writes the dirty pages of the filesystem at dir and waits for it. sync(1) does it, where there is one: a thread of this process
// that waits for answers of this process would keep it, and the mount, from ending when it is killed.
func flushPages(dir string) {
	if path, err := exec.LookPath("sync"); err == nil && exec.Command(path, "-f", dir).Run() == nil {
		return
	}
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return // gone already: the kernel has written what there was
	}
	defer unix.Close(fd)
	_ = unix.Syncfs(fd) // errors of single files were told to their writers
}

// force writes the pages of a busy mount, aborts its connection and detaches it. Who isn't root can't abort where fusectl isn't mounted: the
// connection lives on then until the last file is closed.
func (m *Mounted) force(ctx context.Context) error {
	control := m.controlDir()
	flushWithin(ctx, m.dir)
	err := unix.Unmount(m.dir, unix.MNT_FORCE|unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if !errors.Is(err, unix.EPERM) {
		return err
	}
	if err := runHelper("-u", "-z", m.dir); err != nil || m.endsWithin(busyEvery) {
		return err
	}
	return abortAt(control)
}

// abort ends the connection whatever is open.
func (m *Mounted) abort() {
	if err := abortAt(m.controlDir()); err != nil {
		m.opt.Logger.Warn("the connection to the kernel can't be aborted", "error", err)
	}
}

func abortAt(control string) error {
	if control == "" {
		return errors.New("abort: the connection is not to be found below /sys/fs/fuse/connections")
	}
	if err := os.WriteFile(filepath.Join(control, "abort"), []byte("1"), 0); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("abort: %w", err)
	}
	return nil
}

// controlDir is the folder of the connection in the fusectl filesystem; "" when there is none.
func (m *Mounted) controlDir() string {
	if m.dev == "" {
		return ""
	}
	return connectionDir(m.dev)
}

// connectionDir is named for the device number as the kernel has it inside: major<<20 | minor.
func connectionDir(dev string) string {
	major, minor, _ := strings.Cut(dev, ":")
	a, err1 := strconv.ParseUint(major, 10, 32)
	b, err2 := strconv.ParseUint(minor, 10, 32)
	if err1 != nil || err2 != nil {
		return ""
	}
	return fmt.Sprintf("/sys/fs/fuse/connections/%d", a<<20|b)
}

// Drain returns when every request that the kernel had sent was answered at one moment. With syncfs(2) before it, all bytes that were
// written before the call have reached vfs.
func (m *Mounted) Drain(ctx context.Context) error {
	control := m.controlDir()
	if control == "" {
		return nil
	}
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		b, err := os.ReadFile(filepath.Join(control, "waiting"))
		if err != nil || strings.TrimSpace(string(b)) == "0" {
			return nil // without fusectl nobody can tell
		}
		select {
		case <-tick.C:
		case <-m.done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Settings of the kernel's page cache for the mount, which only root may change. By default FUSE gets one percent of the dirty pages
// and 128 KiB of read-ahead.
var bdiSettings = []struct{ name, value string }{
	{"read_ahead_kb", "1024"},
	{"strict_limit", "0"},
	{"max_ratio", "100"},
}

// deviceOf is the device number of the mount at dir; "" when it isn't found.
func deviceOf(dir string) string {
	e, err := mountedAt(dir)
	if err != nil || e == nil {
		return ""
	}
	return e.dev
}

// tune lets the kernel read further ahead and keep more dirty pages than it allows FUSE by default. It does nothing when not root.
func tune(dev string, log *slog.Logger) {
	if dev == "" || os.Geteuid() != 0 {
		return
	}
	for _, s := range bdiSettings {
		path := filepath.Join("/sys/class/bdi", dev, s.name)
		if err := os.WriteFile(path, []byte(s.value), 0); err != nil {
			log.Debug("page cache setting left as it is", "path", path, "error", err)
		}
	}
}
