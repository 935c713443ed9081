package engine

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cloudcoin/cloudcoin/sync/index"
	"github.com/cloudcoin/cloudcoin/sync/model"
	"github.com/cloudcoin/cloudcoin/sync/transfer"
)

const (
	// sweepRest is how long a shard that nothing names is left alone.
	sweepRest = 24 * time.Hour
	// sweepRestHeir is the same for a device that continues another one's head: that one may live on, with contents that it has stored and not yet published.
	sweepRestHeir = 60 * 24 * time.Hour
	// maxSwept bounds how many shards are remembered over a restart, so that they fit into one record; the longest known ones are.
	maxSwept = 60000
	// metaSwept is the key of what is remembered.
	metaSwept = "engine.swept"
)

// sweptKey stands for a place: the first bytes of the SHA-256 of lease and shard.
type sweptKey [8]byte

func (p place) swept() (k sweptKey) {
	sum := sha256.Sum256(append(append([]byte(nil), p.lease[:]...), p.id[:]...))
	copy(k[:], sum[:])
	return k
}

// sweep deletes shards that nothing names and that have been seen so for a day: uploads that never came to their end.
func (e *Engine) sweep(ctx context.Context) error {
	if e.isReadOnly() || !e.wasChecked() {
		return nil
	}
	named, err := e.namedShards(ctx)
	if err != nil {
		return err
	}
	s := sweeping{e: e, named: named, now: e.now(), rest: e.sweepRest(), seen: map[sweptKey]time.Time{}}
	var errs []error
	asked := map[model.LeaseID]bool{}
	for _, st := range e.cfg.Pool.Leases() {
		l, ok := e.cfg.Pool.Lease(st.Info.ID)
		if !ok || !st.State.Live() {
			continue
		}
		err := s.lease(ctx, l)
		asked[st.Info.ID] = err == nil
		errs = append(errs, err)
	}
	if slices.ContainsFunc(e.cfg.Pool.Leases(), func(st transfer.LeaseState) bool { return !asked[st.Info.ID] }) {
		for k, since := range e.care.swept { // of a lease that wasn't asked, perhaps
			if _, ok := s.seen[k]; !ok && s.now.Sub(since) < 2*s.rest {
				s.seen[k] = since
			}
		}
	}
	e.care.swept = s.seen
	return errors.Join(append(errs, e.saveSwept())...)
}

// sweepRest is how long this device leaves alone what nothing names.
func (e *Engine) sweepRest() time.Duration {
	e.publishing.Lock()
	defer e.publishing.Unlock()
	if len(e.log.head.Parents) > 0 {
		return sweepRestHeir
	}
	return sweepRest
}

// sweeping is one run of sweep.
type sweeping struct {
	e     *Engine
	named map[place]struct{}
	now   time.Time
	rest  time.Duration
	seen  map[sweptKey]time.Time // what nothing names, and since when
}

func (s *sweeping) lease(ctx context.Context, l transfer.Shards) error {
	var after model.ShardID
	for {
		ids, err := l.List(ctx, after)
		if err != nil {
			return fmt.Errorf("list the shards of lease %s: %w", l.Info().ID, err)
		}
		if len(ids) == 0 {
			return nil
		}
		after = ids[len(ids)-1]
		var dead []model.ShardID
		for _, id := range ids {
			at := place{l.Info().ID, id}
			if _, ok := s.named[at]; ok {
				continue
			}
			since, known := s.e.care.swept[at.swept()]
			if !known || since.After(s.now) { // the clock was ahead
				since = s.now
			}
			if s.now.Sub(since) >= s.rest {
				dead = append(dead, id)
				continue
			}
			s.seen[at.swept()] = since
		}
		if len(dead) > 0 {
			if err := l.Delete(ctx, dead); err != nil {
				return fmt.Errorf("delete shards that nothing names of lease %s: %w", l.Info().ID, err)
			}
		}
	}
}

// saveSwept writes down when garbage was looked for, and what is waited for: a machine that is never on for a day deletes it all the same.
func (e *Engine) saveSwept() error {
	type entry struct {
		key   sweptKey
		since int64
	}
	all := make([]entry, 0, len(e.care.swept))
	for k, since := range e.care.swept {
		all = append(all, entry{k, since.Unix()})
	}
	slices.SortFunc(all, func(a, b entry) int { return cmp.Or(cmp.Compare(a.since, b.since), slices.Compare(a.key[:], b.key[:])) })
	raw := binary.BigEndian.AppendUint64(nil, uint64(e.care.collected.Unix()))
	for _, x := range all[:min(len(all), maxSwept)] {
		raw = binary.BigEndian.AppendUint64(append(raw, x.key[:]...), uint64(x.since))
	}
	b := e.cfg.Index.Begin()
	b.Local()
	b.PutMeta(metaSwept, raw)
	if _, err := b.Commit(); err != nil {
		return fmt.Errorf("note what nothing names: %w", err)
	}
	return nil
}

// loadSwept reads what saveSwept wrote, and decides when garbage is looked for first.
func (e *Engine) loadSwept() error {
	now := e.now()
	e.care.collected = now
	raw, err := e.cfg.Index.Meta(metaSwept)
	switch {
	case errors.Is(err, index.ErrNotFound):
		if err := e.saveSwept(); err != nil { // a day counts from now on, whether this machine is on or not
			return err
		}
	case err != nil:
		return fmt.Errorf("read what nothing names: %w", err)
	case len(raw)%16 != 8:
		return fmt.Errorf("read what nothing names: %d bytes", len(raw))
	default:
		e.care.collected = time.Unix(int64(binary.BigEndian.Uint64(raw)), 0)
		for raw = raw[8:]; len(raw) > 0; raw = raw[16:] {
			e.care.swept[sweptKey(raw[:8])] = time.Unix(int64(binary.BigEndian.Uint64(raw[8:])), 0)
		}
	}
	// Not at once, and at the latest after collectFirst, whatever the clock said then.
	at := func(d time.Duration) time.Time { return now.Add(d - collectEvery) }
	if e.care.collected.Before(at(collectSoon)) {
		e.care.collected = at(collectSoon)
	}
	if e.care.collected.After(at(collectFirst)) {
		e.care.collected = at(collectFirst)
	}
	return nil
}

// place is a shard at a lease: one that was rebuilt elsewhere while its provider was silent is named there only.
type place struct {
	lease model.LeaseID
	id    model.ShardID
}

// namedShards is every shard that the catalogue, the newest head or the trash names, where they name it. Uploads under way are younger than a day.
func (e *Engine) namedShards(ctx context.Context) (map[place]struct{}, error) {
	named := map[place]struct{}{}
	log, err := e.logShards(ctx)
	if err != nil {
		return nil, err
	}
	e.publishing.Lock()
	for _, t := range e.log.local.Trash {
		log = append(log, t.Shards...)
	}
	e.publishing.Unlock()
	for _, s := range log {
		named[place{s.Lease, s.ID}] = struct{}{}
	}
	err = e.cfg.Index.Packs(model.PackID{}, func(p model.Pack) bool {
		for _, s := range p.Shards {
			named[place{s.Lease, s.ID}] = struct{}{}
		}
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("read the catalogue: %w", err)
	}
	return named, nil
}
