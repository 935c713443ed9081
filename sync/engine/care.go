package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cloudcoin/cloudcoin/sync/index"
	"github.com/cloudcoin/cloudcoin/sync/model"
	"github.com/cloudcoin/cloudcoin/sync/transfer"
)

const (
	// careEvery is how often the care loop looks while something isn't whole; careIdle otherwise.
	careEvery = 10 * time.Second
	careIdle  = 10 * time.Minute
	// collectEvery is how often garbage is looked for; after a start when it is due, but not before collectSoon, and at the latest after collectFirst.
	collectEvery = 24 * time.Hour
	collectSoon  = 5 * time.Minute
	collectFirst = 90 * time.Minute
)

// care is what the care loop remembers.
type care struct {
	audited   map[model.LeaseID]time.Time // when each lease was last asked for all its shards
	missing   map[model.ShardID]bool      // pieces of the log that their lease lacks
	collected time.Time
	swept     map[sweptKey]time.Time // shards that nothing names, and since when; written down by saveSwept
}

func newCare() care {
	return care{audited: map[model.LeaseID]time.Time{}, missing: map[model.ShardID]bool{}, swept: map[sweptKey]time.Time{}}
}

// Bad tells that a shard is missing or damaged: hand it to transfer.Pool.Bad.
func (e *Engine) Bad(pack model.PackID, shard int, why error) {
	if !errors.Is(why, transfer.ErrNotFound) && !errors.Is(why, transfer.ErrDamaged) {
		return // silence isn't loss
	}
	e.mu.Lock()
	e.reports[pack] = append(e.reports[pack], shard)
	e.mu.Unlock()
	e.wakeCare.set()
}

// careLoop keeps everything whole. Errors of one round are warnings: the next one tries again.
func (e *Engine) careLoop(ctx context.Context) error {
	if err := e.loadSwept(); err != nil {
		return err
	}
	for {
		e.caring.Lock()
		whole, err := e.careOnce(ctx)
		e.caring.Unlock()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			e.cfg.Logger.Warn("repair goes on later", "err", err)
		}
		d := careIdle
		if !whole || err != nil {
			d = careEvery
		}
		d = min(d, max(careEvery, collectEvery-e.now().Sub(e.care.collected)))
		if err := e.wait(ctx, d, e.wakeCare); err != nil {
			return err
		}
	}
}

// careOnce looks at everything once and mends what it can. whole: nothing is left to do.
func (e *Engine) careOnce(ctx context.Context) (whole bool, err error) {
	if err := e.takeReports(); err != nil {
		return false, err
	}
	e.noteSilence()
	if err := e.auditDue(ctx, false); err != nil {
		return false, err
	}
	if e.isReadOnly() || !e.wasChecked() {
		return false, e.assess(nil)
	}
	logWhole, logErr := e.repairLog(ctx)
	packsWhole, packErr := e.repairPacks(ctx)
	bookErr := e.refreshBooks(ctx)
	trashErr := e.emptyTrash(ctx)
	var collectErr error
	if e.now().Sub(e.care.collected) >= collectEvery {
		e.care.collected = e.now()
		_, err := e.collect(ctx)
		collectErr = errors.Join(err, e.sweep(ctx))
	}
	return logWhole && packsWhole, errors.Join(logErr, packErr, bookErr, trashErr, collectErr)
}

// takeReports marks the shards bad that were reported.
func (e *Engine) takeReports() error {
	e.mu.Lock()
	reports := e.reports
	e.reports = map[model.PackID][]int{}
	e.mu.Unlock()
	for id, shards := range reports {
		err := e.markShards(id, func(i int, s *model.Shard) {
			for _, n := range shards {
				if n == i {
					s.State = model.ShardBad
				}
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// markShards changes what is known of a pack's shards, on this machine only. Pieces of the log aren't in the catalogue: audits find them.
func (e *Engine) markShards(id model.PackID, fn func(i int, s *model.Shard)) error {
	p, err := e.cfg.Index.Pack(id)
	if errors.Is(err, index.ErrNotFound) {
		e.noteLogPack(id, fn)
		return nil
	}
	if err != nil {
		return fmt.Errorf("read pack %s: %w", id, err)
	}
	old := append([]model.Shard(nil), p.Shards...)
	changed := false
	for i := range p.Shards {
		fn(i, &p.Shards[i])
		changed = changed || p.Shards[i] != old[i]
	}
	if !changed {
		return nil
	}
	b := e.cfg.Index.Begin()
	b.Local()
	b.PutPack(&p)
	if _, err := b.Commit(); err != nil {
		return fmt.Errorf("note the state of pack %s: %w", id, err)
	}
	e.packer.use.changed(id)
	return nil
}

// noteLogPack marks shards of a pack of the log as missing.
func (e *Engine) noteLogPack(id model.PackID, fn func(i int, s *model.Shard)) {
	e.publishing.Lock()
	defer e.publishing.Unlock()
	for _, b := range blobsOf(&e.log.head) {
		for ; b != nil; b = b.List {
			for i := range b.Packs {
				if b.Packs[i].ID != id {
					continue
				}
				for n, s := range b.Packs[i].Shards {
					if fn(n, &s); s.State == model.ShardBad {
						e.care.missing[s.ID] = true
					}
				}
			}
		}
	}
}

// noteSilence keeps since when each lease doesn't answer.
func (e *Engine) noteSilence() {
	now := e.now()
	held := map[model.LeaseID]bool{}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, st := range e.cfg.Pool.Leases() {
		held[st.Info.ID] = true
		_, was := e.silent[st.Info.ID]
		switch {
		case st.State.Live() && was:
			delete(e.silent, st.Info.ID)
			delete(e.care.audited, st.Info.ID) // it came back: is everything there?
		case !st.State.Live() && !was:
			e.silent[st.Info.ID] = now
		}
	}
	for id := range e.silent {
		if !held[id] {
			delete(e.silent, id)
		}
	}
}

// Audit asks every lease for every shard now, and rebuilds what is missing.
func (e *Engine) Audit(ctx context.Context) error {
	e.caring.Lock()
	defer e.caring.Unlock()
	if err := e.auditDue(ctx, true); err != nil {
		return err
	}
	_, err := e.careOnce(ctx)
	return err
}
