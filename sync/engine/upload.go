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
	// scanShare bounds the part of the time that goes into looking: after a scan that took t, the next one that a change asks for waits
	// scanShare × t, at most restPollMax, and t while somebody waits for sync.
	scanShare = 10
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
		if !more && u.idle() && u.e.isSyncing() {
			if err := u.e.packer.flush(ctx); err != nil {
				return err
			}
		}
		d := time.Duration(-1)
		if waiting {
			d = poll
			poll = min(2*poll, restPollMax)
		}
		woken, err := u.pause(ctx, d, u.e.now().Sub(began), more)
		if err != nil {
			return err
		}
		if woken {
			poll = restPoll
		}
	}
}

func (u *uploader) idle() bool { return len(u.active) == 0 && len(u.queued) == 0 }

// pause serves the lanes until it is time to scan again: after d, when somebody says so (not at once: what was just written has yet to
// rest), when half of what was found is through and there is more, or when the lanes are idle.
func (u *uploader) pause(ctx context.Context, d, took time.Duration, more bool) (woken bool, err error) {
	began := u.e.now()
	busy := !u.idle()
	var fires <-chan time.Time
	stop := func() {}
	defer func() { stop() }()
	arm := func(d time.Duration) {
		stop()
		fires, stop = u.e.cfg.Clock.Timer(d)
	}
	if d >= 0 {
		arm(d)
	}
	for {
		if more && len(u.active) <= scanBatch/2 || busy && u.idle() {
			return true, nil
		}
		var large chan candidate
		var next candidate
		if len(u.queued) > 0 {
			large, next = u.large, u.queued[0]
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-fires:
			return woken, nil
		case <-u.e.wakeUpload.c:
			woken = true
			rest := max(restPoll, min(scanShare*took, restPollMax))
			if u.e.isSyncing() {
				rest = min(took, restPollMax)
			}
			if rest -= u.e.now().Sub(began); rest <= 0 {
				return true, nil
			}
			arm(rest)
		case large <- next:
			u.queued = u.queued[1:]
		case ino := <-u.done:
			u.finished(ino)
		}
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
		return !u.e.isReadOnly(), false, nil
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
			waiting = waiting || !seen[ino] && !u.active[ino]
			return true
		}
		seen[ino] = true
		if now.Before(u.later[ino]) || u.young(ino, rev, now) {
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
	if len(seen) == 0 && len(u.active) == 0 {
		clear(u.since) // of files that were deleted before they rested
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

// young tells that a content can't have come to rest yet by its revision, which is a time. Those of clocks that were ahead are asked for.
func (u *uploader) young(ino model.Ino, rev model.Rev, now time.Time) bool {
	age := now.Sub(rev.Time())
	if age < 0 || age >= u.e.cfg.Resting || u.e.isSyncing() {
		return false
	}
	known, seen := u.since[ino]
	if !seen {
		u.since[ino] = now
	}
	return !seen || now.Sub(known) < u.e.cfg.Freezing
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
	return u.e.candidate(&n)
}

// candidate is a staged and frozen revision over what was stored before it. The contents of an inode are one line of extents, so that is
// the highest revision that a record up to this one names.
func (e *Engine) candidate(n *model.Inode) (c candidate, ok bool, err error) {
	c = candidate{ino: n.Ino, rev: n.Rev, version: n.Content.Version, size: n.Size, base: n.Content.Rev}
	err = e.cfg.Index.InodeRevs(n.Ino, func(m model.Inode) bool {
		if m.Rev < n.Rev {
			c.base = max(c.base, m.Content.Rev)
		}
		return m.Rev >= n.Rev || m.Content.Kind == model.ContentStaged
	})
	if err != nil {
		return c, false, fmt.Errorf("read revisions of inode %d: %w", n.Ino, err)
	}
	return c, true, nil
}

// oldestSettled is the oldest staged and frozen revision of an inode.
func (e *Engine) oldestSettled(ino model.Ino) (c candidate, ok bool, err error) {
	var oldest model.Inode
	err = e.cfg.Index.InodeRevs(ino, func(n model.Inode) bool {
		if n.Content.Kind == model.ContentStaged && n.Content.Settled {
			oldest = n
		}
		return true
	})
	if err != nil {
		return c, false, fmt.Errorf("read revisions of inode %d: %w", ino, err)
	}
	if oldest.Ino == 0 {
		return c, false, nil
	}
	return e.candidate(&oldest)
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
