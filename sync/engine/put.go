package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/cloudcoin/cloudcoin/crypto/seal"
	"github.com/cloudcoin/cloudcoin/sync/erasure"
	"github.com/cloudcoin/cloudcoin/sync/model"
	"github.com/cloudcoin/cloudcoin/sync/oplog"
	"github.com/cloudcoin/cloudcoin/sync/pack"
	"github.com/cloudcoin/cloudcoin/sync/placement"
	"github.com/cloudcoin/cloudcoin/sync/transfer"
)

// fullFor is how long a lease that answered "no room" isn't asked again, unless its usage changes.
const fullFor = time.Minute

// Reserve is how much of a lease of size bytes contents leave to the log: a drive that is full must still be able to publish that files were removed,
// or it could never have room again.
func Reserve(size int64) int64 { return min(64<<20, size/50) }

// providers is the leases as placement wants them, and how many different providers are held and live.
func (e *Engine) providers() (ls []placement.Lease, held, live int) {
	return e.providersFor(model.PackSegment)
}

// providersFor also takes leases for full that have only room for the log left, when contents are to be put.
func (e *Engine) providersFor(kind model.PackKind) (ls []placement.Lease, held, live int) {
	now := e.now()
	heldSet, liveSet := map[string]bool{}, map[string]bool{}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, st := range e.cfg.Pool.Leases() {
		if st.State == transfer.StateEnded {
			continue
		}
		ok := st.State.Live() && !now.Before(e.full[st.Info.ID])
		if kind == model.PackData && st.Info.Size-st.Info.Used < Reserve(st.Info.Size) {
			ok = false
		}
		ls = append(ls, placement.Lease{LeaseInfo: st.Info, Live: ok})
		heldSet[st.Info.Provider] = true
		if ok {
			liveSet[st.Info.Provider] = true
		}
	}
	return ls, len(heldSet), len(liveSet)
}

// coding chooses k and m for a pack that is written now; ErrTooFewProviders when there is no choice.
func (e *Engine) coding(kind model.PackKind) (placement.Code, error) {
	_, held, live := e.providersFor(kind)
	k, m, ok := e.cfg.Coding(held, live)
	if !ok {
		return placement.Code{}, fmt.Errorf("%d of %d providers answer and have room: %w", live, held, ErrTooFewProviders)
	}
	return placement.Code{K: k, M: m}, nil
}

// spare is the number of providers whose loss must not lose anything.
func (e *Engine) spare() int {
	_, held, _ := e.providers()
	_, m, ok := e.cfg.Coding(held, held)
	if !ok {
		return placement.Spare(held)
	}
	return m
}

func (e *Engine) noteFull(lease model.LeaseID) {
	e.mu.Lock()
	e.full[lease] = e.now().Add(fullFor)
	e.mu.Unlock()
	e.Warn(fmt.Sprintf("Lease %s is full: new data goes to the other leases. Add or buy a lease to have room again.", e.leaseName(lease)))
}

func (e *Engine) leaseName(lease model.LeaseID) string {
	for _, st := range e.cfg.Pool.Leases() {
		if st.Info.ID == lease && st.Info.Name != "" {
			return st.Info.Name
		}
	}
	return lease.String()
}

func (e *Engine) newPackID() (id model.PackID, err error) {
	if _, err := io.ReadFull(e.cfg.Rand, id[:]); err != nil {
		return id, fmt.Errorf("draw a pack id: %w", err)
	}
	return id, nil
}

// putPack codes a sealed pack and puts it to n leases; it returns when all receipts are held. With ErrTooFewProviders nothing of it is
// needed any more; the caller may code it anew.
func (e *Engine) putPack(ctx context.Context, s *pack.Sealed, kind model.PackKind, limit *rate.Limiter) (model.Pack, error) {
	code, err := e.coding(kind)
	if err != nil {
		return model.Pack{}, err
	}
	if code.K != s.K {
		return model.Pack{}, fmt.Errorf("%d providers for a pack cut for %d: %w", code.K+code.M, s.K+code.M, errRecode)
	}
	p := model.Pack{Kind: kind, K: code.K, M: code.M, ShardLen: s.ShardLen, PlainLen: s.PlainLen, Header: s.Header, Tail: s.Tail}
	if p.ID, err = e.newPackID(); err != nil {
		return p, err
	}
	shards, err := erasure.Encode(s.Age, code.K, code.M, s.Scratch(int64(code.M)*s.ShardLen))
	if err != nil {
		return p, fmt.Errorf("code pack %s: %w", p.ID, err)
	}
	ids := erasure.IDs(shards)
	ls, _, _ := e.providersFor(kind)
	place, err := placement.Place(ls, code, s.ShardLen, p.ID[:])
	if err != nil {
		return p, fmt.Errorf("place pack %s: %w: %w", p.ID, ErrTooFewProviders, err)
	}
	for _, v := range place.Violations {
		e.Warn("The leases don't allow to spread data as it should be: " + v.String() + ".")
	}
	p.Shards = make([]model.Shard, len(shards))
	for i := range p.Shards {
		p.Shards[i] = model.Shard{ID: ids[i], Lease: place.Leases[i]}
	}
	if err := e.putShards(ctx, &p, shards, limit); err != nil {
		e.abandon(&p)
		return p, err
	}
	return p, nil
}

// errRecode is returned by putPack when the number of live providers isn't the one that the pack was cut for.
var errRecode = errors.New("the pack must be cut anew")

// putShards puts all shards, and those that a lease doesn't take to another one.
func (e *Engine) putShards(ctx context.Context, p *model.Pack, shards [][]byte, limit *rate.Limiter) error {
	want := make([]int, len(shards))
	for i := range want {
		want[i] = i
	}
	for try := 0; ; try++ {
		failed, err := e.putSome(ctx, p, shards, want, limit)
		if len(failed) == 0 || ctx.Err() != nil {
			return err
		}
		e.cfg.Logger.Info("shards were not taken", "pack", p.ID, "shards", failed, "err", err)
		ls, _, _ := e.providersFor(p.Kind)
		for _, i := range failed { // nobody is asked twice for the same shard
			for j := range ls {
				if ls[j].ID == p.Shards[i].Lease {
					ls[j].Live = false
				}
			}
		}
		place := placement.Repair(ls, p.Shards, placement.Code{K: p.K, M: p.M}, p.ShardLen, failed, p.ID[:])
		if place.Missing > 0 || try >= len(ls) {
			for _, i := range failed {
				p.Shards[i].State = model.ShardBad
			}
			return fmt.Errorf("no provider takes %d shards of pack %s: %w: %w", len(failed), p.ID, ErrTooFewProviders, err)
		}
		for _, i := range failed {
			p.Shards[i].Lease = place.Leases[i]
		}
		want = failed
	}
}

// putSome puts the wanted shards in parallel and tells which were not taken, with the last error.
func (e *Engine) putSome(ctx context.Context, p *model.Pack, shards [][]byte, want []int, limit *rate.Limiter) (failed []int, err error) {
	var wg sync.WaitGroup
	errs := make([]error, len(want))
	for n, i := range want {
		wg.Go(func() { errs[n] = e.putShard(ctx, p.Shards[i].Lease, p.Shards[i].ID, shards[i], limit) })
	}
	wg.Wait()
	for n, i := range want {
		if errs[n] != nil {
			failed, err = append(failed, i), errs[n]
		}
	}
	return failed, err
}

// putShard puts one shard within the limits of traffic.
func (e *Engine) putShard(ctx context.Context, lease model.LeaseID, id model.ShardID, body []byte, limit *rate.Limiter) error {
	for _, l := range []*rate.Limiter{limit, e.upload} {
		if l == nil {
			continue
		}
		if err := l.WaitN(ctx, min(len(body), l.Burst())); err != nil {
			return fmt.Errorf("wait for bandwidth: %w", err)
		}
	}
	err := e.cfg.Pool.PutShard(ctx, lease, id, body)
	if errors.Is(err, transfer.ErrNoRoom) {
		e.noteFull(lease)
	}
	return err
}

// abandon deletes the shards of a pack that won't be catalogued, as far as their providers answer; the sweep finds the rest later.
func (e *Engine) abandon(p *model.Pack) {
	for _, s := range p.Shards {
		if c, ok := e.cfg.Pool.Lease(s.Lease); ok && s.State != model.ShardBad {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			if err := c.Delete(ctx, []model.ShardID{s.ID}); err != nil {
				e.cfg.Logger.Debug("shard of an abandoned pack stays for now", "shard", s.ID, "err", err)
			}
			cancel()
		}
	}
}

// abandonBlob deletes what was put of a piece of the log that no head names.
func (e *Engine) abandonBlob(b *oplog.Blob) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	shards := blobShards(b)
	if b.List != nil {
		for _, p := range e.listed(ctx, b) {
			shards = append(shards, p.Shards...)
		}
	}
	if err := e.deleteShards(ctx, shards); err != nil {
		e.cfg.Logger.Debug("a piece of the log that nothing names stays for now", "err", err)
	}
}

// recut makes the same pack for another k. s is spent.
func (e *Engine) recut(s *pack.Sealed, kind model.PackKind, k int) (*pack.Sealed, error) {
	defer s.Release()
	o, err := seal.NewOpener(s.Header, int64(len(s.Age)), e.cfg.Keys.Identity())
	if err != nil {
		return nil, fmt.Errorf("open a pack that was just sealed: %w", err)
	}
	coff, clen := o.CipherRange(0, o.PlainLen())
	plain, off, err := o.OpenBlocks(s.Age[coff:coff+clen], coff)
	if err != nil {
		return nil, fmt.Errorf("open a pack that was just sealed: %w", err)
	}
	b, err := pack.NewBuilder(e.cfg.Keys.Recipient(), kind)
	if err != nil {
		return nil, fmt.Errorf("begin a pack: %w", err)
	}
	for _, en := range s.Entries {
		if _, err := b.Add(en.ID, plain[en.Off-off:en.Off-off+en.Len]); err != nil {
			b.Discard()
			return nil, fmt.Errorf("cut a pack anew: %w", err)
		}
	}
	out, err := b.Finish(k)
	if err != nil {
		return nil, fmt.Errorf("cut a pack anew: %w", err)
	}
	return out, nil
}

// storePack puts a builder's pack to leases, however long it takes: while too few providers answer it waits.
func (e *Engine) storePack(ctx context.Context, b *pack.Builder, kind model.PackKind, limit *rate.Limiter, retry signal) (model.Pack, []pack.Entry, error) {
	code, err := e.awaitCoding(ctx, kind, retry)
	if err != nil {
		b.Discard()
		return model.Pack{}, nil, err
	}
	s, err := b.Finish(code.K)
	if err != nil {
		return model.Pack{}, nil, fmt.Errorf("seal a pack: %w", err)
	}
	for {
		p, err := e.putPack(ctx, s, kind, limit)
		switch {
		case err == nil:
			entries := s.Entries
			s.Release()
			e.setWaiting("")
			return p, entries, nil
		case ctx.Err() != nil, !errors.Is(err, ErrTooFewProviders) && !errors.Is(err, errRecode):
			s.Release()
			return p, nil, err
		case errors.Is(err, ErrTooFewProviders):
			e.setWaiting(err.Error())
			if err := e.wait(ctx, 2*time.Second, retry); err != nil {
				s.Release()
				return p, nil, err
			}
		}
		if code, err = e.awaitCoding(ctx, kind, retry); err != nil {
			s.Release()
			return p, nil, err
		}
		if code.K != s.K {
			if s, err = e.recut(s, kind, code.K); err != nil {
				return p, nil, err
			}
		}
	}
}

// awaitCoding waits until enough providers answer.
func (e *Engine) awaitCoding(ctx context.Context, kind model.PackKind, retry signal) (placement.Code, error) {
	for {
		code, err := e.coding(kind)
		if err == nil {
			return code, nil
		}
		e.setWaiting(err.Error())
		if err := e.wait(ctx, 2*time.Second, retry); err != nil {
			return code, err
		}
	}
}
