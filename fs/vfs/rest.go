package vfs

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

// syncWindow is how long Freeze waits for the next fsync of a file that never rests, so that the frozen moment is one that its writer
// holds to be whole.
const syncWindow = 2 * time.Second

// restedNow tells whether a record's content has come to rest: nobody may write it, and it has been left alone. Holds l.mu.
func (fs *FS) restedNow(l *live, rec *model.Inode) bool {
	return l.writers == 0 && !l.ahead && !l.orphan && !rec.IsDir() && rec.Nlink > 0 &&
		fs.now().Sub(rec.Rev.Time()) >= fs.cfg.RestAfter
}

// settleRested reads the newest record of l; a content at rest is frozen first, because the record is about to change. Holds l.mu.
func (fs *FS) settleRested(l *live) (model.Inode, syscall.Errno) {
	rec, errno := fs.statLive(l)
	if l.kept != nil {
		return rec, syscall.ESTALE // replaced this moment: the kernel looks the name up again
	}
	if errno != 0 || !l.rested && !fs.restedNow(l, &rec) || !l.io.TryLock() {
		return rec, errno // who holds io is changing the content: it isn't at rest
	}
	defer l.io.Unlock()
	if errno := fs.settle(l, &rec); errno != 0 {
		return rec, errno
	}
	l.rested = false
	return fs.statLive(l)
}

// settle makes the newest revision of l one that can be brought back: its content is frozen, and the index doesn't fold it away.
// Holds l.io and l.mu.
func (fs *FS) settle(l *live, rec *model.Inode) syscall.Errno {
	if rec.Content.Settled {
		return 0
	}
	b := fs.x.Begin()
	if rec.Content.Kind == model.ContentStaged {
		f, errno := fs.content(l)
		if errno != 0 {
			return errno
		}
		v, err := f.Freeze()
		if err != nil {
			return fs.errno("freeze content", err)
		}
		fs.closeIdle(l)
		if v != rec.Content.Version {
			c := rec.Content
			c.Version = v
			b.SetContent(l.ino, rec.Rev, c)
		}
	}
	b.Settle(l.ino)
	return fs.commit(b)
}

// AtRest tells whether no handle may write the file and it has been left alone for Config.RestAfter.
func (fs *FS) AtRest(ino model.Ino) bool {
	l := fs.live.get(ino)
	defer fs.live.put(l)
	l.mu.RLock()
	defer l.mu.RUnlock()
	rec, errno := fs.record(ino)
	return errno == 0 && fs.restedNow(l, &rec)
}

// Freeze makes the content of ino as it is now a version that doesn't change any more, at a moment between two writes, and settles
// its revision, so that it can be uploaded. ready tells whether there is such a version; without force only a file at rest is
// frozen. A file that is being written and that is fsynced now and then is frozen right after its next fsync, when one comes soon.
func (fs *FS) Freeze(ctx context.Context, ino model.Ino, force bool) (ready bool, err error) {
	l := fs.live.get(ino)
	defer fs.live.put(l)
	if force {
		if err := fs.awaitSync(ctx, l); err != nil {
			return false, err
		}
	}
	return fs.freeze(l, force)
}

// awaitSync waits a moment for an fsync of a file that is open for writing and was fsynced lately.
func (fs *FS) awaitSync(ctx context.Context, l *live) error {
	l.mu.Lock()
	if l.writers == 0 || l.synced.IsZero() || fs.now().Sub(l.synced) > time.Minute {
		l.mu.Unlock()
		return nil
	}
	if l.wanted == nil {
		l.wanted = make(chan struct{})
	}
	wanted := l.wanted
	l.mu.Unlock()
	t := time.NewTimer(syncWindow)
	defer t.Stop()
	select {
	case <-wanted:
	case <-t.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// freeze is Freeze at this moment.
func (fs *FS) freeze(l *live, force bool) (ready bool, err error) {
	l.io.Lock()
	defer l.io.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	return fs.freezeLocked(l, force)
}

// freezeLocked is freeze while l.io and l.mu are held.
func (fs *FS) freezeLocked(l *live, force bool) (ready bool, err error) {
	if l.orphan || l.kept != nil {
		return false, nil
	}
	rec, errno := fs.record(l.ino)
	switch {
	case errno == syscall.ESTALE:
		return false, nil
	case errno != 0:
		return false, fmt.Errorf("freeze inode %d: %w", l.ino, errno)
	}
	if rec.Content.Kind == model.ContentStaged && rec.Content.Settled && !l.ahead {
		return true, nil
	}
	if !force && !fs.restedNow(l, &rec) {
		return false, nil
	}
	if errno := fs.flushRecord(l); errno != 0 {
		return false, fmt.Errorf("write the record of inode %d: %w", l.ino, errno)
	}
	if rec, errno = fs.record(l.ino); errno == 0 && rec.Content.Kind == model.ContentStaged {
		errno = fs.settle(l, &rec)
	}
	if errno != 0 {
		return false, fmt.Errorf("freeze inode %d: %w", l.ino, errno)
	}
	l.rested = false
	return rec.Content.Kind == model.ContentStaged, nil
}

// Content runs fn while no operation changes the inode record or the content of ino: the engine commits there that a version is
// stored. fn must not call into FS.
func (fs *FS) Content(ino model.Ino, fn func() error) error {
	l := fs.lock(ino)
	defer fs.unlock(l)
	if err := fn(); err != nil {
		return err
	}
	if rec, errno := fs.record(ino); errno == 0 && rec.Nlink == 0 && l.opens == 0 && rec.IsRegular() {
		fs.dropContent(ino)
	}
	return nil
}
