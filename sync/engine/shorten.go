package engine

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/cloudcoin/cloudcoin/sync/model"
	"github.com/cloudcoin/cloudcoin/sync/oplog"
)

const (
	// maxSegments is how many segments a head names before neighbours are folded into one.
	maxSegments = 32
	// minCheckpoint is how many bytes of segments are worth a checkpoint at all.
	minCheckpoint = 4 << 20
	// checkpointRatio: a checkpoint is due when the segments since the last one are this many times its size.
	checkpointRatio = 2
	// headRoom is what is left free in a head when it is written; a head above it is shortened.
	headRoom = 12 << 10
)

// shorten keeps a head within its bounds: it folds the newest segments into one when there are many, and writes a checkpoint when they are
// long. Folding merges only neighbours of like size, so each record is written again a logarithmic number of times.
//
// A checkpoint holds what is out of the outbox, so the newest fresh segments, whose groups are still in it, stay beside it.
func (e *Engine) shorten(ctx context.Context, head *oplog.Head, fresh int, force bool) error {
	var checkpoint int64
	if head.Checkpoint != nil {
		checkpoint = head.Checkpoint.Blob.Size
	}
	due := head.LogBytes() > max(minCheckpoint, checkpointRatio*checkpoint)
	if e.log.settled() && (force || due) && len(head.Segments) > fresh {
		return e.checkpoint(ctx, head, fresh)
	}
	tooBig, err := nearlyFull(head)
	if err != nil {
		return err
	}
	if len(head.Segments) <= maxSegments && !tooBig {
		return nil
	}
	from := foldFrom(head.Segments)
	if from > len(head.Segments)/2 && tooBig {
		from = 0
	}
	if from >= len(head.Segments)-1 {
		from = 0 // segments of several devices, or each far longer than the next
	}
	return e.fold(ctx, head, from)
}

func nearlyFull(head *oplog.Head) (bool, error) {
	n, err := head.Size()
	return n > oplog.MaxHeadBytes-headRoom, err
}

// foldFrom is the first of the newest segments that are worth folding: going back, as long as a segment is at most twice all that come after it.
func foldFrom(segs []oplog.Segment) int {
	from := len(segs) - 1
	sum := segs[from].Blob.Size
	for from > 0 && segs[from-1].Blob.Size <= 2*sum && segs[from-1].Device == segs[from].Device {
		from--
		sum += segs[from].Blob.Size
	}
	return from
}

// fold writes the segments from an index on as one.
func (e *Engine) fold(ctx context.Context, head *oplog.Head, from int) (err error) {
	segs := head.Segments[from:]
	bw := e.newBlobWriter(ctx, model.PackSegment)
	defer func() {
		if err != nil {
			bw.discard()
		}
	}()
	last := segs[len(segs)-1]
	out := oplog.Segment{Device: last.Device, First: segs[0].First, Last: last.Last, Tip: last.Tip}
	var w *oplog.Writer
	for i := range segs {
		err := e.readSegment(ctx, &segs[i], func(h oplog.Header) (err error) {
			if w == nil {
				w, err = oplog.NewWriter(bw, oplog.Header{Drive: e.drive, Device: last.Device, First: out.First, Last: out.Last, Prev: h.Prev})
			}
			return err
		}, func(g oplog.Group) error { return w.Group(g) })
		if err != nil {
			return fmt.Errorf("fold segments %d to %d: %w", out.First, out.Last, err)
		}
		out.Rev = max(out.Rev, segs[i].Rev)
	}
	if out.Blob, err = bw.finish(); err != nil {
		return err
	}
	head.Segments = append(slices.Clone(head.Segments[:from]), out)
	return nil
}

// readSegment reads a segment through the pool.
func (e *Engine) readSegment(ctx context.Context, s *oplog.Segment, header func(oplog.Header) error, group func(oplog.Group) error) error {
	return readGroups(ctx, e.drive, func(w io.Writer) error { return readBlob(ctx, e.cfg.Pool, e.cfg.Keys.Identity(), &s.Blob, w) }, header, group)
}

// readGroups decodes what fill writes. Nothing is trusted before its hash was checked: callers use the groups only when nil is returned,
// or can undo what they did.
func readGroups(ctx context.Context, d oplog.Drive, fill func(io.Writer) error, header func(oplog.Header) error, group func(oplog.Group) error) error {
	pr, pw := io.Pipe()
	go func() { pw.CloseWithError(fill(pw)) }()
	defer pr.Close()
	r, err := oplog.NewReader(pr, d)
	if err != nil {
		return err
	}
	if err := header(r.Header()); err != nil {
		return err
	}
	for {
		g, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := group(g); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// checkpoint writes the published state, which makes all segments superfluous. What is in the outbox isn't part of it.
func (e *Engine) checkpoint(ctx context.Context, head *oplog.Head, fresh int) (err error) {
	bw := e.newBlobWriter(ctx, model.PackCheckpoint)
	defer func() {
		if err != nil {
			bw.discard()
		}
	}()
	w, err := oplog.NewWriter(bw, oplog.Header{Drive: e.drive, Device: e.device})
	if err != nil {
		return err
	}
	var g oplog.Group
	flush := func() error {
		if len(g.Records) == 0 {
			return nil
		}
		err := w.Group(g)
		g.Records = g.Records[:0]
		return err
	}
	err = e.cfg.Index.Dump(func(r model.Record) error {
		if len(g.Records) >= checkpointGroup {
			if err := flush(); err != nil {
				return err
			}
		}
		g.Rev = max(g.Rev, r.Rev)
		g.Records = append(g.Records, r)
		return ctx.Err()
	})
	if err == nil {
		err = flush()
	}
	if err != nil {
		return fmt.Errorf("write a checkpoint: %w", err)
	}
	c := oplog.Checkpoint{Rev: e.log.head.Published}
	if c.Blob, err = bw.finish(); err != nil {
		return fmt.Errorf("write a checkpoint: %w", err)
	}
	head.Checkpoint, head.Segments = &c, slices.Clone(head.Segments[len(head.Segments)-fresh:])
	return nil
}

// checkpointGroup is how many records are written as one group.
const checkpointGroup = 256

// unnamed lists the blobs of old that next doesn't name.
func unnamed(old, next *oplog.Head) []*oplog.Blob {
	named := map[oplog.Hash]bool{}
	for _, b := range blobsOf(next) {
		named[b.Hash] = true
	}
	var out []*oplog.Blob
	for _, b := range blobsOf(old) {
		if !named[b.Hash] {
			out = append(out, b)
		}
	}
	return out
}

func blobsOf(h *oplog.Head) (out []*oplog.Blob) {
	if h.Checkpoint != nil {
		out = append(out, &h.Checkpoint.Blob)
	}
	for i := range h.Segments {
		out = append(out, &h.Segments[i].Blob)
	}
	return out
}

// listed reads the packs that a blob's list names; what can't be read is left to the sweep.
func (e *Engine) listed(ctx context.Context, b *oplog.Blob) []model.Pack {
	packs, err := e.packsOf(ctx, b)
	if err != nil {
		e.cfg.Logger.Warn("a list of packs of the log can't be read", "err", err)
	}
	return packs
}

// packsOf are the packs of a blob, also those that a list names.
func (e *Engine) packsOf(ctx context.Context, b *oplog.Blob) ([]model.Pack, error) {
	if b.List == nil {
		return b.Packs, nil
	}
	var buf bytes.Buffer
	if err := readBlob(ctx, e.cfg.Pool, e.cfg.Keys.Identity(), b.List, &buf); err != nil {
		return nil, err
	}
	return oplog.DecodePacks(buf.Bytes())
}
