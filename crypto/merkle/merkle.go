package merkle

import (
	"crypto/sha256"
	"hash"
	"math/bits"
)

// LeafSize is the number of bytes in every leaf but the last.
const LeafSize = 4096

// Hash is the hash of a subtree; the hash of the whole tree is a shard's id.
type Hash = [32]byte

const (
	leafPrefix = 0
	nodePrefix = 1
)

// Root is the tree hash of b.
func Root(b []byte) Hash {
	var h Hasher
	h.Write(b)
	return h.Sum()
}

// Leaves is the number of leaves of size bytes.
func Leaves(size int64) int64 {
	return size/LeafSize + (size%LeafSize+LeafSize-1)/LeafSize
}

// Hasher computes the tree hash of what is written to it. The zero value is ready.
type Hasher struct {
	size    int64 // bytes written
	partial int   // bytes of the unfinished leaf, which went into sha already
	leaves  int64 // finished leaves
	stack   []Hash
	sha     hash.Hash
	prefix  [1]byte
	scratch Hash

	keep    bool
	level   int
	outline []Hash
}

// NewHasher returns an empty hasher.
func NewHasher() *Hasher { return new(Hasher) }

// KeepLevel makes the hasher remember the hash of each subtree of 2^level leaves (level 0 to 20), for [Hasher.Outline].
// It is called before the first Write and lasts until Reset.
func (h *Hasher) KeepLevel(level int) {
	if h.size != 0 || level < 0 || level > maxLevel {
		panic("merkle: KeepLevel after a write, or level out of range")
	}
	h.keep, h.level = true, level
}

// Write adds bytes. It never fails.
func (h *Hasher) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if h.partial == 0 {
			h.begin(leafPrefix)
		}
		take := min(LeafSize-h.partial, len(p))
		h.sha.Write(p[:take])
		h.partial += take
		h.size += int64(take)
		p = p[take:]
		if h.partial == LeafSize {
			h.partial = 0
			h.push(h.finish())
		}
	}
	return n, nil
}

// begin starts the hash of a leaf or node.
func (h *Hasher) begin(prefix byte) {
	if h.sha == nil {
		h.sha = sha256.New()
	} else {
		h.sha.Reset()
	}
	h.prefix[0] = prefix
	h.sha.Write(h.prefix[:])
}

func (h *Hasher) finish() Hash {
	h.sha.Sum(h.scratch[:0])
	return h.scratch
}

// node hashes two subtrees. The fields are used so that nothing is allocated for the calls through hash.Hash.
func (h *Hasher) node(left, right *Hash) Hash {
	h.begin(nodePrefix)
	h.sha.Write(left[:])
	h.sha.Write(right[:])
	return h.finish()
}

// push adds the hash of a whole leaf. The stack holds one perfect subtree for each bit that is set in leaves, the largest first.
func (h *Hasher) push(leaf Hash) {
	h.stack = append(h.stack, leaf)
	if h.keep && h.level == 0 {
		h.outline = append(h.outline, leaf)
	}
	height := 0
	for n := h.leaves; n&1 == 1; n >>= 1 {
		top := len(h.stack)
		h.stack[top-2] = h.node(&h.stack[top-2], &h.stack[top-1])
		h.stack = h.stack[:top-1]
		height++
		if h.keep && height == h.level {
			h.outline = append(h.outline, h.stack[top-2])
		}
	}
	h.leaves++
}

// Sum is the tree hash of all that was written so far. More may be written afterwards.
func (h *Hasher) Sum() Hash {
	if h.size == 0 {
		return sha256.Sum256(nil)
	}
	return h.fold(0)
}

// fold joins the subtrees of the stack from index from on, and the unfinished leaf, from right to left.
func (h *Hasher) fold(from int) Hash {
	stack := h.stack[from:]
	var acc Hash
	if h.partial > 0 {
		h.sha.Sum(h.scratch[:0])
		acc = h.scratch
		if len(stack) == 0 {
			return acc
		}
		// node() uses the state of the unfinished leaf, so another hasher joins.
		return new(Hasher).join(stack, acc)
	}
	acc = stack[len(stack)-1]
	return h.join(stack[:len(stack)-1], acc)
}

func (h *Hasher) join(stack []Hash, acc Hash) Hash {
	for i := len(stack) - 1; i >= 0; i-- {
		acc = h.node(&stack[i], &acc)
	}
	return acc
}

// Size is the number of bytes written.
func (h *Hasher) Size() int64 { return h.size }

// Reset empties the hasher; it keeps no level any more.
func (h *Hasher) Reset() {
	*h = Hasher{stack: h.stack[:0], sha: h.sha}
}

// Outline gives the hashes that KeepLevel asked for, as of now; nil when it was not called. The Outline shares no memory with the hasher.
func (h *Hasher) Outline() *Outline {
	if !h.keep {
		return nil
	}
	o := &Outline{Size: h.size, Level: h.level, Hashes: append([]Hash(nil), h.outline...)}
	whole := h.leaves >> h.level << h.level
	if whole < h.leaves || h.partial > 0 {
		// The subtrees of the stack that are too small for the level stand for the low bits of leaves.
		small := bits.OnesCount64(uint64(h.leaves - whole))
		o.Hashes = append(o.Hashes, h.fold(len(h.stack)-small))
	}
	return o
}
