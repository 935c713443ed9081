package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/cloudcoin/cloudcoin/sync/model"
	"github.com/cloudcoin/cloudcoin/sync/oplog"
	"github.com/cloudcoin/cloudcoin/sync/transfer"
)

// Look asks one lease at once for everything that it should hold, and counts the health of all anew: after it, Status tells what the lease lost or
// brought back. What is missing is rebuilt in the background. A lease that doesn't answer now counts as silent, which is no error.
func (e *Engine) Look(ctx context.Context, lease model.LeaseID) error {
	e.looking.Add(1) // a repair under way makes room after the pack that it is at
	defer e.looking.Add(-1)
	e.caring.Lock()
	defer e.caring.Unlock()
	defer e.wakeCare.set()
	e.noteSilence()
	if l, ok := e.cfg.Pool.Lease(lease); ok && e.ward().live[lease] {
		err := e.auditLease(ctx, l)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			e.cfg.Logger.Info("a lease could not be asked for its shards", "lease", lease, "err", err)
		} else {
			e.care.audited[lease] = e.now()
		}
	}
	if err := e.assess(nil); err != nil {
		return err
	}
	return e.assessLog(ctx)
}

// assessLog counts the health of what the newest head names of the log.
func (e *Engine) assessLog(ctx context.Context) error {
	e.publishing.Lock()
	head := e.log.head
	e.publishing.Unlock()
	w := e.ward()
	var health []packHealth
	for _, b := range blobsOf(&head) {
		hs, err := e.blobHealth(ctx, w, b)
		if err != nil {
			return fmt.Errorf("look at the log: %w", err)
		}
		health = append(health, hs...)
	}
	e.mu.Lock()
	e.blobs = health
	e.mu.Unlock()
	return nil
}

// blobHealth counts what is known good of one piece of the log.
func (e *Engine) blobHealth(ctx context.Context, w *ward, b *oplog.Blob) (health []packHealth, err error) {
	packs := b.Packs
	switch {
	case b.List != nil:
		if health, err = e.blobHealth(ctx, w, b.List); err != nil {
			return nil, err
		}
		if packs, err = e.packsOf(ctx, b); err != nil {
			return append(health, packHealth{0, 1, 1}), nil // as repair counts a list that can't be read
		}
	case len(packs) == 0:
		good := 0
		for _, c := range b.Copies {
			if w.live[c.Lease] && !e.care.missing[c.ID] {
				good++
			}
		}
		return []packHealth{{good, 1, len(w.all)}}, nil
	}
	for i := range packs {
		good, _, _ := w.triage(packs[i].Shards, func(s *model.Shard) bool { return e.care.missing[s.ID] })
		health = append(health, packHealth{good, packs[i].K, len(packs[i].Shards)})
	}
	return health, nil
}

// LogRead is the outcome of reading every piece of the log.
type LogRead struct {
	Shards int // shards and copies asked for
	Bad    int // missing or damaged; they are being mended
	Silent int // could not be asked for
}

// ReadLog reads and verifies every shard and copy of what the newest head names of the log.
func (e *Engine) ReadLog(ctx context.Context) (r LogRead, err error) {
	e.publishing.Lock()
	head := e.log.head
	e.publishing.Unlock()
	var bad []model.ShardID
	note := func(id model.ShardID, err error) {
		r.Shards++
		switch {
		case errors.Is(err, transfer.ErrNotFound), errors.Is(err, transfer.ErrDamaged):
			bad = append(bad, id)
		case err != nil:
			r.Silent++
		}
	}
	for _, b := range blobsOf(&head) {
		if err := e.readBlob(ctx, b, note); err != nil {
			return r, fmt.Errorf("read the log: %w", err)
		}
	}
	if r.Bad = len(bad); r.Bad == 0 {
		return r, ctx.Err()
	}
	e.looking.Add(1)
	defer e.looking.Add(-1)
	e.caring.Lock()
	defer e.caring.Unlock()
	for _, id := range bad {
		e.care.missing[id] = true
	}
	e.wakeCare.set()
	return r, errors.Join(e.assessLog(ctx), ctx.Err())
}

// readBlob reads every shard and copy of one piece of the log.
func (e *Engine) readBlob(ctx context.Context, b *oplog.Blob, note func(model.ShardID, error)) error {
	packs := b.Packs
	switch {
	case b.List != nil:
		if err := e.readBlob(ctx, b.List, note); err != nil {
			return err
		}
		var err error
		if packs, err = e.packsOf(ctx, b); err != nil {
			return err
		}
	case len(packs) == 0:
		for _, c := range b.Copies {
			_, err := readOneCopy(ctx, e.cfg.Pool, e.cfg.Keys.Identity(), b, c)
			note(c.ID, err)
		}
	}
	for i := range packs {
		for n, s := range packs[i].Shards {
			note(s.ID, e.cfg.Pool.CheckShard(ctx, &packs[i], n))
		}
	}
	return ctx.Err()
}
