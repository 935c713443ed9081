package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"

	"github.com/cloudcoin/cloudcoin/crypto/merkle"
	"github.com/cloudcoin/cloudcoin/sync/model"
	"github.com/cloudcoin/cloudcoin/sync/transfer"
)

const (
	// auditBatch is how many shards are asked for at once.
	auditBatch = 1000
	// auditProofs is how many of those that a lease says it has must prove it, each by a random piece.
	auditProofs = 4
)

// auditDue asks the leases that weren't asked lately whether they hold what they should; all of them with force.
func (e *Engine) auditDue(ctx context.Context, force bool) error {
	e.mu.Lock()
	for id := range e.recheck {
		delete(e.care.audited, id)
	}
	clear(e.recheck)
	e.mu.Unlock()
	for _, st := range e.cfg.Pool.Leases() {
		last, known := e.care.audited[st.Info.ID]
		if !st.State.Live() || (!force && known && e.now().Sub(last) < e.cfg.Audit) {
			continue
		}
		l, ok := e.cfg.Pool.Lease(st.Info.ID)
		if !ok {
			continue
		}
		if err := e.auditLease(ctx, l); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			e.cfg.Logger.Info("a lease could not be asked for its shards", "lease", st.Info.ID, "err", err)
			continue
		}
		e.care.audited[st.Info.ID] = e.now()
	}
	return nil
}

// question is a shard of a pack that a lease should hold.
type question struct {
	pack  model.PackID // zero: a piece of the log
	index int
	id    model.ShardID
	state model.ShardState
	size  int64
}

// auditLease asks one lease for everything that it should hold, a batch at a time.
func (e *Engine) auditLease(ctx context.Context, l transfer.Shards) error {
	lease := l.Info().ID
	var batch []question
	draw, err := e.lots()
	if err != nil {
		return err
	}
	proofs, claimed := make([]question, 0, auditProofs), 0
	ask := func() error {
		err := e.ask(ctx, l, batch, func(q question) { // each is drawn with the same chance
			claimed++
			if len(proofs) < auditProofs {
				proofs = append(proofs, q)
			} else if i := draw.IntN(claimed); i < auditProofs {
				proofs[i] = q
			}
		})
		batch = batch[:0]
		return err
	}
	var after model.PackID
	for more := true; more; { // the catalogue isn't walked while the provider is waited for
		more = false
		err := e.cfg.Index.Packs(after, func(p model.Pack) bool {
			after = p.ID
			for i, s := range p.Shards {
				if s.Lease == lease {
					batch = append(batch, question{p.ID, i, s.ID, s.State, p.ShardLen})
				}
			}
			more = len(batch) >= auditBatch
			return !more
		})
		if err != nil {
			return fmt.Errorf("read the catalogue: %w", err)
		}
		if err := ask(); err != nil {
			return err
		}
	}
	shards, err := e.logShards(ctx)
	if err != nil {
		return err
	}
	for _, s := range shards {
		if s.Lease == lease {
			batch = append(batch, question{id: s.ID})
		}
	}
	if err := ask(); err != nil {
		return err
	}
	return e.demand(ctx, l, proofs, draw)
}

// lots draws what a provider can't foresee.
func (e *Engine) lots() (*rand.Rand, error) {
	var seed [32]byte
	if _, err := io.ReadFull(e.cfg.Rand, seed[:]); err != nil {
		return nil, fmt.Errorf("draw what to audit: %w", err)
	}
	return rand.New(rand.NewChaCha8(seed)), nil
}

// demand lets a lease prove that it holds what it says: a random leaf of each of some shards.
func (e *Engine) demand(ctx context.Context, l transfer.Shards, proofs []question, draw *rand.Rand) error {
	for _, q := range proofs {
		off := draw.Int64N((q.size+merkle.LeafSize-1)/merkle.LeafSize) * merkle.LeafSize
		err := l.Get(ctx, q.id, off, make([]byte, min(merkle.LeafSize, q.size-off)), q.size, true)
		switch {
		case errors.Is(err, transfer.ErrNotFound), errors.Is(err, transfer.ErrDamaged):
			e.Warn(fmt.Sprintf("The provider of lease %s says that it holds data which it can't show; the data is rebuilt.", e.leaseName(l.Info().ID)))
			if err := e.markBad(q); err != nil {
				return err
			}
		case err != nil:
			return err
		}
	}
	return nil
}

func (e *Engine) markBad(q question) error {
	return e.markShards(q.pack, func(n int, s *model.Shard) {
		if n == q.index && s.ID == q.id {
			s.State = model.ShardBad
		}
	})
}

// ask asks for a batch and notes the answers. claimed is told of shards of packs that are said to be there.
func (e *Engine) ask(ctx context.Context, l transfer.Shards, batch []question, claimed func(question)) error {
	if len(batch) == 0 {
		return nil
	}
	ids := make([]model.ShardID, len(batch))
	for i := range batch {
		ids[i] = batch[i].id
	}
	has, err := l.Has(ctx, ids)
	if err != nil {
		return err
	}
	for i, q := range batch {
		switch {
		case q.pack == (model.PackID{}) && !has[i]:
			e.care.missing[q.id] = true
		case q.pack == (model.PackID{}):
			// That it is there doesn't say that it is undamaged: a bad report stands until the piece was put again.
		case has[i] && q.state != model.ShardBad:
			claimed(q)
		case q.state != model.ShardBad:
			err = e.markBad(q)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// logShards lists every shard and copy of the log that the newest head names.
func (e *Engine) logShards(ctx context.Context) ([]model.Shard, error) {
	e.publishing.Lock()
	head := e.log.head
	e.publishing.Unlock()
	var out []model.Shard
	for _, b := range blobsOf(&head) {
		out = append(out, blobShards(b)...)
		if b.List != nil {
			packs, err := e.packsOf(ctx, b)
			if err != nil {
				return nil, err
			}
			for i := range packs {
				out = append(out, packs[i].Shards...)
			}
		}
	}
	return out, nil
}
