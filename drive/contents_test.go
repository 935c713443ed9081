package drive

import (
	"math"
	"testing"
)

// chunks is a base of whole megabytes: data up to end, and a hole where it says so. It counts what it is asked.
type chunks struct {
	end, holeFrom, holeTo int64
	asked                 int
}

func (c *chunks) hole(off int64) bool { return off >= c.end || c.holeFrom <= off && off < c.holeTo }

func (c *chunks) NextData(off int64) (int64, error) { return c.look(off, false), nil }
func (c *chunks) NextHole(off int64) (int64, error) { return c.look(off, true), nil }

func (c *chunks) look(off int64, hole bool) int64 {
	c.asked++
	for _, at := range []int64{off, c.holeFrom, c.holeTo, c.end} {
		if at >= off && c.hole(at) == hole {
			return at
		}
	}
	return math.MaxInt64
}

// naive is next, byte by byte of a block of 4 KiB.
func (s *snapshot) naive(c *chunks, off int64, hole bool) bool {
	for _, r := range s.dirty {
		if r.off <= off && off < r.end {
			return r.hole == hole
		}
	}
	return c.hole(off) == hole
}

func TestHolesOfAFileWithManyWrites(t *testing.T) {
	const block, blocks = 4096, 4000
	c := &chunks{end: blocks * block, holeFrom: 1000 * block, holeTo: 1100 * block}
	s := &snapshot{base: c, size: c.end}
	for b := int64(1); b < blocks; b += 3 {
		s.dirty = append(s.dirty, dirtyRun{b * block, (b + 1) * block, b%7 == 0})
	}
	for _, hole := range []bool{true, false} {
		for b := int64(0); b < blocks; b++ {
			want := b
			for want < blocks && !s.naive(c, want*block, hole) {
				want++
			}
			got, err := s.next(b*block, hole)
			if err != nil {
				t.Fatal(err)
			}
			again, err := s.under(b*block, hole)
			if fresh := c.look(b*block, hole); err != nil || again != fresh {
				t.Fatalf("base from block %d, hole %v: %d, %v, want %d", b, hole, again, err, fresh)
			}
			if min(got, c.end) != want*block {
				t.Fatalf("from block %d, hole %v: block %d, want %d", b, hole, got/block, want)
			}
		}
	}
	c.asked = 0
	for _, r := range s.dirty {
		if _, err := s.under(r.end, true); err != nil {
			t.Fatal(err)
		}
	}
	if c.asked > 50 { // each run inside the hole asks, and is answered at once
		t.Fatalf("the base was asked %d times for %d runs", c.asked, len(s.dirty))
	}
}
