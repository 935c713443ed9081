package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/cloudcoin/cloudcoin/crypto/seal"
	"github.com/cloudcoin/cloudcoin/sync/chunk"
	"github.com/cloudcoin/cloudcoin/sync/index"
	"github.com/cloudcoin/cloudcoin/sync/model"
	"github.com/cloudcoin/cloudcoin/sync/pack"
	"github.com/cloudcoin/cloudcoin/sync/transfer"
)

const (
	// trashRest is how long shards stay after no head names them: reads that began before may still ask for them.
	trashRest = time.Minute
	// trashPatience is how long a lease that doesn't take the newest head keeps shards alive that its older head names.
	trashPatience = 24 * time.Hour
	// minSmall is how many packs under a quarter full are worth joining.
	minSmall = 8
)

// load is what a pack holds.
type load struct {
	live, dead int64 // bytes of chunks
	size       int64 // of the age file
}

func (l load) empty() bool { return l.live == 0 }

// sparse: over half dead.
func (l load) sparse() bool { return l.dead > l.live }

// small: under a quarter full.
func (l load) small() bool { return l.live < pack.MaxSize/4 }

// Collect looks for garbage now: packs without a live chunk are deleted, sparse ones are rewritten, small ones joined. freed counts bytes of
// shards that are deleted within the next minutes. It only deletes what no retained revision names, after a checkpoint that doesn't name it either is published.
func (e *Engine) Collect(ctx context.Context) (freed int64, err error) {
	e.caring.Lock()
	defer e.caring.Unlock()
	return e.collect(ctx)
}

func (e *Engine) collect(ctx context.Context) (freed int64, err error) {
	if e.isReadOnly() || !e.wasChecked() {
		return 0, nil // other heads may name what this index doesn't
	}
	loads, err := e.loads(ctx)
	if err != nil {
		return 0, err
	}
	var empty, thin, small []model.PackID
	for id, l := range loads {
		switch {
		case l.empty():
			empty = append(empty, id)
		case l.sparse():
			thin = append(thin, id)
		case l.small():
			small = append(small, id)
		}
	}
	if len(small) >= minSmall {
		thin = append(thin, small...)
	}
	// First what needs no room.
	freed, err = e.drop(ctx, empty)
	if err == nil && len(thin) > 0 {
		if _, err = e.rewrite(ctx, thin); err == nil {
			for _, id := range thin {
				freed += loads[id].size
			}
		}
	}
	return freed, err
}

// loads counts the live and dead bytes of every pack.
func (e *Engine) loads(ctx context.Context) (map[model.PackID]load, error) {
	out := map[model.PackID]load{}
	err := e.cfg.Index.Packs(model.PackID{}, func(p model.Pack) bool {
		out[p.ID] = load{size: p.ShardLen * int64(p.K+p.M)}
		return ctx.Err() == nil
	})
	if err == nil {
		err = e.cfg.Index.LiveChunks(ctx, func(c model.Chunk, live bool) error {
			l, ok := out[c.Pack]
			switch {
			case !ok: // its pack was dropped or came since
				return nil
			case live:
				l.live += c.Len
			default:
				l.dead += c.Len
			}
			out[c.Pack] = l
			return nil
		})
	}
	if err != nil {
		return nil, fmt.Errorf("count what packs hold: %w", err)
	}
	return out, ctx.Err()
}

// drop deletes packs that seemed empty. From doom on no upload counts on them, so the second look is final.
func (e *Engine) drop(ctx context.Context, ids []model.PackID) (freed int64, err error) {
	var doomed []model.PackID
	for _, id := range ids {
		if e.packer.use.doom(id) {
			doomed = append(doomed, id)
		}
	}
	defer func() {
		for _, id := range doomed {
			e.packer.use.forgetDoom(id)
		}
	}()
	if len(doomed) == 0 {
		return 0, nil
	}
	again, err := e.loads(ctx)
	if err != nil {
		return 0, err
	}
	b := e.cfg.Index.Begin()
	var shards []model.Shard
	for _, id := range doomed {
		l, ok := again[id]
		if !ok || !l.empty() {
			continue
		}
		p, err := e.cfg.Index.Pack(id)
		if errors.Is(err, index.ErrNotFound) {
			continue
		}
		if err != nil {
			return freed, fmt.Errorf("read pack %s: %w", id, err)
		}
		b.DropPack(id)
		shards = append(shards, p.Shards...)
		freed += l.size
	}
	if len(shards) == 0 {
		return 0, nil
	}
	// What is pruned here may stand in the log still: a checkpoint first, so that no head names what goes.
	if _, err := e.publish(ctx, true); err != nil {
		return 0, fmt.Errorf("publish before garbage is deleted: %w", err)
	}
	return freed, e.commitDrop(ctx, b, shards)
}

// commitDrop records that packs are gone, publishes it, and lets their shards be deleted afterwards.
func (e *Engine) commitDrop(ctx context.Context, b *index.Batch, shards []model.Shard) error {
	e.publishing.Lock()
	e.log.local.Trash = append(e.log.local.Trash, trash{Counter: e.log.head.Counter + 1, Time: e.now().Unix(), Shards: shards})
	err := e.saveLog(b)
	if err == nil {
		_, err = b.Commit()
	}
	if err != nil {
		e.log.local.Trash = e.log.local.Trash[:len(e.log.local.Trash)-1]
		e.publishing.Unlock()
		return fmt.Errorf("record that packs are gone: %w", err)
	}
	e.publishing.Unlock()
	_, err = e.publish(ctx, false)
	return errors.Join(err, e.assess(nil))
}

// rewrite puts the live chunks of packs into new ones. It returns how many packs are gone.
func (e *Engine) rewrite(ctx context.Context, ids []model.PackID) (n int, err error) {
	r := rewriting{e: e, ctx: ctx}
	defer r.discard()
	// Doomed first: no upload counts on them from then on, so what the look finds alive is all that is. A pack that an upload counts on is
	// left for another time.
	var doomed []model.PackID
	for _, id := range ids {
		if e.packer.use.doom(id) {
			doomed = append(doomed, id)
		}
	}
	r.doomed = doomed
	live, err := e.liveOf(ctx, doomed)
	if err != nil {
		return 0, err
	}
	for _, id := range doomed {
		err := r.take(id, live[id])
		switch {
		case err == nil:
		case r.ctx.Err() == nil && (errors.Is(err, transfer.ErrLost) || errors.Is(err, transfer.ErrDamaged)):
			// One pack that can't be read now doesn't keep the others from being rewritten. It stays as it is.
			e.cfg.Logger.Warn("a pack can't be rewritten now", "pack", id, "err", err)
		default:
			return r.done, err
		}
	}
	err = r.flush()
	return r.done, err
}

// liveOf lists the live chunks of some packs.
func (e *Engine) liveOf(ctx context.Context, ids []model.PackID) (map[model.PackID][]model.Chunk, error) {
	out := map[model.PackID][]model.Chunk{}
	for _, id := range ids {
		out[id] = nil
	}
	err := e.cfg.Index.LiveChunks(ctx, func(c model.Chunk, live bool) error {
		if l, ok := out[c.Pack]; ok && live {
			out[c.Pack] = append(l, c)
		}
		return nil
	})
	return out, err
}

// rewriting fills new packs with what is alive in old ones.
type rewriting struct {
	e      *Engine
	ctx    context.Context
	b      *pack.Builder
	old    []model.Pack // whose live chunks are all in b or in earlier packs
	doomed []model.PackID
	done   int
}

func (r *rewriting) discard() {
	if r.b != nil {
		r.b.Discard()
		r.b = nil
	}
	for _, id := range r.doomed {
		r.e.packer.use.forgetDoom(id)
	}
}

// take adds one pack's live chunks.
func (r *rewriting) take(id model.PackID, live []model.Chunk) error {
	p, err := r.e.cfg.Index.Pack(id)
	if errors.Is(err, index.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read pack %s: %w", id, err)
	}
	if err := r.e.repairs.WaitN(r.ctx, min(int(p.Size()), r.e.repairs.Burst())); err != nil {
		return err
	}
	plain, err := r.e.readPack(r.ctx, &p)
	if err != nil {
		return err
	}
	for _, c := range live {
		if c.Off < 0 || c.Off+c.Len > int64(len(plain)) {
			return fmt.Errorf("chunk %s lies outside of pack %s: %w", c.ID, id, transfer.ErrDamaged)
		}
		data := plain[c.Off : c.Off+c.Len]
		if chunk.ID(r.e.chunkKey, data) != c.ID {
			return fmt.Errorf("chunk %s in pack %s: %w", c.ID, id, transfer.ErrDamaged)
		}
		if err := r.add(c.ID, data); err != nil {
			return err
		}
	}
	r.old = append(r.old, p)
	return nil
}

func (r *rewriting) add(id model.ChunkID, data []byte) (err error) {
	if r.b != nil && !r.b.Fits(len(data)) {
		if err := r.flush(); err != nil {
			return err
		}
	}
	if r.b == nil {
		if r.b, err = pack.NewBuilder(r.e.cfg.Keys.Recipient(), model.PackData); err != nil {
			return fmt.Errorf("begin a pack: %w", err)
		}
	}
	_, err = r.b.Add(id, data)
	return err
}

// flush stores the new pack and drops the old ones that are wholly in it and its predecessors.
func (r *rewriting) flush() error {
	batch := r.e.cfg.Index.Begin()
	if r.b != nil {
		b := r.b
		r.b = nil
		code, err := r.e.coding(model.PackData)
		if err != nil {
			b.Discard()
			return err
		}
		s, err := b.Finish(code.K)
		if err != nil {
			return fmt.Errorf("seal a pack: %w", err)
		}
		defer s.Release()
		p, err := r.e.putPack(r.ctx, s, model.PackData, r.e.repairs)
		if err != nil {
			return err
		}
		batch.PutPack(&p)
		for _, en := range s.Entries {
			batch.PutChunk(model.Chunk{ID: en.ID, Len: en.Len, Pack: p.ID, Off: en.Off})
		}
		r.e.noteHealth(&p, len(p.Shards))
	}
	var shards []model.Shard
	for i := range r.old {
		batch.DropPack(r.old[i].ID)
		shards = append(shards, r.old[i].Shards...)
	}
	r.done += len(r.old)
	r.old = nil
	return r.e.commitDrop(r.ctx, batch, shards)
}

// readPack reads the whole plaintext of a pack.
func (e *Engine) readPack(ctx context.Context, p *model.Pack) ([]byte, error) {
	age := make([]byte, p.Size())
	if err := e.cfg.Pool.ReadRange(ctx, p, 0, age, nil); err != nil {
		return nil, err
	}
	r, err := seal.Open(bytes.NewReader(age), e.cfg.Keys.Identity())
	if err != nil {
		return nil, fmt.Errorf("open pack %s: %w", p.ID, err)
	}
	plain := make([]byte, p.PlainLen)
	if _, err := io.ReadFull(r, plain); err != nil {
		return nil, fmt.Errorf("open pack %s: %w", p.ID, err)
	}
	return plain, nil
}

// emptyTrash deletes the shards that no head names any more. Nothing waits for it: publishing isn't held while leases are asked. caring is held.
func (e *Engine) emptyTrash(ctx context.Context) error {
	e.publishing.Lock()
	due := e.dueTrash()
	e.publishing.Unlock()
	var errs []error
	gone := false
	for _, t := range due {
		if t != nil {
			gone = true
			errs = append(errs, e.deleteShards(ctx, t.Shards)) // what a provider doesn't delete now, the sweep finds
		}
	}
	if !gone {
		return nil
	}
	e.publishing.Lock()
	defer e.publishing.Unlock()
	var keep []trash
	for i, t := range e.log.local.Trash { // others only append
		if i >= len(due) || due[i] == nil {
			keep = append(keep, t)
		}
	}
	e.log.local.Trash = keep
	b := e.cfg.Index.Begin()
	b.Local()
	if err := e.saveLog(b); err != nil {
		return err
	}
	if _, err := b.Commit(); err != nil {
		return fmt.Errorf("note what was deleted: %w", err)
	}
	return errors.Join(errs...)
}

// dueTrash is the trash, with nil in the place of what must stay for now. publishing is held.
func (e *Engine) dueTrash() []*trash {
	now := e.now()
	unsaid := e.unsaidDrops()
	due := make([]*trash, len(e.log.local.Trash))
	for i, t := range e.log.local.Trash {
		age := now.Sub(time.Unix(t.Time, 0))
		if unsaid() || t.Counter > e.log.local.Done || age < trashRest || (!e.allHave(t.Counter) && age < trashPatience) {
			continue
		}
		due[i] = &t
	}
	return due
}

// unsaidDrops tells, when it is asked, whether the outbox holds that a pack is gone: a head that was published since, because a piece of the log had
// moved, doesn't say so, and names the pack.
func (e *Engine) unsaidDrops() func() bool {
	return sync.OnceValue(func() (unsaid bool) {
		err := e.cfg.Index.Outbox(0, func(g index.Group) bool {
			unsaid = slices.ContainsFunc(g.Keys, func(k index.Key) bool { return k.Kind == index.KeyDropPack })
			return !unsaid
		})
		return unsaid || err != nil
	})
}

// allHave tells whether every lease confirmed a head of at least this counter.
func (e *Engine) allHave(counter uint64) bool {
	for _, st := range e.cfg.Pool.Leases() {
		if st.State != transfer.StateEnded && e.log.local.Acked[st.Info.ID] < counter {
			return false
		}
	}
	return true
}

func (e *Engine) deleteShards(ctx context.Context, shards []model.Shard) error {
	byLease := map[model.LeaseID][]model.ShardID{}
	for _, s := range shards {
		byLease[s.Lease] = append(byLease[s.Lease], s.ID)
	}
	var errs []error
	for lease, ids := range byLease {
		if l, ok := e.cfg.Pool.Lease(lease); ok {
			if err := l.Delete(ctx, ids); err != nil {
				errs = append(errs, fmt.Errorf("delete %d shards of lease %s: %w", len(ids), lease, err))
			}
		}
	}
	return errors.Join(errs...)
}
