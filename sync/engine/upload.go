package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cloudcoin/cloudcoin/sync/index"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

const (
	// smallFile is the size up to which a file goes to the lane of small ones.
	smallFile = 16 << 20
	// scanBatch bounds how many revisions one scan takes.
	scanBatch = 4096
	// restPoll is how often files are looked at that haven't come to rest; the wait doubles up to restPollMax while nothing happens.
	restPoll    = 500 * time.Millisecond
	restPollMax = 2 * time.Second
	// scanShare bounds the part of the time that goes into looking: after a scan that took t, the next one waits scanShare × t, at most scanPause.
	scanShare = 10
	scanPause = time.Second
	// retryFile is how long a file is left alone that could not be read.
	retryFile = 30 * time.Second
)

// candidate is a staged inode revision that may be uploaded.
type candidate struct {
	ino     model.Ino
	rev     model.Rev
	version uint64
	size    int64
	base    model.Rev
}

// uploader looks for staged revisions and gives them to the lanes.
type uploader struct {
	e      *Engine
	small  chan candidate
	large  chan candidate
	done   chan model.Ino          // a lane is through with a revision of it
	active map[model.Ino]bool      // inodes in a lane or waiting for one; the uploader's own
	later  map[model.Ino]time.Time // inodes that could not be read, until when they are left alone
	since  map[model.Ino]time.Time // unfrozen inodes: since when they are known
	queued []candidate             // large files that wait for their lane, smallest first
}

// uploadLoop runs the uploader and its lanes.
func (e *Engine) uploadLoop(ctx context.Context) error {
	u := &uploader{
		e: e, small: make(chan candidate, scanBatch), large: make(chan candidate), done: make(chan model.Ino, 64),
		active: map[model.Ino]bool{}, later: map[model.Ino]time.Time{}, since: map[model.Ino]time.Time{},
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return u.lane(ctx, u.small) })
	g.Go(func() error { return u.lane(ctx, u.large) })
	g.Go(func() error { return u.run(ctx) })
	return g.Wait()
}

// lane cuts one file after the other.
func (u *uploader) lane(ctx context.Context, in <-chan candidate) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case c := <-in:
			err := u.e.uploadOne(ctx, c)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				u.e.Warn(fmt.Sprintf("The content of %s could not be sent and stays on this machine; it is tried again: %v", u.e.pathOf(c.ino), err))
			}
			select {
			case u.done <- result(c.ino, err):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
}

// result marks an inode whose upload went wrong by its highest bit, which no inode number has.
func result(ino model.Ino, err error) model.Ino {
	if err != nil {
		return ino | failedBit
	}
	return ino
}

const failedBit = model.Ino(1) << 63

// run scans, waits, and scans again. It wakes up by itself only while something is staged.
func (u *uploader) run(ctx context.Context) error {
	poll := restPoll
	for {
		began := u.e.now()
		more, waiting, err := u.scan(ctx)
		if err != nil {
			return err
		}
		if err := u.pause(ctx, u.e.now().Sub(began), more); err != nil {
			return err
		}
		if !more && len(u.active) == 0 && u.e.isSyncing() {
			if err := u.e.packer.flush(ctx); err != nil {
				return err
			}
		}
		d := time.Duration(-1)
		switch {
		case more:
			poll = restPoll
			d = 0
		case waiting:
			d = poll
			poll = min(2*poll, restPollMax)
		}
		if len(u.active) > 0 || len(u.queued) > 0 {
			if err := u.waitActive(ctx, d); err != nil {
				return err
			}
			continue
		}
		if d == 0 {
			continue
		}
		if err := u.e.wait(ctx, d, u.e.wakeUpload); err != nil {
			return err
		}
		if d < 0 {
			poll = restPoll
		}
	}
}

// pause keeps looking from being most of the work, since every file that changes or is done is a reason to look again: it only attends to the
// lanes for a while after a scan that took long. It ends when the lanes run dry while a scan left files behind, or somebody waits.
func (u *uploader) pause(ctx context.Context, took time.Duration, more bool) error {
	share := time.Duration(scanShare)
	if u.e.isSyncing() {
		share = 1
	}
	until := u.e.now().Add(min(share*took, scanPause))
	for {
		d := until.Sub(u.e.now())
		if d <= 0 || len(u.active) == 0 && (more || u.e.isSyncing()) {
			return nil
		}
		if err := u.attend(ctx, d, nil); err != nil {
			return err
		}
	}
}

// waitActive waits until a lane is through with a file, or takes a large one, or something changed.
func (u *uploader) waitActive(ctx context.Context, d time.Duration) error {
	return u.attend(ctx, d, u.e.wakeUpload.c)
}

// attend waits at most d, without end when d is negative, for a lane or for wake.
func (u *uploader) attend(ctx context.Context, d time.Duration, wake <-chan struct{}) error {
	var fires <-chan time.Time
	if d >= 0 {
		f, stop := u.e.cfg.Clock.Timer(max(d, 10*time.Millisecond))
		defer stop()
		fires = f
	}
	var large chan candidate
	var next candidate
	if len(u.queued) > 0 {
		large, next = u.large, u.queued[0]
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-fires:
	case <-wake:
	case large <- next:
		u.queued = u.queued[1:]
	case ino := <-u.done:
		u.finished(ino)
	}
	for {
		select {
		case ino := <-u.done:
			u.finished(ino)
			continue
		default:
		}
		return nil
	}
}

func (u *uploader) finished(ino model.Ino) {
	if ino&failedBit != 0 {
		ino &^= failedBit
		u.later[ino] = u.e.now().Add(retryFile)
	}
	delete(u.active, ino)
	delete(u.since, ino)
}

// scan takes staged revisions that are ready, the oldest of each inode. more: there are others; waiting: some aren't ready.
func (u *uploader) scan(ctx context.Context) (more, waiting bool, err error) {
	if u.e.isReadOnly() || len(u.active) >= scanBatch {
		return false, len(u.active) > 0, nil
	}
	now := u.e.now()
	type entry struct {
		ino model.Ino
		rev model.Rev
		ver uint64
	}
	var found []entry
	seen := map[model.Ino]bool{} // only the oldest revision of each
	err = u.e.cfg.Index.Staged(func(ino model.Ino, rev model.Rev, version uint64) bool {
		if seen[ino] || u.active[ino] || u.e.committing(ino) {
			return true
		}
		seen[ino] = true
		if now.Before(u.later[ino]) {
			waiting = true
			return true
		}
		found = append(found, entry{ino, rev, version})
		more = len(found)+len(u.active) >= scanBatch
		return !more
	})
	if err != nil {
		return false, false, fmt.Errorf("look for contents to send: %w", err)
	}
	var ready []candidate
	for _, f := range found {
		c, ok, err := u.ready(ctx, f.ino, f.rev)
		if err != nil {
			return false, false, err
		}
		if ok {
			ready = append(ready, c)
		} else {
			waiting = true
		}
	}
	slices.SortFunc(ready, func(a, b candidate) int { return cmp.Compare(a.rev, b.rev) })
	for _, c := range ready {
		u.active[c.ino] = true
		if c.size <= smallFile {
			u.small <- c // never blocks: active bounds it
			continue
		}
		u.queued = append(u.queued, c)
	}
	slices.SortStableFunc(u.queued, func(a, b candidate) int { return cmp.Compare(a.size, b.size) })
	return more && len(ready) > 0, waiting, nil
}

// ready freezes the content of an inode if need be.
func (u *uploader) ready(ctx context.Context, ino model.Ino, rev model.Rev) (c candidate, ok bool, err error) {
	n, err := u.e.cfg.Index.At(rev).Inode(ino)
	if errors.Is(err, index.ErrNotFound) {
		return c, false, nil // folded away meanwhile
	}
	if err != nil {
		return c, false, fmt.Errorf("read inode %d: %w", ino, err)
	}
	if n.Rev != rev || n.Content.Kind != model.ContentStaged {
		return c, false, nil
	}
	if !n.Content.Settled {
		known, seen := u.since[ino]
		now := u.e.now()
		if !seen {
			known = now
			u.since[ino] = now
		}
		force := rev <= u.e.syncedUpTo() || now.Sub(known) >= u.e.cfg.Freezing
		if ok, err = u.e.cfg.Files.Freeze(ctx, ino, force); err != nil || !ok {
			if err != nil && ctx.Err() == nil {
				u.e.Warn(fmt.Sprintf("The content of %s could not be made final: %v", u.e.pathOf(ino), err))
				u.later[ino] = now.Add(retryFile)
				err = nil
			}
			return c, false, err
		}
		delete(u.since, ino)
		// The revision that was settled may be a newer one than that of the scan.
		c, ok, err = u.e.oldestSettled(ino)
		return c, ok, err
	}
	return candidate{ino: ino, rev: rev, version: n.Content.Version, size: n.Size, base: n.Content.Rev}, true, nil
}

// oldestSettled is the oldest staged and frozen revision of an inode.
func (e *Engine) oldestSettled(ino model.Ino) (c candidate, ok bool, err error) {
	err = e.cfg.Index.InodeRevs(ino, func(n model.Inode) bool {
		if n.Content.Kind == model.ContentStaged && n.Content.Settled {
			c, ok = candidate{ino: ino, rev: n.Rev, version: n.Content.Version, size: n.Size, base: n.Content.Rev}, true
		}
		return true
	})
	if err != nil {
		return c, false, fmt.Errorf("read revisions of inode %d: %w", ino, err)
	}
	return c, ok, nil
}

// uploadOne cuts one revision. It is committed when its last pack is stored, which may be later.
func (e *Engine) uploadOne(ctx context.Context, c candidate) error {
	job := &fileJob{ino: c.ino, rev: c.rev, version: c.version, base: c.base}
	e.startJob(job)
	if err := e.cutFile(ctx, job); err != nil {
		e.dropJob(job)
		return err
	}
	if job.cutDone() {
		return e.commitFile(ctx, job)
	}
	return nil
}

func (e *Engine) pathOf(ino model.Ino) string {
	p, err := e.cfg.Index.Now().Path(ino)
	if err != nil {
		return fmt.Sprintf("inode %d", ino)
	}
	return p
}
