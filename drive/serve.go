package drive

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/cloudcoin/cloudcoin/fs/mount"
	"github.com/cloudcoin/cloudcoin/internal/localsock"
)

// MountOptions say how to mount.
type MountOptions struct {
	Dir         string // absolute
	Adapter     string // auto, gofuse or bazil
	At          string // a revision or time: mount the drive as of then, read-only
	ReadOnly    bool
	AllowOther  bool
	CacheLimit  int64
	FsyncStored bool
}

// Serve opens the drive, mounts it, answers the local API and calls ready when the mount answers. It returns when ctx ends, when
// `unmount` asks for it, or when somebody else unmounted the folder; then everything is durable on local disk.
func Serve(ctx context.Context, opt Options, mo MountOptions, ready func()) (err error) {
	opt.CacheLimit = mo.CacheLimit
	d, err := openFor(ctx, opt, mo)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	return d.serve(ctx, mo, ready)
}

// serve mounts and answers until the end.
func (d *Drive) serve(ctx context.Context, mo MountOptions, ready func()) error {
	ctx, quit := context.WithCancel(ctx)
	defer quit()
	d.mu.Lock()
	d.quit = quit
	d.mu.Unlock()
	stopAPI, err := d.listen()
	if err != nil {
		return err
	}
	defer stopAPI()
	if err := d.mount(ctx, mo); err != nil {
		return err
	}
	ready()
	tellReady()
	d.mu.Lock()
	mounted := d.mounted
	d.mu.Unlock()
	select {
	case <-ctx.Done():
	case <-mounted.Done():
		if err := mounted.Wait(); err != nil {
			return fmt.Errorf("the mount at %s ended: %w; mount it again", mo.Dir, err)
		}
	}
	return nil
}

func (d *Drive) mount(ctx context.Context, mo MountOptions) error {
	m, err := mount.Mount(ctx, mo.Dir, d.fs, mount.Options{
		Adapter: mount.Adapter(mo.Adapter), AllowOther: mo.AllowOther, ReadOnly: mo.ReadOnly || mo.At != "",
		Logger: d.opt.Logger, Report: d.warn,
	})
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w; make the folder first", err)
	}
	if err != nil {
		return err
	}
	d.mu.Lock()
	d.mounted, d.mountDir = m, mo.Dir
	d.mu.Unlock()
	return nil
}

// unmount ends the mount, when there is one.
func (d *Drive) unmount() error {
	d.mu.Lock()
	m := d.mounted
	d.mounted = nil
	d.mu.Unlock()
	if m == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	err := m.Unmount(ctx)
	d.mu.Lock()
	d.mountDir = ""
	d.mu.Unlock()
	return err
}

// listen answers the local API at the socket until the returned function is called.
func (d *Drive) listen() (stop func(), err error) {
	return serveSocket(d.opt.Home.Socket(), d.handler)
}

// serveSocket answers at a Unix socket of mode 0600. The folder's lock is held, so a socket that lies there is a killed process's.
func serveSocket(path string, h http.Handler) (stop func(), err error) {
	l, err := localsock.Listen(path)
	if err != nil {
		return nil, fmt.Errorf("local API: %w", err)
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		_ = srv.Serve(l) // ErrServerClosed at the end
	}()
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if srv.Shutdown(ctx) != nil {
			srv.Close()
		}
		_ = removeStale(path)
	}, nil
}

// Unmount asks the process that has the drive mounted at dir to end, and returns when the mount is gone and the HOME is free. A mount that
// no process serves any more is taken away.
func Unmount(ctx context.Context, home Home, dir string) error {
	c, err := Dial(home)
	if err != nil {
		return mount.UnmountDir(ctx, dir)
	}
	s, err := c.Status(ctx)
	if err != nil {
		return err
	}
	if !samePath(s.Mountpoint, dir) {
		return mount.UnmountDir(ctx, dir)
	}
	if err := c.Unmount(ctx); err != nil {
		return err
	}
	return awaitGone(ctx, home, dir)
}

// awaitGone waits for the end of the process that served dir.
func awaitGone(ctx context.Context, home Home, dir string) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if socketGone(home) && !home.busy() && !mount.IsMounted(dir) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("unmount of %s %w: a program may still use files in it", dir, ErrTimeout)
		case <-tick.C:
		}
	}
}

func samePath(a, b string) bool {
	if a == b {
		return true
	}
	ra, errA := filepath.EvalSymlinks(filepath.Dir(a))
	rb, errB := filepath.EvalSymlinks(filepath.Dir(b))
	return errA == nil && errB == nil && filepath.Join(ra, filepath.Base(a)) == filepath.Join(rb, filepath.Base(b))
}
