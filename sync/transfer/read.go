package transfer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cloudcoin/cloudcoin/crypto/merkle"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// ErrLost is returned when fewer than k shards of a pack can exist: the others' providers answered that they lack them, or with bytes that aren't theirs.
var ErrLost = errors.New("too many shards of the pack are missing or damaged")

// ErrUnreachable is returned when fewer than k shards could be had now, but more may exist: trying later makes sense.
var ErrUnreachable = errors.New("too few providers answer")

const (
	firstRound   = 250 * time.Millisecond
	longestRound = 2 * time.Second
)

// ReadRange fills dst from byte off of the age file of a pack. check tells whether the bytes are authentic and may change them in place (open
// them); nil: every piece is checked by its proof instead. When check refuses, the range is asked for again with proofs, who lied is reported (Bad),
// and check is asked once more. While too few providers answer, everybody is asked again up to Options.Rounds times.
// Errors: ErrLost, ErrUnreachable, ErrDamaged (proofs are right, but check refuses: the pack was made wrong), or that of ctx.
func (p *Pool) ReadRange(ctx context.Context, pack *model.Pack, off int64, dst []byte, check func([]byte) error) error {
	if err := validate(pack, off, int64(len(dst))); err != nil {
		return err
	}
	if len(dst) == 0 {
		return nil
	}
	segs := split(pack, off, dst)
	if check != nil {
		if err := p.fill(ctx, pack, segs, false); err != nil {
			return fmt.Errorf("read pack %s: %w", pack.ID, err)
		}
		err := check(dst)
		if err == nil {
			return nil
		}
		p.opt.Logger.Warn("bytes from providers don't authenticate; asking with proofs", "pack", pack.ID, "err", err)
	}
	if err := p.fill(ctx, pack, segs, true); err != nil {
		return fmt.Errorf("read pack %s with proofs: %w", pack.ID, err)
	}
	if check == nil {
		return nil
	}
	if err := check(dst); err != nil {
		return fmt.Errorf("open pack %s: %w: its shards are right, but %w", pack.ID, ErrDamaged, err)
	}
	return nil
}

// ReadShard returns one whole shard, verified by its id; rebuilt from others when its provider doesn't give it.
func (p *Pool) ReadShard(ctx context.Context, pack *model.Pack, i int) ([]byte, error) {
	out, err := p.ReadShards(ctx, pack, []int{i})
	if err != nil {
		return nil, err
	}
	return out[0], nil
}

// ReadShards returns whole shards (data or parity), each verified by its id, in the order of want. Those that can't be had are
// rebuilt from k others, which are asked only once for all of want. It holds len(want)+k shards in memory.
func (p *Pool) ReadShards(ctx context.Context, pack *model.Pack, want []int) ([][]byte, error) {
	if err := validate(pack, 0, 0); err != nil {
		return nil, err
	}
	out := make([][]byte, len(want))
	segs := make([]segment, len(want))
	for n, i := range want {
		if i < 0 || i >= len(pack.Shards) {
			return nil, fmt.Errorf("read shard %d of pack %s: it has %d", i, pack.ID, len(pack.Shards))
		}
		out[n] = make([]byte, pack.ShardLen)
		segs[n] = segment{shard: i, dst: out[n]}
	}
	if err := p.fill(ctx, pack, segs, true); err != nil {
		return nil, fmt.Errorf("read shards %v of pack %s: %w", want, pack.ID, err)
	}
	for n, i := range want {
		if merkle.Root(out[n]) != pack.Shards[i].ID {
			return nil, fmt.Errorf("rebuild shard %d of pack %s: %w", i, pack.ID, ErrDamaged)
		}
	}
	return out, nil
}

// CheckShard asks a shard's own provider for all of it and compares it with its id; nobody else is asked and nothing rebuilt. Nil: it is
// good. ErrNotFound and ErrDamaged: it is bad. Anything else: it could not be asked.
func (p *Pool) CheckShard(ctx context.Context, pack *model.Pack, i int) error {
	if err := validate(pack, 0, 0); err != nil {
		return err
	}
	if i < 0 || i >= len(pack.Shards) {
		return fmt.Errorf("check shard %d of pack %s: it has %d", i, pack.ID, len(pack.Shards))
	}
	sh := &pack.Shards[i]
	m := p.member(sh.Lease)
	if m == nil {
		return fmt.Errorf("check shard %d of pack %s: lease %s: %w", i, pack.ID, sh.Lease, ErrNoLease)
	}
	buf := make([]byte, pack.ShardLen)
	err := m.do(ctx, pack.ShardLen, func(ctx context.Context, s Shards) error {
		return s.Get(ctx, sh.ID, 0, buf, pack.ShardLen, true)
	})
	if err != nil {
		return fmt.Errorf("check shard %d of pack %s: %w", i, pack.ID, err)
	}
	return nil
}

func validate(pack *model.Pack, off, n int64) error {
	switch {
	case pack.K < 1 || pack.M < 0 || len(pack.Shards) != pack.K+pack.M || pack.ShardLen < 1:
		return fmt.Errorf("pack %s has a wrong record: %d+%d, %d shards of %d bytes", pack.ID, pack.K, pack.M, len(pack.Shards), pack.ShardLen)
	case off < 0 || n < 0 || off > pack.Size()-n:
		return fmt.Errorf("read pack %s: bytes %d to %d of %d", pack.ID, off, off+n, pack.Size())
	}
	return nil
}

// segment is a byte range of one shard that is wanted in dst.
type segment struct {
	shard int
	off   int64
	dst   []byte
}

func (s *segment) end() int64 { return s.off + int64(len(s.dst)) }

// split cuts a range of the age file at the borders of the data shards.
func split(pack *model.Pack, off int64, dst []byte) []segment {
	var segs []segment
	for len(dst) > 0 {
		s := segment{shard: int(off / pack.ShardLen), off: off % pack.ShardLen}
		n := min(int64(len(dst)), pack.ShardLen-s.off)
		s.dst, dst = dst[:n], dst[n:]
		segs = append(segs, s)
		off += n
	}
	return segs
}

// fill fills all segments, in several rounds while too few providers answer.
func (p *Pool) fill(ctx context.Context, pack *model.Pack, segs []segment, verify bool) error {
	p.hedges.earn()
	for round := 1; ; round++ {
		err := p.fillOnce(ctx, pack, segs, verify)
		if err == nil || ctx.Err() != nil || !errors.Is(err, ErrUnreachable) || round >= p.opt.Rounds {
			return err
		}
		if p.sleep(ctx, p.backoff(firstRound, longestRound, round)) != nil {
			return err
		}
	}
}

func (p *Pool) fillOnce(ctx context.Context, pack *model.Pack, segs []segment, verify bool) error {
	// The end of one shard and the beginning of the next have no range in common: what helps to rebuild one is of no use to the other.
	if len(segs) == 2 && (segs[0].end() <= segs[1].off || segs[1].end() <= segs[0].off) {
		g, gctx := errgroup.WithContext(ctx)
		for i := range segs {
			g.Go(func() error { return newStripe(gctx, p, pack, segs[i:i+1], verify).run() })
		}
		return g.Wait()
	}
	return newStripe(ctx, p, pack, segs, verify).run()
}
