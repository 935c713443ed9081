package transfer

import (
	"context"
	"errors"
	"fmt"

	"github.com/cloudcoin/cloudcoin/sync/erasure"
)

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
