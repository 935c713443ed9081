package stage

import (
	"errors"
	"slices"
)

// sparseFactor is how much more room pinned segments of the journal may take than the small contents in them, before these are moved.
const sparseFactor = 3

// moveForward rewrites the few dirty small contents that keep old segments of the journal pinned, when such segments take much room. What is
// clean in them can then be evicted, and the segments be recycled.
func (s *Stage) moveForward() error {
	size := make(map[uint64]int64)
	newest := uint64(0)
	for _, seg := range s.j.Segments() {
		size[seg.Number] = seg.Bytes
		newest = max(newest, seg.Number)
	}
	var room, live int64
	var sparse []uint64
	for no, sh := range s.segs.all() {
		if no == newest {
			continue
		}
		room += size[no]
		live += sh.bytes
		if sh.bytes*sparseFactor < size[no] {
			sparse = append(sparse, no)
		}
	}
	if len(sparse) < 2 || room < live*sparseFactor {
		return nil
	}
	slices.Sort(sparse)
	var failed error
	err := s.eachDirty(func(n *node) bool {
		if n.detached {
			return true
		}
		for _, l := range n.layers {
			if l.inline && !l.clean && slices.ContainsFunc(l.pieces, func(p piece) bool {
				_, old := slices.BinarySearch(sparse, p.ref.Segment)
				return old && !p.zero
			}) {
				if err := n.compact(l); err != nil && !isGone(err) {
					failed = err
					return false
				}
			}
		}
		return true
	})
	return errors.Join(err, failed)
}
