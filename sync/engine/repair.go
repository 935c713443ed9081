package engine

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cloudcoin/cloudcoin/sync/index"
	"github.com/cloudcoin/cloudcoin/sync/model"
	"github.com/cloudcoin/cloudcoin/sync/oplog"
	"github.com/cloudcoin/cloudcoin/sync/placement"
	"github.com/cloudcoin/cloudcoin/sync/transfer"
)

// ward knows which leases answer, are silent for now, or are gone.
type ward struct {
	live  map[model.LeaseID]bool
	await map[model.LeaseID]bool // silent, but not for longer than Config.Patience
	all   []placement.Lease
	held  int
	alive int
}

func (e *Engine) ward() *ward {
	w := &ward{live: map[model.LeaseID]bool{}, await: map[model.LeaseID]bool{}}
	w.all, w.held, w.alive = e.providers()
	now := e.now()
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, st := range e.cfg.Pool.Leases() {
		id := st.Info.ID
		switch since, silent := e.silent[id]; {
		case st.State.Live():
			w.live[id] = true
		case st.State == transfer.StateEnded:
		case !silent || now.Sub(since) < e.cfg.Patience:
			w.await[id] = true
		}
	}
	return w
}

// differ counts the providers of some leases: two leases with one provider are lost together.
func (w *ward) differ(leases []model.LeaseID) int {
	in := map[string]struct{}{}
	for i := range w.all {
		if slices.Contains(leases, w.all[i].ID) {
			in[w.all[i].Provider] = struct{}{}
		}
	}
	return len(in)
}

// triage sorts a pack's shards: how many are known good, which must be rebuilt, and which of these elsewhere.
func (w *ward) triage(shards []model.Shard, bad func(*model.Shard) bool) (good int, rebuild, move []int) {
	for i := range shards {
		s := &shards[i]
		switch {
		case w.live[s.Lease] && !bad(s):
			good++
		case w.live[s.Lease]:
			rebuild = append(rebuild, i) // its provider lacks it: at once, and there again
		case w.await[s.Lease]:
		default:
			rebuild, move = append(rebuild, i), append(move, i)
		}
	}
	return good, rebuild, move
}

func isBad(s *model.Shard) bool { return s.State == model.ShardBad }

// patient is a pack that something is wrong with.
type patient struct {
	id    model.PackID
	slack int // good shards beyond k
}

// assess counts the health of all packs; each is told of those that aren't whole.
func (e *Engine) assess(each func(p *model.Pack, good int, rebuild, move []int)) error {
	w := e.ward()
	health := map[model.PackID]packHealth{}
	err := e.cfg.Index.Packs(model.PackID{}, func(p model.Pack) bool {
		good, rebuild, move := w.triage(p.Shards, isBad)
		health[p.ID] = packHealth{good, p.K, len(p.Shards)}
		if each != nil {
			each(&p, good, rebuild, move)
		}
		return true
	})
	if err != nil {
		return fmt.Errorf("read the catalogue: %w", err)
	}
	e.mu.Lock()
	e.health = health
	e.mu.Unlock()
	return nil
}

func (e *Engine) noteHealth(p *model.Pack, good int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.health[p.ID] = packHealth{good, p.K, len(p.Shards)}
}

// repairPacks rebuilds what is missing, the worst first, then widens what is narrow.
func (e *Engine) repairPacks(ctx context.Context) (whole bool, err error) {
	var sick []patient
	var narrow []model.PackID
	atRisk := 0
	_, held, live := e.providersFor(model.PackData)
	k, m, ok := e.cfg.Coding(held, live)
	err = e.assess(func(p *model.Pack, good int, rebuild, _ []int) {
		if good < len(p.Shards) {
			atRisk++
		}
		switch {
		case len(rebuild) > 0:
			sick = append(sick, patient{id: p.ID, slack: good - p.K})
		case ok && held == live && good == len(p.Shards) && (p.K < k || p.M < m) && len(narrow) < maxSick:
			narrow = append(narrow, p.ID)
		}
	})
	if err != nil {
		return false, err
	}
	slices.SortFunc(sick, func(a, b patient) int { return cmp.Compare(a.slack, b.slack) })
	mended := 0
	var errs []error
	for _, s := range sick {
		if e.looking.Load() > 0 {
			return false, errors.Join(append(errs, e.assess(nil))...) // the rest goes on at once after it
		}
		ok, err := e.repairPack(ctx, s.id)
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		if err != nil {
			if errors.Is(err, transfer.ErrLost) {
				e.Warn(fmt.Sprintf("Pack %s can't be rebuilt: too many of its shards are missing. Files in it can only be read where this machine still has them.", s.id))
			}
			errs = append(errs, err)
		}
		if ok {
			mended++
			atRisk--
		}
	}
	if len(narrow) > 0 {
		n, err := e.rewrite(ctx, narrow)
		errs = append(errs, err)
		mended += n
	}
	if mended > 0 {
		e.wakePublish.set()
		errs = append(errs, e.assess(nil))
	}
	if len(errs) > maxErrors {
		errs = errs[:maxErrors]
	}
	return atRisk == 0, errors.Join(errs...)
}

const (
	maxSick   = 1000 // packs that one round widens
	maxErrors = 5    // that one round tells of
)

// repairPack rebuilds the bad shards of one pack and puts them to the lease that lacks them, or to another one when it is gone. ok: it is whole now.
func (e *Engine) repairPack(ctx context.Context, id model.PackID) (ok bool, err error) {
	p, err := e.cfg.Index.Pack(id)
	if errors.Is(err, index.ErrNotFound) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("read pack %s: %w", id, err)
	}
	good, moved, err := e.mend(ctx, &p, isBad)
	if len(moved) > 0 {
		b := e.cfg.Index.Begin()
		if !placedAnew(moved) {
			b.Local()
		}
		b.PutPack(&p)
		if _, cerr := b.Commit(); cerr != nil {
			return false, fmt.Errorf("record the repair of pack %s: %w", id, cerr)
		}
		e.packer.use.changed(id)
		e.noteHealth(&p, good)
	}
	return err == nil && good == len(p.Shards), err
}

// move is a shard that was put again.
type move struct{ from, to model.LeaseID }

func placedAnew(moves []move) bool {
	return slices.ContainsFunc(moves, func(m move) bool { return m.from != m.to })
}

// mend rebuilds shards and changes p to where they are now. It does as much as the leases allow.
func (e *Engine) mend(ctx context.Context, p *model.Pack, bad func(*model.Shard) bool) (good int, done []move, err error) {
	w := e.ward()
	good, rebuild, elsewhere := w.triage(p.Shards, bad)
	plan := placement.Repair(w.all, p.Shards, placement.Code{K: p.K, M: p.M}, p.ShardLen, elsewhere, p.ID[:])
	rebuild = slices.DeleteFunc(rebuild, func(i int) bool { return slices.Contains(elsewhere, i) && plan.Leases[i] == (model.LeaseID{}) })
	if len(rebuild) == 0 {
		return good, nil, nil
	}
	if good > p.K { // nobody waits when the next loss would lose the pack
		if err := e.repairs.WaitN(ctx, min(int(p.ShardLen)*(p.K+len(rebuild)), e.repairs.Burst())); err != nil {
			return good, nil, err
		}
	}
	asked := *p
	asked.Shards = slices.Clone(p.Shards)
	for _, i := range rebuild {
		asked.Shards[i].State = model.ShardBad // what was found damaged isn't asked for again
	}
	bodies, err := e.cfg.Pool.ReadShards(ctx, &asked, rebuild)
	if err != nil {
		return good, nil, err
	}
	var errs []error
	for n, i := range rebuild {
		from, to := p.Shards[i].Lease, plan.Leases[i]
		if !slices.Contains(elsewhere, i) {
			to = from
		}
		if l, ok := e.cfg.Pool.Lease(to); ok && to == from {
			// A damaged shard of this name is still there, perhaps.
			if err := l.Delete(ctx, []model.ShardID{p.Shards[i].ID}); err != nil {
				errs = append(errs, err)
				continue
			}
		}
		if err := e.putShard(ctx, to, p.Shards[i].ID, bodies[n], nil); err != nil {
			errs = append(errs, err)
			continue
		}
		p.Shards[i].Lease, p.Shards[i].State = to, model.ShardGood
		good++
		done = append(done, move{from, to})
	}
	return good, done, errors.Join(errs...)
}

// repairLog keeps the head on every lease, and the segments and the checkpoint whole.
func (e *Engine) repairLog(ctx context.Context) (whole bool, err error) {
	e.publishing.Lock()
	defer e.publishing.Unlock()
	if e.log.signed == nil {
		return true, nil
	}
	w := e.ward()
	head := e.log.head
	head.Segments = slices.Clone(head.Segments)
	if head.Checkpoint != nil {
		c := *head.Checkpoint
		head.Checkpoint = &c
	}
	changed := false
	var health []packHealth
	var errs []error
	for _, b := range blobsOf(&head) {
		ch, hs, err := e.mendBlob(ctx, w, b)
		changed = changed || ch
		health = append(health, hs...)
		errs = append(errs, err)
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
	}
	whole = !slices.ContainsFunc(health, func(h packHealth) bool { return h.good < h.n })
	e.mu.Lock()
	e.blobs = health
	e.mu.Unlock()
	if changed {
		err = e.publishHead(ctx, head, nil, false)
	} else if e.log.settled() {
		err = e.spreadHead(ctx)
	}
	errs = append(errs, err)
	return whole, errors.Join(errs...)
}

// mendBlob mends one piece of the log. changed: it lies elsewhere now.
func (e *Engine) mendBlob(ctx context.Context, w *ward, b *oplog.Blob) (changed bool, health []packHealth, err error) {
	bad := func(s *model.Shard) bool { return e.care.missing[s.ID] }
	switch {
	case b.List != nil:
		return e.mendListed(ctx, w, b, bad)
	case len(b.Packs) > 0:
		b.Packs = slices.Clone(b.Packs)
		return e.mendPacks(ctx, b.Packs, bad)
	}
	return e.mendCopies(ctx, w, b)
}

func (e *Engine) mendPacks(ctx context.Context, packs []model.Pack, bad func(*model.Shard) bool) (changed bool, health []packHealth, err error) {
	var errs []error
	for i := range packs {
		p := &packs[i]
		p.Shards = slices.Clone(p.Shards)
		good, moves, err := e.mend(ctx, p, bad)
		changed = changed || placedAnew(moves)
		for j := range p.Shards {
			if len(moves) > 0 && err == nil {
				delete(e.care.missing, p.Shards[j].ID)
			}
		}
		health = append(health, packHealth{good, p.K, len(p.Shards)})
		errs = append(errs, err)
	}
	return changed, health, errors.Join(errs...)
}

// mendListed mends packs that a list names; when one of them moved, the list is written anew.
func (e *Engine) mendListed(ctx context.Context, w *ward, b *oplog.Blob, bad func(*model.Shard) bool) (changed bool, health []packHealth, err error) {
	list := *b.List
	changed, health, err = e.mendBlob(ctx, w, &list)
	packs, lerr := e.packsOf(ctx, b)
	if lerr != nil {
		return false, append(health, packHealth{0, 1, 1}), errors.Join(err, lerr)
	}
	moved, hs, perr := e.mendPacks(ctx, packs, bad)
	health = append(health, hs...)
	if moved {
		raw, err := oplog.EncodePacks(packs)
		if err != nil {
			return false, health, err
		}
		bw := e.newBlobWriter(ctx, packs[0].Kind)
		if _, err = bw.Write(raw); err == nil {
			list, err = bw.finish()
		}
		if err != nil {
			bw.discard()
			return false, health, err
		}
		changed = true
	}
	if changed {
		b.List = &list
	}
	return changed, health, errors.Join(err, perr)
}

// mendCopies puts copies to live leases that have none. Copies with leases that are silent for now stay named.
func (e *Engine) mendCopies(ctx context.Context, w *ward, b *oplog.Blob) (changed bool, health []packHealth, err error) {
	var keep []oplog.Copy
	good := 0
	for _, c := range b.Copies {
		switch {
		case w.live[c.Lease] && !e.care.missing[c.ID]:
			keep = append(keep, c)
			good++
		case w.await[c.Lease]:
			keep = append(keep, c)
		}
	}
	lacking := 0
	has := map[model.LeaseID]bool{}
	for _, c := range keep {
		has[c.Lease] = true
	}
	for _, l := range w.all {
		if l.Live && !has[l.ID] {
			lacking++
		}
	}
	want := len(w.all)
	if lacking == 0 {
		return false, []packHealth{{good, 1, want}}, nil
	}
	plain, err := readCopy(ctx, e.cfg.Pool, e.cfg.Keys.Identity(), b)
	if err != nil {
		return false, []packHealth{{good, 1, want}}, err
	}
	copies, err := e.putCopies(ctx, plain, keep)
	if err != nil {
		return false, []packHealth{{good, 1, want}}, err
	}
	for _, c := range b.Copies {
		delete(e.care.missing, c.ID)
	}
	good += len(copies) - len(keep)
	changed = len(copies) > len(keep)
	b.Copies = copies
	return changed, []packHealth{{good, 1, want}}, nil
}

// refreshBooks writes the lease book when the leases changed, or when a day has passed.
func (e *Engine) refreshBooks(ctx context.Context) error {
	if e.cfg.Book == nil {
		return nil
	}
	e.booking.Lock()
	defer e.booking.Unlock()
	var sig bytes.Buffer
	for _, l := range e.cfg.Book() {
		fmt.Fprintf(&sig, "%s %s %d %d\n", l.ID, l.URL, l.Size, l.Until)
	}
	for _, st := range e.cfg.Pool.Leases() {
		fmt.Fprintf(&sig, "%s %v\n", st.Info.ID, st.State.Live())
	}
	fmt.Fprintf(&sig, "%d", e.now().Unix()/int64(24*time.Hour/time.Second))
	if sig.String() == e.booked {
		return nil
	}
	if err := e.putBooks(ctx); err != nil {
		return fmt.Errorf("write the lease book: %w", err)
	}
	e.booked = sig.String()
	return nil
}
