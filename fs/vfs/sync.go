package vfs

import (
	"context"
	"fmt"
	"syscall"

	"github.com/cloudcoin/cloudcoin/fs/stage"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// Fsync returns when the file's bytes, attributes and names are durable. dataOnly leaves out what isn't needed to read the bytes.
func (fs *FS) Fsync(ctx context.Context, node NodeID, fh Handle, dataOnly bool) (errno syscall.Errno) {
	defer fs.guard("fsync", &errno)
	h := fs.handle(fh)
	if h == nil {
		return syscall.EBADF
	}
	l := h.live
	if l == nil {
		return 0 // a file as of a revision doesn't change
	}
	if l.frozenAfter() {
		return fs.fsyncFreeze(ctx, l, dataOnly)
	}
	return fs.fsync(ctx, l, dataOnly)
}

// frozenAfter tells whether somebody waits for an fsync to freeze after.
func (l *live) frozenAfter() bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.wanted != nil
}

// fsyncFreeze keeps writers out between fsync and freeze.
func (fs *FS) fsyncFreeze(ctx context.Context, l *live, dataOnly bool) syscall.Errno {
	l.io.Lock()
	defer l.io.Unlock()
	if errno := fs.fsync(ctx, l, dataOnly); errno != 0 {
		return errno
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := fs.freezeLocked(l, true); err != nil {
		fs.log.Error("freeze after fsync", "err", err)
	}
	if l.wanted != nil {
		close(l.wanted)
		l.wanted = nil
	}
	return 0
}

func (fs *FS) fsync(ctx context.Context, l *live, dataOnly bool) syscall.Errno {
	l.mu.Lock()
	if l.kept != nil {
		l.mu.Unlock()
		return 0
	}
	f, errno := fs.unsynced(l)
	if errno != 0 {
		l.mu.Unlock()
		return errno
	}
	if f == nil || !f.Dirty() || l.explicit && !dataOnly {
		errno = fs.flushRecord(l) // the stage doesn't carry it
	}
	l.synced = fs.now()
	l.mu.Unlock()
	if errno != 0 {
		return errno
	}
	if f != nil {
		if err := f.Sync(ctx); err != nil {
			return fs.errno("sync content", err)
		}
	}
	if err := fs.x.Sync(ctx); err != nil {
		return fs.errno("sync names", err)
	}
	if fs.cfg.FsyncStored != nil {
		return fs.errno("wait until stored", fs.cfg.FsyncStored(ctx, l.ino))
	}
	return 0
}

// unsynced is the local content that an fsync has to make durable, nil when there is none. What another descriptor wrote, closed since, counts too. Holds l.mu.
func (fs *FS) unsynced(l *live) (*stage.File, syscall.Errno) {
	if l.file != nil {
		return l.file, 0
	}
	rec, errno := fs.record(l.ino)
	if errno != 0 || !rec.IsRegular() || l.orphan {
		return nil, errno
	}
	if rec.Content.Kind != model.ContentStaged {
		return nil, 0
	}
	return fs.content(l)
}

// FsyncDir returns when all names of the folder are durable.
func (fs *FS) FsyncDir(ctx context.Context, node NodeID, fh Handle, dataOnly bool) (errno syscall.Errno) {
	defer fs.guard("fsyncdir", &errno)
	return fs.errno("sync names", fs.x.Sync(ctx))
}

// writeRecords writes the records of all files that memory is ahead of, and makes their contents durable.
func (fs *FS) writeRecords(ctx context.Context) error {
	var first error
	for _, l := range fs.live.all() {
		if err := fs.writeOut(ctx, l); err != nil && first == nil {
			first = err
		}
		fs.live.put(l)
	}
	return first
}

func (fs *FS) writeOut(ctx context.Context, l *live) error {
	l.mu.Lock()
	f := l.file
	fs.settleFile(l)
	errno := fs.flushRecord(l)
	l.mu.Unlock()
	if errno != 0 {
		return fmt.Errorf("write the record of inode %d: %w", l.ino, errno)
	}
	if f == nil || l.kept != nil {
		return nil
	}
	if err := f.Sync(ctx); err != nil {
		return fmt.Errorf("sync inode %d: %w", l.ino, err)
	}
	return nil
}

// SyncAll makes everything that was written before the call durable, writes the records of all open files, and freezes all contents
// that aren't stored, so that the engine uploads them now. The kernel's cache is the caller's to flush (syncfs).
func (fs *FS) SyncAll(ctx context.Context) error {
	if fs.cfg.At != 0 {
		return nil
	}
	if err := fs.writeRecords(ctx); err != nil {
		return err
	}
	var list []model.Ino
	var last model.Ino
	err := fs.x.Staged(func(ino model.Ino, _ model.Rev, _ uint64) bool {
		if ino != last {
			list, last = append(list, ino), ino
		}
		return true
	})
	if err != nil {
		return fmt.Errorf("list what isn't stored: %w", err)
	}
	for _, ino := range list {
		if err := ctx.Err(); err != nil {
			return err
		}
		l := fs.live.get(ino)
		_, err := fs.freeze(l, true)
		fs.live.put(l)
		if err != nil {
			return err
		}
	}
	return fs.x.Sync(ctx)
}
