//go:build linux || darwin || freebsd

package mount

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/cloudcoin/cloudcoin/fs/vfs"
)

// Defaults of Options.
const (
	DefaultValid    = time.Hour // how long names and attributes are cached
	DefaultMaxWrite = 1 << 20   // bytes of one request
	DefaultFsName   = "ccdrive" // the source column of df and /proc/mounts
	subtype         = "ccdrive" // the type is fuse.ccdrive
	maxBackground   = 24        // read-ahead and writeback requests under way; each holds up to DefaultMaxWrite of memory
)

// Options says how to mount. The zero value is good.
type Options struct {
	Adapter    Adapter // "" is Auto
	AllowOther bool    // users other than the mounting one may look in; permissions are checked in any case
	ReadOnly   bool    // the kernel refuses changes itself
	FsName     string  // "" is DefaultFsName
	// MaxWrite is the most bytes of one read or write request; 0 is DefaultMaxWrite. The bazil adapter has a limit of 128 KiB.
	MaxWrite int
	// EntryTimeout and AttrTimeout are how long the kernel keeps names and attributes; 0 leaves names to what vfs says, and
	// attributes to DefaultValid.
	EntryTimeout, AttrTimeout time.Duration
	Logger                    *slog.Logger // nil discards
	// Report is called with a sentence for `status` when a handler panicked. nil: only logged.
	Report func(string)
}

// ErrMounted is returned when a living filesystem is mounted at the folder already.
var ErrMounted = errors.New("a filesystem is mounted there already")

// connection is one mounted FUSE connection of an adapter.
type connection interface {
	// serve answers requests until the filesystem is unmounted (nil) or the connection breaks.
	serve() error
	// ready returns when requests are answered. serve runs meanwhile.
	ready() error
	kernel() vfs.Kernel
}

// Mounted is a filesystem that serves.
type Mounted struct {
	dir     string
	opt     Options
	adapter Adapter
	fs      *vfs.FS
	dev     string // major:minor, "" when unknown

	done chan struct{} // closed when serving has ended
	err  error         // set before done is closed

	unmounting sync.Mutex
}

// Mount mounts fs at dir, which must be an existing folder, and returns when the mount answers. A mount that a killed process left
// there is taken over; ErrMounted is returned (wrapped) when a living filesystem is there. ctx ends only the waiting.
func Mount(ctx context.Context, dir string, fs *vfs.FS, opt Options) (*Mounted, error) {
	opt = opt.withDefaults()
	adapter, err := opt.Adapter.choose()
	if err != nil {
		return nil, err
	}
	dir, err = resolve(dir)
	if err != nil {
		return nil, err
	}
	if err := Takeover(ctx, dir, opt.Logger); err != nil {
		return nil, err
	}
	if st, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("mount at %s: %w", dir, err)
	} else if !st.IsDir() {
		return nil, fmt.Errorf("mount at %s: not a folder", dir)
	}
	conn, err := dial(adapter, dir, fs, opt)
	if err != nil {
		return nil, fmt.Errorf("mount at %s: %w", dir, err)
	}
	fs.SetKernel(conn.kernel())
	m := &Mounted{dir: dir, opt: opt, adapter: adapter, fs: fs, dev: deviceOf(dir), done: make(chan struct{})}
	go m.run(conn)
	if err := m.await(ctx, conn); err != nil {
		_ = m.Unmount(context.WithoutCancel(ctx))
		return nil, fmt.Errorf("mount at %s: %w", dir, err)
	}
	tune(m.dev, opt.Logger)
	return m, nil
}

// dial makes the connection of an adapter.
func dial(a Adapter, dir string, fs *vfs.FS, opt Options) (connection, error) {
	if a == Bazil {
		return dialBazil(dir, fs, opt)
	}
	return dialGoFuse(dir, fs, opt)
}

func (o Options) withDefaults() Options {
	if o.FsName == "" {
		o.FsName = DefaultFsName
	}
	if o.MaxWrite <= 0 {
		o.MaxWrite = DefaultMaxWrite
	}
	if o.AttrTimeout <= 0 {
		o.AttrTimeout = DefaultValid
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Report == nil {
		log := o.Logger
		o.Report = func(s string) { log.Error(s) }
	}
	return o
}

// run serves until the end.
func (m *Mounted) run(conn connection) {
	m.err = conn.serve()
	m.fs.SetKernel(nil)
	close(m.done)
}

// await returns when the mount answers.
func (m *Mounted) await(ctx context.Context, conn connection) error {
	answered := make(chan error, 1)
	go func() { answered <- conn.ready() }()
	select {
	case err := <-answered:
		return err
	case <-m.done:
		return fmt.Errorf("the connection ended before the mount answered: %w", errors.Join(m.err, errClosed))
	case <-ctx.Done():
		return ctx.Err()
	}
}

var errClosed = errors.New("unmounted")

// Dir is the absolute path of the mountpoint.
func (m *Mounted) Dir() string { return m.dir }

// Adapter is the one in use.
func (m *Mounted) Adapter() Adapter { return m.adapter }

// Done is closed when the filesystem was unmounted, by whomever, and no request is under way any more.
func (m *Mounted) Done() <-chan struct{} { return m.done }

// Wait returns when the filesystem was unmounted and no request is under way any more. The error is nil unless the connection to
// the kernel broke.
func (m *Mounted) Wait() error {
	<-m.done
	return m.err
}

// resolve makes dir absolute without touching its last component, which may be a dead mount.
func resolve(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("mount at %s: %w", dir, err)
	}
	if _, err := os.Stat(abs); err == nil {
		if abs, err = filepath.EvalSymlinks(abs); err != nil {
			return "", fmt.Errorf("mount at %s: %w", dir, err)
		}
		return abs, nil
	}
	parent, err := filepath.EvalSymlinks(filepath.Dir(abs))
	if err != nil {
		return "", fmt.Errorf("mount at %s: %w", dir, err)
	}
	return filepath.Join(parent, filepath.Base(abs)), nil
}
