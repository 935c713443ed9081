package stage

import (
	"math"
	"math/bits"
	"sort"
)

// BlockSize is the unit in which layer files know what they hold.
const BlockSize = 4096

const (
	leafWords  = 64
	leafBlocks = leafWords * 64 // blocks of one leaf: 16 MiB of a file
	maxBlock   = math.MaxInt64 / BlockSize
)

// leaf is the part of a blockset for leafBlocks consecutive blocks.
type leaf [leafWords]uint64

// blockset is a sparse set of block numbers: memory follows the number of 16 MiB stretches that have a block in it.
// It is not safe for concurrent use.
type blockset struct {
	leaves map[int64]*leaf
	order  []int64 // keys of leaves, sorted
	n      int64   // blocks in the set
}

func (s *blockset) empty() bool { return s.n == 0 }

func (s *blockset) clear() { *s = blockset{} }

func (s *blockset) has(b int64) bool {
	l := s.leaves[b/leafBlocks]
	return l != nil && l[b%leafBlocks/64]&(1<<uint(b%64)) != 0
}

// leafAt gives the leaf of number k, making it when it is missing.
func (s *blockset) leafAt(k int64) *leaf {
	if l := s.leaves[k]; l != nil {
		return l
	}
	if s.leaves == nil {
		s.leaves = make(map[int64]*leaf)
	}
	l := new(leaf)
	s.leaves[k] = l
	i := sort.Search(len(s.order), func(i int) bool { return s.order[i] >= k })
	s.order = append(s.order, 0)
	copy(s.order[i+1:], s.order[i:])
	s.order[i] = k
	return l
}

func (s *blockset) dropLeaf(k int64) {
	delete(s.leaves, k)
	i := sort.Search(len(s.order), func(i int) bool { return s.order[i] >= k })
	s.order = append(s.order[:i], s.order[i+1:]...)
}

// mask has the bits of word w (of 64 blocks, counted inside a leaf) that lie in [from, to), both counted inside the leaf.
func mask(w, from, to int64) uint64 {
	m := ^uint64(0)
	if from > w*64 {
		m <<= uint(from - w*64)
	}
	if to < (w+1)*64 {
		m &= 1<<uint(to-w*64) - 1
	}
	return m
}

// add puts the blocks [from, to) into the set and tells how many are new.
func (s *blockset) add(from, to int64) (added int64) {
	for from < to {
		k := from / leafBlocks
		end := min(to, (k+1)*leafBlocks)
		l := s.leafAt(k)
		a, b := from-k*leafBlocks, end-k*leafBlocks
		for w := a / 64; w*64 < b; w++ {
			m := mask(w, a, b)
			added += int64(bits.OnesCount64(m &^ l[w]))
			l[w] |= m
		}
		from = end
	}
	s.n += added
	return added
}

// remove takes the blocks [from, to) out of the set and tells how many were in it.
func (s *blockset) remove(from, to int64) (removed int64) {
	i := sort.Search(len(s.order), func(i int) bool { return s.order[i] >= from/leafBlocks })
	for i < len(s.order) && s.order[i]*leafBlocks < to {
		k := s.order[i]
		a, b := max(from-k*leafBlocks, 0), min(to-k*leafBlocks, leafBlocks)
		l := s.leaves[k]
		left := false
		for w := int64(0); w < leafWords; w++ {
			if w*64 < b && (w+1)*64 > a {
				m := mask(w, a, b)
				removed += int64(bits.OnesCount64(m & l[w]))
				l[w] &^= m
			}
			left = left || l[w] != 0
		}
		if left {
			i++
			continue
		}
		s.dropLeaf(k)
	}
	s.n -= removed
	return removed
}

// count tells how many of the blocks [from, to) are in the set.
func (s *blockset) count(from, to int64) (n int64) {
	s.runs(from, to, func(a, b int64) bool { n += b - a; return true })
	return n
}

// next is the first block at or after b that is in the set (want) or isn't (!want); limit when there is none before it.
func (s *blockset) next(b, limit int64, want bool) int64 {
	for b < limit {
		k := b / leafBlocks
		l := s.leaves[k]
		if l == nil {
			if !want {
				return b
			}
			i := sort.Search(len(s.order), func(i int) bool { return s.order[i] > k })
			if i == len(s.order) {
				return limit
			}
			b = s.order[i] * leafBlocks
			continue
		}
		for w := b % leafBlocks / 64; w < leafWords && b < limit; w++ {
			v := l[w]
			if !want {
				v = ^v
			}
			v &= ^uint64(0) << uint(b%64)
			if v != 0 {
				return min(k*leafBlocks+w*64+int64(bits.TrailingZeros64(v)), limit)
			}
			b = k*leafBlocks + (w+1)*64
		}
	}
	return limit
}

// runs calls fn for each run of blocks of the set inside [from, to), in order, until it answers false.
func (s *blockset) runs(from, to int64, fn func(a, b int64) bool) {
	for from < to {
		a := s.next(from, to, true)
		if a >= to {
			return
		}
		from = s.next(a, to, false)
		if !fn(a, from) {
			return
		}
	}
}

// last is the highest block of the set, -1 when it is empty.
func (s *blockset) last() int64 {
	if len(s.order) == 0 {
		return -1
	}
	k := s.order[len(s.order)-1]
	l := s.leaves[k]
	for w := int64(leafWords - 1); w >= 0; w-- {
		if l[w] != 0 {
			return k*leafBlocks + w*64 + 63 - int64(bits.LeadingZeros64(l[w]))
		}
	}
	return -1
}

func blockFloor(off int64) int64 { return off &^ (BlockSize - 1) }

// blockCeil rounds up to a block; it does not run over at the end of the numbers.
func blockCeil(off int64) int64 {
	if off > math.MaxInt64-BlockSize {
		return math.MaxInt64 &^ (BlockSize - 1)
	}
	return (off + BlockSize - 1) &^ (BlockSize - 1)
}
