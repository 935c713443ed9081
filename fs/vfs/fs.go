package vfs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cloudcoin/cloudcoin/fs/stage"
	"github.com/cloudcoin/cloudcoin/sync/index"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// FS is the tree.
type FS struct {
	cfg    Config
	x      *index.Index
	st     *stage.Stage
	log    *slog.Logger
	now    func() time.Time
	live   table
	nodes  *nodes
	kernel atomic.Pointer[kernelBox]

	// ns is the namespace lock: read-locked by what changes one folder (which holds the folder's mu too), write-locked by what
	// changes two folders or moves one. A reader that holds two folders holds the parent first.
	ns sync.RWMutex

	orphans   orphans
	lingering linger

	reason atomic.Pointer[string] // why changes are refused

	mu      sync.Mutex
	handles map[Handle]*handle
	last    Handle
}

type kernelBox struct{ k Kernel }

// New opens the tree over an index and a stage that were replayed and are ready. It reconciles the two after a crash: sizes and
// times that only the stage knows are written to the index, and files that were deleted while open are cleaned away. An index
// without a root folder gets one.
func New(cfg Config) (*FS, error) {
	if cfg.Index == nil || cfg.Stage == nil || cfg.Remote == nil || cfg.Clock == nil {
		return nil, errors.New("vfs: Index, Stage, Remote and Clock must be set")
	}
	if cfg.Valid == 0 {
		cfg.Valid = time.Hour
	}
	if cfg.RestAfter == 0 {
		cfg.RestAfter = 2 * time.Second
	}
	log := cfg.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	fs := &FS{
		cfg: cfg, x: cfg.Index, st: cfg.Stage, log: log, now: cfg.Clock,
		live: table{m: map[model.Ino]*live{}}, nodes: newNodes(), handles: map[Handle]*handle{},
	}
	if cfg.ReadOnly {
		fs.SetReadOnly("the drive is mounted read-only")
	}
	if cfg.At != 0 {
		fs.SetReadOnly("the drive is mounted as of " + cfg.At.Time().UTC().Format(time.RFC3339))
	}
	if err := fs.ensureRoot(); err != nil {
		return nil, err
	}
	if cfg.At != 0 {
		return fs, nil
	}
	return fs, fs.reconcile()
}

// ensureRoot makes the folder at the top of a new drive.
func (fs *FS) ensureRoot() error {
	_, err := fs.x.Now().Inode(model.RootIno)
	if !errors.Is(err, index.ErrNotFound) {
		return err
	}
	now := fs.now().UnixNano()
	root := model.Inode{
		Ino: model.RootIno, Mode: model.TypeDir | 0o755, Nlink: 2, Parent: model.RootIno,
		Atime: now, Mtime: now, Ctime: now, Btime: now,
	}
	if o := fs.cfg.Owner; o != nil {
		root.UID, root.GID = o.UID, o.GID
	}
	b := fs.x.Begin()
	b.PutInode(&root)
	if _, err := b.Commit(); err != nil {
		return fmt.Errorf("make the root folder: %w", err)
	}
	return nil
}

// SetKernel gives the adapter's way to invalidate kernel caches. Before it is called, and with nil, nothing is invalidated.
func (fs *FS) SetKernel(k Kernel) {
	if k == nil {
		fs.kernel.Store(nil)
		return
	}
	fs.kernel.Store(&kernelBox{k})
}

// SetReadOnly refuses every change with EROFS from now on, for a reason that ReadOnly tells; "" allows them again (not when
// Config.ReadOnly or At is set).
func (fs *FS) SetReadOnly(reason string) {
	switch {
	case reason != "":
		fs.reason.Store(&reason)
	case !fs.cfg.ReadOnly && fs.cfg.At == 0:
		fs.reason.Store(nil)
	}
}

// ReadOnly tells why changes are refused; "" when they aren't.
func (fs *FS) ReadOnly() string {
	if r := fs.reason.Load(); r != nil {
		return *r
	}
	return ""
}

// writable is EROFS when changes are refused.
func (fs *FS) writable() syscall.Errno {
	if fs.reason.Load() != nil {
		return syscall.EROFS
	}
	return 0
}

// changing finds the live inode that an operation wants to change.
func (fs *FS) changing(node NodeID) (model.Ino, syscall.Errno) {
	p, errno := fs.nodes.place(node)
	if errno != 0 {
		return 0, errno
	}
	if errno := fs.writable(); errno != 0 {
		return 0, errno
	}
	switch p.kind {
	case kindLive:
		return p.ino, 0
	case kindStale:
		return 0, syscall.ESTALE
	}
	return 0, syscall.EROFS
}

// commit makes a batch happen and tells the engine.
func (fs *FS) commit(b *index.Batch) syscall.Errno {
	if _, err := b.Commit(); err != nil {
		return fs.errno("change the index", err)
	}
	if fs.cfg.Notify != nil {
		fs.cfg.Notify.Metadata()
	}
	return 0
}

// view is the tree that nodes of a kind are read from.
func (fs *FS) view(p place) *index.View {
	switch {
	case p.kind == kindView:
		return fs.x.At(p.rev)
	case fs.cfg.At != 0:
		return fs.x.At(fs.cfg.At)
	}
	return fs.x.Now()
}

// past is the revision that a place is read as of; 0: now.
func (fs *FS) past(p place) model.Rev {
	if p.kind == kindView {
		return p.rev
	}
	return fs.cfg.At
}

// statPlace reads the attributes of a place.
func (fs *FS) statPlace(p place, node NodeID) (model.Inode, syscall.Errno) {
	if rev := fs.past(p); rev != 0 {
		rec, err := fs.x.At(rev).Inode(p.ino)
		if errors.Is(err, index.ErrNotFound) {
			return rec, syscall.ESTALE
		}
		return rec, fs.errno("read inode", err)
	}
	if p.kind == kindStale {
		if l := fs.nodes.stale(node); l != nil {
			l.mu.RLock()
			defer l.mu.RUnlock()
			return fs.statLive(l)
		}
	}
	return fs.stat(p.ino)
}

// Close ends the tree: handles still open are released, everything is durable. No operation may be under way.
func (fs *FS) Close(ctx context.Context) error {
	fs.mu.Lock()
	open := make([]Handle, 0, len(fs.handles))
	for fh := range fs.handles {
		open = append(open, fh)
	}
	fs.mu.Unlock()
	for _, fh := range open {
		fs.Release(0, fh)
	}
	fs.trimReplaced(0)
	if fs.cfg.At != 0 {
		return nil
	}
	if err := fs.writeRecords(ctx); err != nil {
		return err
	}
	return fs.x.Sync(ctx)
}
