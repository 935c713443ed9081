package transfer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cloudcoin/cloudcoin/sync/erasure"
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

// coming is a shard's own piece if that is there or expected: then only the rest of lo..hi has to be asked for.
func (s *stripe) coming(shard int) *piece {
	for _, pc := range s.own {
		if pc.shard == shard && (pc.state == pieceOK || pc.state == pieceRunning) {
			return pc
		}
	}
	return nil
}

// needSpare tells whether buffers for other shards' pieces may be made, and asks for them once, for all that this stripe can need, so that
// no two stripes wait for each other.
func (s *stripe) needSpare() bool {
	switch s.spare {
	case spareHeld:
		return true
	case spareAsked:
		return false
	}
	if s.pool.spare.TryAcquire(s.spareLen) {
		s.spare = spareHeld
		return true
	}
	s.spare = spareAsked
	granted := make(chan error, 1)
	s.granted = granted
	go func() { granted <- s.pool.spare.Acquire(s.ctx, s.spareLen) }()
	return false
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

// rebuild computes the segments that aren't there from k pieces. Requests that are still under way are ended first: they write to the same memory.
func (s *stripe) rebuild() error {
	s.won = true
	s.drain()
	left := make([]int, 0, len(s.segs))
	for i := range s.segs {
		if !s.filled(i) {
			left = append(left, i)
		}
	}
	for len(left) > 0 { // those of one range at a time
		off, end := s.segs[left[0]].off, s.segs[left[0]].end()
		same, others := left[:0:0], left[:0:0]
		for _, i := range left {
			if s.segs[i].off == off && s.segs[i].end() == end {
				same = append(same, i)
			} else {
				others = append(others, i)
			}
		}
		if err := s.rebuildRange(same, off, end); err != nil {
			return err
		}
		left = others
	}
	return nil
}

// rebuildRange computes the segments which (indexes), which all are the range off..end of their shards.
func (s *stripe) rebuildRange(which []int, off, end int64) error {
	shards := make([][]byte, len(s.pack.Shards))
	have := 0
	for i, pc := range s.full {
		if pc.state == pieceOK && have < s.pack.K {
			shards[i] = pc.buf[off-s.lo : end-s.lo]
			have++
		}
	}
	want := make([]int, len(which))
	for n, i := range which {
		g := &s.segs[i]
		want[n] = g.shard
		shards[g.shard] = g.dst[:0:len(g.dst)] // computed in place
	}
	if err := erasure.Reconstruct(shards, s.pack.K, s.pack.M, want); err != nil {
		return fmt.Errorf("rebuild shards %v: %w", want, err)
	}
	for _, i := range which {
		g := &s.segs[i]
		if &shards[g.shard][0] != &g.dst[0] {
			copy(g.dst, shards[g.shard])
		}
	}
	return nil
}

// drain ends all requests and waits for them; who was late is noted.
func (s *stripe) drain() {
	s.cancel()
	for s.running > 0 {
		pc := <-s.done
		late := pc.state == pieceLate && s.won
		s.running--
		if pc.err == nil {
			pc.state = pieceOK
			if pc.own != nil {
				pc.state = pieceJoin // not needed any more
			}
			continue
		}
		pc.state = pieceFailed
		if m := s.pool.member(s.pack.Shards[pc.shard].Lease); late && m != nil && errors.Is(pc.err, context.Canceled) {
			m.overtaken(int64(len(pc.buf)), s.pool.opt.Clock.Now().Sub(pc.started))
		}
	}
}

func (s *stripe) finish() {
	s.stop()
	s.drain()
	s.pool.spares.put(s.borrowed)
	switch s.spare {
	case spareHeld:
		s.pool.spare.Release(s.spareLen)
	case spareAsked:
		if s.granted != nil && <-s.granted == nil {
			s.pool.spare.Release(s.spareLen)
		}
	}
}

// failure tells why no k pieces can be had.
func (s *stripe) failure() error {
	lost := 0
	all := make([]error, 0, len(s.errs))
	for i := range s.pack.Shards {
		if err := s.errs[i]; err != nil {
			all = append(all, fmt.Errorf("shard %d: %w", i, err))
			if certain(err) {
				lost++
			}
		}
	}
	why := ErrUnreachable
	if len(s.pack.Shards)-lost < s.pack.K {
		why = ErrLost
	}
	return &ReadError{Why: why, Need: s.pack.K, Shards: len(s.pack.Shards), Causes: all}
}

// ReadError tells why a range couldn't be read: Why is ErrLost or ErrUnreachable, Causes what each shard's provider answered.
type ReadError struct {
	Why          error
	Need, Shards int
	Causes       []error
}

func (e *ReadError) Error() string {
	return fmt.Sprintf("%v: %d of %d are needed (%v)", e.Why, e.Need, e.Shards, errors.Join(e.Causes...))
}

// Unwrap gives Why only: a cause of one shard isn't the cause of the whole.
func (e *ReadError) Unwrap() error { return e.Why }
