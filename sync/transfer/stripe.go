package transfer

import (
	"context"
	"slices"
	"time"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

// stripe gets segments of one pack that lie under each other: what is fetched of one shard helps to rebuild the others. One goroutine (run)
// decides, one for each request in flight asks; run returns only when all of them have ended, so nothing writes to dst afterwards.
//
// Each segment is asked of the shard that holds it (its own piece). When that fails, is known to be in vain or lets wait for longer than
// its lease's patience, the segment is *short*: then the range lo..hi of the best other shards is asked for until k pieces are there or expected. A
// piece that is late goes on; whoever is first wins.
type stripe struct {
	ctx    context.Context
	cancel context.CancelFunc
	pool   *Pool
	pack   *model.Pack
	verify bool
	segs   []segment
	lo, hi int64 // the range that pieces for rebuilding cover: all segments'

	own  []*piece         // of each segment
	full map[int]*piece   // by shard, of lo..hi; the same piece as own when that covers it
	rank []int            // shards, best first
	errs map[int]error    // by shard
	done chan *piece      // requests that ended
	wake <-chan time.Time // when the next piece becomes late
	stop func()           // frees wake

	running  int
	won      bool // everything is there: who is still asked was overtaken
	spare    spareState
	spareLen int64
	borrowed [][]byte   // buffers of other shards' pieces
	granted  chan error // spare was granted
}

type spareState uint8

const (
	spareNone spareState = iota
	spareAsked
	spareHeld
)

func newStripe(ctx context.Context, p *Pool, pack *model.Pack, segs []segment, verify bool) *stripe {
	s := &stripe{
		pool: p, pack: pack, verify: verify, segs: segs, lo: segs[0].off, hi: segs[0].end(),
		full: map[int]*piece{}, errs: map[int]error{}, done: make(chan *piece, len(segs)+len(pack.Shards)), stop: func() {},
	}
	s.ctx, s.cancel = context.WithCancel(ctx)
	for _, g := range segs {
		s.lo, s.hi = min(s.lo, g.off), max(s.hi, g.end())
	}
	for _, g := range segs {
		pc := &piece{shard: g.shard, off: g.off, buf: g.dst}
		s.own = append(s.own, pc)
		if g.off == s.lo && g.end() == s.hi {
			s.full[g.shard] = pc
		}
	}
	s.rank = p.rank(pack, s.hi-s.lo)
	s.spareLen = min(p.opt.Spare, int64(len(pack.Shards)-len(s.full))*(s.hi-s.lo))
	return s
}

// class orders shards by what is known of them: 0 good, 1 suspect, 2 its lease doesn't answer, 3 bad. From 2 on others are asked first.
func (p *Pool) class(pack *model.Pack, i int) int {
	m := p.member(pack.Shards[i].Lease)
	switch {
	case m == nil || pack.Shards[i].State == model.ShardBad:
		return 3
	case m.isOpen():
		return 2
	case pack.Shards[i].State == model.ShardSuspect:
		return 1
	}
	return 0
}

// rank lists all shards, the best to ask first.
func (p *Pool) rank(pack *model.Pack, n int64) []int {
	type entry struct {
		shard, class int
		expect       time.Duration
	}
	all := make([]entry, len(pack.Shards))
	for i := range all {
		all[i] = entry{shard: i, class: p.class(pack, i)}
		if m := p.member(pack.Shards[i].Lease); m != nil {
			all[i].expect = m.expect(n)
		}
	}
	slices.SortStableFunc(all, func(a, b entry) int {
		if a.class != b.class {
			return a.class - b.class
		}
		return int(a.expect - b.expect)
	})
	out := make([]int, len(all))
	for i, e := range all {
		out[i] = e.shard
	}
	return out
}

// run returns nil when all segments are filled.
func (s *stripe) run() error {
	defer s.finish()
	for _, pc := range s.own {
		if s.pool.class(s.pack, pc.shard) < 2 {
			s.start(pc)
		}
	}
	for {
		switch over, err := s.settle(); {
		case err != nil:
			return err
		case over:
			s.won = true
			return nil
		}
		s.arm()
		select {
		case pc := <-s.done:
			s.ended(pc)
		case <-s.wake:
			s.markLate()
		case err := <-s.granted:
			s.granted = nil
			if err != nil {
				return err
			}
			s.spare = spareHeld
		case <-s.ctx.Done():
			return context.Cause(s.ctx)
		}
	}
}

// settle looks at what is there: over when all segments are filled or could be rebuilt; else it asks whom it takes.
func (s *stripe) settle() (over bool, err error) {
	short, open := 0, 0 // segments that won't come by themselves; that aren't there
	for i, pc := range s.own {
		if s.filled(i) {
			continue
		}
		open++
		if pc.state != pieceRunning {
			short++
		}
	}
	if open == 0 {
		return true, nil
	}
	if short == 0 {
		return false, nil
	}
	have, expected := s.countFull()
	if have >= s.pack.K && short == open {
		return true, s.rebuild()
	}
	for ; have+expected < s.pack.K; expected++ {
		next := s.next()
		if next == nil {
			break
		}
		if next.buf == nil {
			if !s.needSpare() {
				return false, nil // goes on when it is granted
			}
			next.buf = s.pool.spares.get(s.hi - s.lo)
			s.borrowed = append(s.borrowed, next.buf)
		}
		s.start(next)
	}
	if have+expected < s.pack.K && s.running == 0 {
		return false, s.failure()
	}
	return false, nil
}

// filled tells whether segment i is there, taking it out of the shard's full piece if that came instead.
func (s *stripe) filled(i int) bool {
	pc := s.own[i]
	if pc.state == pieceOK {
		return true
	}
	full := s.full[pc.shard]
	if full == nil || full.state != pieceOK || pc.state == pieceRunning || pc.state == pieceLate {
		return false
	}
	copy(pc.buf, full.buf[pc.off-s.lo:])
	pc.state = pieceOK
	return true
}

func (s *stripe) countFull() (have, expected int) {
	for _, pc := range s.full {
		switch pc.state {
		case pieceOK:
			have++
		case pieceRunning, pieceJoin:
			if pc.own == nil || pc.own.state == pieceOK || pc.own.state == pieceRunning {
				expected++
			}
		}
	}
	return have, expected
}

// next is the best piece that wasn't asked for yet; nil when all were.
func (s *stripe) next() *piece {
	for _, i := range s.rank {
		pc := s.full[i]
		if pc == nil {
			pc = &piece{shard: i, off: s.lo, own: s.coming(i)}
			s.full[i] = pc
		}
		if pc.state == pieceIdle {
			return pc
		}
	}
	return nil
}
