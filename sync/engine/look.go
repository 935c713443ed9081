package engine

import (
	"context"
	"fmt"

	"github.com/cloudcoin/cloudcoin/sync/model"
	"github.com/cloudcoin/cloudcoin/sync/oplog"
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
