package transfer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

// piece is one request for a byte range of a shard.
type piece struct {
	shard    int
	off      int64
	buf      []byte
	own      *piece // the part of buf that comes from the shard's own piece, which is asked for anyway; nil: all of buf is asked for
	state    pieceState
	err      error
	started  time.Time
	patience time.Duration
}

type pieceState uint8

const (
	pieceIdle pieceState = iota
	pieceRunning
	pieceLate // running, and others are asked meanwhile
	pieceJoin // there, but for the part that own brings
	pieceOK
	pieceFailed
)

// coming is a shard's own piece if that is there or expected: then only the rest of lo..hi has to be asked for.
func (s *stripe) coming(shard int) *piece {
	for _, pc := range s.own {
		if pc.shard == shard && (pc.state == pieceOK || pc.state == pieceRunning) {
			return pc
		}
	}
	return nil
}

func (s *stripe) start(pc *piece) {
	sh := &s.pack.Shards[pc.shard]
	pc.state, pc.started = pieceRunning, s.pool.opt.Clock.Now()
	s.running++
	m := s.pool.member(sh.Lease)
	if m == nil {
		pc.err = fmt.Errorf("lease %s: %w", sh.Lease, ErrNoLease)
		s.done <- pc
		return
	}
	asked := pc.asked()
	n := int64(0)
	for _, g := range asked {
		n += int64(len(g.dst))
	}
	pc.patience = m.patience(n)
	go func() {
		for _, g := range asked {
			if pc.err = m.do(s.ctx, int64(len(g.dst)), func(ctx context.Context, c Shards) error {
				return c.Get(ctx, sh.ID, g.off, g.dst, s.pack.ShardLen, s.verify)
			}); pc.err != nil {
				break
			}
		}
		s.done <- pc
	}()
}

// asked is what a piece asks for: all of it, or what lies before and behind its own piece.
func (pc *piece) asked() []segment {
	if pc.own == nil {
		return []segment{{shard: pc.shard, off: pc.off, dst: pc.buf}}
	}
	var out []segment
	before, behind := pc.own.off-pc.off, pc.own.off+int64(len(pc.own.buf))-pc.off
	if before > 0 {
		out = append(out, segment{shard: pc.shard, off: pc.off, dst: pc.buf[:before]})
	}
	if behind < int64(len(pc.buf)) {
		out = append(out, segment{shard: pc.shard, off: pc.off + behind, dst: pc.buf[behind:]})
	}
	return out
}

// join completes pieces whose own part has come, or has not.
func (s *stripe) join() {
	for _, pc := range s.full {
		if pc.state != pieceJoin {
			continue
		}
		switch pc.own.state {
		case pieceOK:
			copy(pc.buf[pc.own.off-pc.off:], pc.own.buf)
			pc.state = pieceOK
		case pieceFailed:
			pc.state, pc.err = pieceFailed, pc.own.err
		}
	}
}

// ended notes how a request ended.
func (s *stripe) ended(pc *piece) {
	s.running--
	defer s.join()
	if pc.err == nil {
		pc.state = pieceOK
		if pc.own != nil {
			pc.state = pieceJoin
		}
		return
	}
	pc.state = pieceFailed
	s.errs[pc.shard] = pc.err
	if certain(pc.err) && s.pack.Shards[pc.shard].State != model.ShardBad {
		s.pool.reportBad(s.pack.ID, pc.shard, pc.err)
	}
}

// certain tells whether asking again is in vain.
func certain(err error) bool { return errors.Is(err, ErrNotFound) || errors.Is(err, ErrDamaged) }

// arm sets the timer to the moment at which the next running piece becomes late.
func (s *stripe) arm() {
	s.stop()
	s.wake, s.stop = nil, func() {}
	var first time.Time
	for pc := range s.pieces() {
		if pc.state == pieceRunning {
			if at := pc.started.Add(pc.patience); first.IsZero() || at.Before(first) {
				first = at
			}
		}
	}
	if !first.IsZero() {
		s.wake, s.stop = s.pool.opt.Clock.Timer(max(first.Sub(s.pool.opt.Clock.Now()), 0))
	}
}

// markLate makes pieces late whose patience is over. When too much was asked twice lately, patience is doubled instead, twice at most.
func (s *stripe) markLate() {
	now := s.pool.opt.Clock.Now()
	for pc := range s.pieces() {
		if pc.state != pieceRunning || now.Before(pc.started.Add(pc.patience)) {
			continue
		}
		base := s.pool.opt.Clock.Now().Sub(pc.started)
		if !s.pool.hedges.spend() && base < 2*patienceLimit {
			pc.patience *= 2
			continue
		}
		pc.state = pieceLate
	}
}

// pieces yields each piece once.
func (s *stripe) pieces() func(yield func(*piece) bool) {
	return func(yield func(*piece) bool) {
		for _, pc := range s.own {
			if !yield(pc) {
				return
			}
		}
		for _, pc := range s.full {
			if !slices.Contains(s.own, pc) && !yield(pc) {
				return
			}
		}
	}
}
