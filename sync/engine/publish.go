package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cloudcoin/cloudcoin/sync/index"
	"github.com/cloudcoin/cloudcoin/sync/model"
	"github.com/cloudcoin/cloudcoin/sync/oplog"
)

const (
	// publishedBatch is how many groups one batch takes out of the outbox.
	publishedBatch = 4096
	// maxReplans is how often a plan is made anew because the index changed while it was carried out.
	maxReplans = 20
	// publishRetry is the wait after a publication that failed; it doubles up to publishRetryMax, but for a Sync that waits.
	publishRetry    = 2 * time.Second
	publishRetryMax = 30 * time.Second
)

// errReplan is returned when a record of the plan was folded into a newer one before it was read.
var errReplan = errors.New("the index changed meanwhile")

// publishLoop publishes whenever something may be, at most every Config.Publishing and a tenth of the time, at once for Sync.
func (e *Engine) publishLoop(ctx context.Context) error {
	last := e.now().Add(-e.cfg.Publishing)
	retry, took := time.Duration(0), time.Duration(0)
	for {
		if err := e.awaitPublishing(ctx, retry); err != nil {
			return err
		}
		for !e.publishNow() {
			d := max(e.cfg.Publishing, 9*took) - e.now().Sub(last)
			if d <= 0 {
				break
			}
			if err := e.wait(ctx, d, e.wakeSync, e.wakePublish); err != nil {
				return err
			}
		}
		if e.isReadOnly() || !e.wasChecked() {
			retry = 0
			continue
		}
		began := e.now()
		_, err := e.publish(ctx, false)
		last = e.now()
		took = last.Sub(began)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			e.notePublishError(err)
			retry = min(max(publishRetry, 2*retry), publishRetryMax)
			if e.isSyncing() {
				retry = publishRetry
			}
		default:
			e.notePublishError(nil)
			retry = 0
		}
		e.wakeSyncers()
	}
}

// awaitPublishing returns when there may be something to publish; after a publication that failed, retry later, when leases come back, or when
// a Sync begins. (What changes meanwhile doesn't make a provider answer.)
func (e *Engine) awaitPublishing(ctx context.Context, retry time.Duration) error {
	if retry == 0 {
		return e.wait(ctx, -1, e.wakePublish)
	}
	return e.wait(ctx, retry, e.wakeRetry)
}

// publishNow tells whether a Sync waits for nothing but a publication.
func (e *Engine) publishNow() bool {
	upTo := e.syncedUpTo()
	if upTo == 0 {
		return false
	}
	now := true
	err := e.cfg.Index.Staged(func(_ model.Ino, rev model.Rev, _ uint64) bool {
		now = rev > upTo
		return false
	})
	return now || err != nil
}

// publish writes what may be seen into a segment and a head. It returns how many groups it published.
// With force it writes a head and a checkpoint in any case.
func (e *Engine) publish(ctx context.Context, force bool) (n int, err error) {
	e.publishing.Lock()
	defer e.publishing.Unlock()
	defer e.hold()
	if n, err = e.finishHead(ctx); err != nil {
		return 0, err
	}
	if !force && !e.hasOutbox() && e.log.settled() {
		return n, nil
	}
	for range maxReplans {
		if n, err = e.publishOnce(ctx, force); !errors.Is(err, errReplan) {
			return n, err
		}
	}
	return n, err
}

// finishHead puts the newest head to the leases that it still needs, when an earlier publication could not, and returns how many groups it names.
// Nothing is written anew for that.
func (e *Engine) finishHead(ctx context.Context) (int, error) {
	n := len(e.log.named)
	if e.log.settled() || e.log.unsure {
		return 0, nil
	}
	if err := e.spreadHead(ctx); err != nil {
		return 0, err
	}
	return n, e.settleOutbox()
}

// hold keeps what the newest head names from being folded until it is out of the outbox. publishing is held.
func (e *Engine) hold() {
	if e.log.settled() {
		e.cfg.Index.Hold(0)
		return
	}
	e.cfg.Index.Hold(e.log.head.Published)
}

func (e *Engine) hasOutbox() bool { return e.cfg.Index.Stats().Outbox > 0 }

func (e *Engine) publishOnce(ctx context.Context, force bool) (n int, err error) {
	upTo := e.cfg.Index.LastRev()
	e.cfg.Index.Hold(upTo)
	o, err := newIndexOutbox(e.cfg.Index, upTo)
	if err != nil {
		return 0, err
	}
	which, err := plan(o, o.upTo)
	if err != nil {
		return 0, err
	}
	head := e.log.head
	head.Segments = slices.Clone(head.Segments)
	var revs []model.Rev
	var made []*oplog.Blob // what no head that was written down names
	defer func() {
		for _, b := range made {
			e.abandonBlob(b)
		}
	}()
	if which.n > 0 {
		seg, written, err := e.writeSegment(ctx, o, which)
		if err != nil {
			return 0, err
		}
		made = append(made, &seg.Blob)
		head.Segments = append(head.Segments, seg)
		head.NextSegment, head.LastTip = seg.Last+1, seg.Tip
		head.Published = max(head.Published, seg.Rev)
		revs = written
	} else if !force && e.log.settled() {
		return 0, nil
	}
	if err := e.shorten(ctx, &head, len(head.Segments)-len(e.log.head.Segments), force); err != nil {
		return 0, err
	}
	made = slices.DeleteFunc(made, func(b *oplog.Blob) bool { return names(&head, b) }) // it was folded at once
	return len(revs), e.publishHead(ctx, head, revs, true)
}

// names tells whether a head names a piece of the log.
func names(h *oplog.Head, b *oplog.Blob) bool {
	return slices.ContainsFunc(blobsOf(h), func(o *oplog.Blob) bool { return o.Hash == b.Hash })
}

// writeSegment makes one segment of the chosen groups, durable on leases.
func (e *Engine) writeSegment(ctx context.Context, o *indexOutbox, which *chosen) (seg oplog.Segment, revs []model.Rev, err error) {
	number, prev := e.log.head.NextSegment, e.log.head.LastTip
	bw := e.newBlobWriter(ctx, model.PackSegment)
	defer func() {
		if err != nil {
			bw.discard()
		}
	}()
	w, err := oplog.NewWriter(bw, oplog.Header{Drive: e.drive, Device: e.device, First: number, Last: number, Prev: prev})
	if err != nil {
		return seg, nil, err
	}
	var inner error
	err = o.groups(func(g index.Group) bool {
		if !which.goes(g.Rev) {
			return true
		}
		if inner = e.writeGroup(w, g, which.folded[g.Rev], o.upTo); inner != nil {
			return false
		}
		revs = append(revs, g.Rev)
		return true
	})
	if err = errors.Join(err, inner); err != nil {
		return seg, nil, err
	}
	seg = oplog.Segment{Device: e.device, First: number, Last: number, Rev: revs[len(revs)-1], Tip: w.Sum()}
	seg.Blob, err = bw.finish()
	return seg, revs, err
}

// writeGroup writes one group unless a record of it went since the plan was made.
func (e *Engine) writeGroup(w *oplog.Writer, g index.Group, folded int, upTo model.Rev) error {
	records, err := e.cfg.Index.Records(g)
	if err != nil {
		return fmt.Errorf("read group %d: %w", g.Rev, err)
	}
	if missing(g, records) != folded || ahead(records, upTo) {
		return errReplan
	}
	err = w.Group(oplog.Group{Rev: g.Rev, Device: e.DeviceOf(g.Rev), Records: records})
	if errors.Is(err, oplog.ErrStaged) {
		return fmt.Errorf("%w: %w", errReplan, err) // the plan would not have chosen it: the record is another one by now
	}
	return err
}

// ahead tells whether a record names extents of a revision behind upTo: its content was stored while the plan was made, and the group that
// brings the extents is not in it.
func ahead(records []model.Record, upTo model.Rev) bool {
	return slices.ContainsFunc(records, func(r model.Record) bool {
		return r.Inode != nil && r.Inode.Content.Kind == model.ContentStored && r.Inode.Content.Rev > upTo
	})
}

// missing counts the names and inodes of a group that it has no record of, folders whose names it changes left out.
func missing(g index.Group, records []model.Record) (n int) {
	type name struct {
		parent model.Ino
		name   string
	}
	inodes, names := map[model.Ino]bool{}, map[name]bool{}
	for i := range records {
		if r := records[i].Inode; r != nil {
			inodes[r.Ino] = true
		}
		if r := records[i].Dirent; r != nil {
			names[name{r.Parent, r.Name}] = true
		}
	}
	for _, k := range g.Keys {
		switch {
		case k.Kind == index.KeyInode && !isParent(g, k.Ino) && !inodes[k.Ino]:
			n++
		case k.Kind == index.KeyDirent && !names[name{k.Ino, k.Name}]:
			n++
		}
	}
	return n
}

// publishHead signs a head, writes it down, puts it to the leases, and takes the published groups out of the outbox: revs, and what the head
// before names when it isn't on enough leases. planned: revs are all that the outbox holds and heads may name.
func (e *Engine) publishHead(ctx context.Context, head oplog.Head, revs []model.Rev, planned bool) error {
	head.Counter = e.log.head.Counter + 1
	head.Prev = e.log.hash
	head.Time = e.now().UnixMilli()
	signed, hash, err := oplog.SignHead(&head, e.headKey)
	if err != nil {
		return err
	}
	before := e.log.local.Trash
	for _, b := range unnamed(&e.log.head, &head) {
		e.discard(head.Counter, b, e.listed(ctx, b))
	}
	written := false
	defer func() {
		if !written { // the head that comes in its place may name what this one doesn't
			e.log.local.Trash = before
		}
	}()
	b := e.cfg.Index.Begin()
	b.Local()
	b.PutMeta(metaHead, signed)
	e.noteSpan(head.Published)
	if err := e.saveLog(b); err != nil {
		return err
	}
	if _, err := b.Commit(); err != nil {
		return fmt.Errorf("write the newest head: %w", err)
	}
	if err := e.cfg.Index.Sync(ctx); err != nil {
		return fmt.Errorf("write the newest head: %w", err)
	}
	e.log.head, e.log.hash, e.log.signed = head, hash, signed
	e.log.named = append(e.log.named, revs...)
	e.log.unsure = e.log.unsure && !planned
	written = true
	if err := e.spreadHead(ctx); err != nil {
		return err
	}
	return e.settleOutbox()
}

// settleOutbox notes that the newest head is on enough leases: what it names is out of the outbox. While it isn't known what that is, the head
// doesn't count as done.
func (e *Engine) settleOutbox() error {
	if e.log.unsure {
		return nil
	}
	for len(e.log.named) > publishedBatch {
		if err := e.takeOut(publishedBatch, false); err != nil {
			return err
		}
	}
	if err := e.takeOut(len(e.log.named), true); err != nil {
		return err
	}
	e.mu.Lock()
	e.published = e.log.head.Published
	e.mu.Unlock()
	e.hold()
	return e.releasePublished()
}

// takeOut removes the first n groups that the newest head names from the outbox. done: they are the last ones.
func (e *Engine) takeOut(n int, done bool) error {
	was := e.log.local.Done
	b := e.cfg.Index.Begin()
	b.Local()
	b.Published(e.log.named[:n]...)
	var err error
	if done {
		e.log.local.Done = e.log.head.Counter
		err = e.saveLog(b)
	}
	if err == nil {
		_, err = b.Commit()
	}
	if err != nil {
		e.log.local.Done = was
		return fmt.Errorf("note what is published: %w", err)
	}
	if e.log.named = e.log.named[n:]; len(e.log.named) == 0 {
		e.log.named = nil
	}
	return nil
}
