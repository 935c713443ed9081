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
	// publishRetry is the wait after a publication that failed.
	publishRetry = 2 * time.Second
)

// errReplan is returned when a record of the plan was folded into a newer one before it was read.
var errReplan = errors.New("the index changed meanwhile")

// publishLoop publishes whenever something may be, at most every Config.Publishing, at once for Sync.
func (e *Engine) publishLoop(ctx context.Context) error {
	last := e.now().Add(-e.cfg.Publishing)
	retry, took := time.Duration(-1), time.Duration(0)
	for {
		if err := e.wait(ctx, retry, e.wakePublish); err != nil {
			return err
		}
		for !e.publishNow() {
			d := max(e.cfg.Publishing, 4*took) - e.now().Sub(last)
			if d <= 0 {
				break
			}
			if err := e.wait(ctx, d, e.wakeSync, e.wakePublish); err != nil {
				return err
			}
		}
		retry = -1
		if e.isReadOnly() || !e.wasChecked() {
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
			retry = publishRetry
		default:
			e.notePublishError(nil)
		}
		e.wakeSyncers()
	}
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
	if !force && !e.hasOutbox() && e.log.local.Done == e.log.head.Counter {
		return 0, nil
	}
	defer e.cfg.Index.Hold(0)
	for range maxReplans {
		if n, err = e.publishOnce(ctx, force); !errors.Is(err, errReplan) {
			return n, err
		}
	}
	return n, err
}

func (e *Engine) hasOutbox() bool { return e.cfg.Index.Stats().Outbox > 0 }

func (e *Engine) publishOnce(ctx context.Context, force bool) (int, error) {
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
	if which.n > 0 {
		seg, written, err := e.writeSegment(ctx, o, which)
		if err != nil {
			return 0, err
		}
		head.Segments = append(head.Segments, seg)
		head.NextSegment, head.LastTip = seg.Last+1, seg.Tip
		head.Published = max(head.Published, seg.Rev)
		revs = written
	} else if !force && e.log.local.Done == e.log.head.Counter {
		return 0, nil
	}
	if err := e.shorten(ctx, &head, len(head.Segments)-len(e.log.head.Segments), force); err != nil {
		return 0, err
	}
	return len(revs), e.publishHead(ctx, head, revs)
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
		if inner = e.writeGroup(w, g, which.folded[g.Rev]); inner != nil {
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
func (e *Engine) writeGroup(w *oplog.Writer, g index.Group, folded int) error {
	records, err := e.cfg.Index.Records(g)
	if err != nil {
		return fmt.Errorf("read group %d: %w", g.Rev, err)
	}
	if missing(g, records) != folded {
		return errReplan
	}
	err = w.Group(oplog.Group{Rev: g.Rev, Device: e.DeviceOf(g.Rev), Records: records})
	if errors.Is(err, oplog.ErrStaged) {
		return fmt.Errorf("%w: %w", errReplan, err) // the plan would not have chosen it: the record is another one by now
	}
	return err
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

// publishHead signs a head, writes it down, puts it to the leases, and takes the published groups out of the outbox.
func (e *Engine) publishHead(ctx context.Context, head oplog.Head, revs []model.Rev) error {
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
	written = true
	if err := e.spreadHead(ctx); err != nil {
		return err
	}
	return e.settleOutbox(revs)
}

// settleOutbox notes that the newest head is on enough leases, and that it names revs.
func (e *Engine) settleOutbox(revs []model.Rev) error {
	e.log.local.Done = e.log.head.Counter
	for {
		n := min(len(revs), publishedBatch)
		b := e.cfg.Index.Begin()
		b.Local()
		b.Published(revs[:n]...)
		revs = revs[n:]
		if len(revs) == 0 {
			if err := e.saveLog(b); err != nil {
				return err
			}
		}
		if _, err := b.Commit(); err != nil {
			return fmt.Errorf("note what is published: %w", err)
		}
		if len(revs) == 0 {
			break
		}
	}
	e.mu.Lock()
	e.published = e.log.head.Published
	e.mu.Unlock()
	return nil
}
