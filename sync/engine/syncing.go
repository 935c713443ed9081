package engine

import (
	"context"
	"fmt"

	"github.com/cloudcoin/cloudcoin/sync/index"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// Sync returns when everything that was committed to the index before the call is stored and published. The caller
// makes open files write their records first (vfs.SyncAll). An error says why it can't be; while providers are missing it waits until ctx ends.
func (e *Engine) Sync(ctx context.Context) error {
	upTo := e.cfg.Index.LastRev()
	e.mu.Lock()
	e.syncing++
	e.syncUpTo = max(e.syncUpTo, upTo)
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		if e.syncing--; e.syncing == 0 {
			e.syncUpTo = 0
		}
		e.mu.Unlock()
	}()
	done := e.addSyncer()
	defer e.removeSyncer(done)
	e.wakeRetry.set()
	for {
		ok, err := e.isPublished(upTo)
		if err != nil {
			return err
		}
		if ok {
			e.bookLeases(ctx)
			return nil
		}
		e.mu.Lock()
		readOnly := e.readOnly
		e.mu.Unlock()
		if readOnly != "" {
			return fmt.Errorf("%w: %s", ErrReadOnly, readOnly)
		}
		e.wakeUpload.set()
		e.wakePublish.set()
		e.wakeSync.set()
		select {
		case <-ctx.Done():
			st := e.Status()
			if st.Waiting != "" {
				return fmt.Errorf("%w; it waits: %s", ctx.Err(), st.Waiting)
			}
			return ctx.Err()
		case <-done:
		}
	}
}

// bookLeases lets every lease know the others, so that any one of them is enough for a recovery. Care tries again what goes wrong here.
func (e *Engine) bookLeases(ctx context.Context) {
	if e.isReadOnly() || !e.wasChecked() {
		return
	}
	if err := e.refreshBooks(ctx); err != nil {
		e.cfg.Logger.Warn("the lease book is written later", "err", err)
	}
}

// isPublished tells whether nothing up to a revision is staged or in the outbox.
func (e *Engine) isPublished(upTo model.Rev) (bool, error) {
	open := false
	err := e.cfg.Index.Staged(func(_ model.Ino, rev model.Rev, _ uint64) bool {
		open = rev <= upTo
		return false // they come in the order of revisions
	})
	if err != nil || open {
		return false, err
	}
	err = e.cfg.Index.Outbox(0, func(g index.Group) bool {
		open = g.Rev <= upTo
		return false
	})
	return !open && err == nil, err
}

func (e *Engine) addSyncer() chan struct{} {
	c := make(chan struct{}, 1)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.syncers[c] = struct{}{}
	return c
}

func (e *Engine) removeSyncer(c chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.syncers, c)
}

// wakeSyncers lets every Sync look again.
func (e *Engine) wakeSyncers() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for c := range e.syncers {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}
