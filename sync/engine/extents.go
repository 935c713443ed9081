package engine

import (
	"fmt"

	"github.com/cloudcoin/cloudcoin/sync/index"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// extentsAt lists the extents of an inode as of a revision, without holes, up to size.
func extentsAt(x *index.Index, ino model.Ino, rev model.Rev, size int64) ([]model.Extent, error) {
	if rev == 0 || size == 0 {
		return nil, nil
	}
	var out []model.Extent
	err := x.At(rev).Extents(ino, 0, size, func(e model.Extent) bool {
		if !e.IsHole() && e.Len > 0 {
			out = append(out, e)
		}
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("extents of inode %d as of %d: %w", ino, rev, err)
	}
	return out, nil
}

// overlay lays changes (sorted, disjoint, holes explicit) over base (sorted, disjoint, without holes) and cuts at size.
// The answer has no holes: what it doesn't name is zeros.
func overlay(base, changes []model.Extent, size int64) []model.Extent {
	var out []model.Extent
	under, over := walker{list: base}, walker{list: changes}
	for pos := int64(0); pos < size; {
		e, end := over.at(pos)
		if e.Len == 0 { // no change here
			var below int64
			e, below = under.at(pos)
			end = min(end, below)
		}
		end = min(end, size)
		if !e.IsHole() {
			out = append(out, part(e, pos, end))
		}
		pos = end
	}
	return out
}

// part is the piece of an extent from one file offset to another.
func part(e model.Extent, from, to int64) model.Extent {
	if !e.IsHole() {
		e.Skip += from - e.Off
	}
	e.Off, e.Len = from, to-from
	return e
}

// difference lists what must be written over cur so that it becomes want (both sorted, disjoint, without holes): runs of extents with
// holes explicit, each run without gaps.
func difference(cur, want []model.Extent) [][]model.Extent {
	var runs [][]model.Extent
	emit := func(e model.Extent) {
		if n := len(runs); n > 0 {
			last := &runs[n-1][len(runs[n-1])-1]
			if last.Off+last.Len == e.Off {
				if continues(*last, e) {
					last.Len += e.Len
				} else {
					runs[n-1] = append(runs[n-1], e)
				}
				return
			}
		}
		runs = append(runs, []model.Extent{e})
	}
	c, w := walker{list: cur}, walker{list: want}
	for pos := int64(0); ; {
		a, aend := c.at(pos)
		b, bend := w.at(pos)
		end := min(aend, bend)
		if end == maxSize {
			return runs
		}
		if !same(a, b, pos) {
			emit(part(b, pos, end))
		}
		pos = end
	}
}

// walker gives the extent at increasing offsets (of length 0 where there is none), and where it or the gap ends.
type walker struct {
	list []model.Extent
	i    int
}

func (w *walker) at(pos int64) (model.Extent, int64) {
	for w.i < len(w.list) && w.list[w.i].Off+w.list[w.i].Len <= pos {
		w.i++
	}
	switch {
	case w.i == len(w.list):
		return model.Extent{Off: pos}, maxSize
	case w.list[w.i].Off > pos:
		return model.Extent{Off: pos}, w.list[w.i].Off
	}
	e := w.list[w.i]
	return e, e.Off + e.Len
}

// same tells whether two extents mean the same bytes at pos.
func same(a, b model.Extent, pos int64) bool {
	if a.Chunk != b.Chunk {
		return false
	}
	return a.IsHole() || a.Skip+pos-a.Off == b.Skip+pos-b.Off
}

// continues tells whether b is the next piece of what a is a piece of.
func continues(a, b model.Extent) bool {
	if a.Chunk != b.Chunk {
		return false
	}
	return a.IsHole() || a.Skip+a.Len == b.Skip
}
