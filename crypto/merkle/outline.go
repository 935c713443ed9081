package merkle

import (
	"encoding/binary"
	"fmt"
)

// maxLevel bounds the level of an outline: subtrees of 4 GiB.
const maxLevel = 20

// Outline holds the hashes of all aligned subtrees of 2^Level leaves, from left to right; the last one may be smaller.
// At level 4 it takes 2 KiB for 4 MiB, and a proof reads at most two times 60 KiB beside its range.
type Outline struct {
	Size   int64 // bytes of what it outlines
	Level  int   // 0 to 20
	Hashes []Hash
}

// fits tells whether the outline is one of size bytes.
func (o *Outline) fits(size int64) bool {
	if o.Size != size || o.Level < 0 || o.Level > maxLevel {
		return false
	}
	return int64(len(o.Hashes)) == subtrees(size, o.Level)
}

func subtrees(size int64, level int) int64 {
	return (Leaves(size) + 1<<level - 1) >> level
}

// subtree finds the hash of the leaves [lo, hi) when they are one subtree of the outline.
func (o *Outline) subtree(lo, hi int64) (Hash, bool) {
	if o == nil || lo&(1<<o.Level-1) != 0 || hi-lo > 1<<o.Level {
		return Hash{}, false
	}
	if hi-lo < 1<<o.Level && hi != Leaves(o.Size) {
		return Hash{}, false
	}
	return o.Hashes[lo>>o.Level], true
}

// Root is the tree hash of the whole, computed from the outline alone.
func (o *Outline) Root() Hash {
	if o.Size == 0 {
		return Root(nil)
	}
	p := prover{size: o.Size, outline: o}
	h, err := p.subtree(0, Leaves(o.Size))
	if err != nil {
		panic("merkle: an outline covers its tree: " + err.Error())
	}
	return h
}

// MarshalBinary writes version 1, the level, the size (8 bytes, little-endian) and the hashes.
func (o *Outline) MarshalBinary() ([]byte, error) {
	b := make([]byte, 0, 10+32*len(o.Hashes))
	b = append(b, 1, byte(o.Level))
	b = binary.LittleEndian.AppendUint64(b, uint64(o.Size))
	return AppendProof(b, o.Hashes), nil
}

// UnmarshalBinary reads what MarshalBinary wrote and checks that there is a hash for every subtree. It doesn't know whether they are right: compare Root.
func (o *Outline) UnmarshalBinary(b []byte) error {
	if len(b) < 10 || b[0] != 1 {
		return fmt.Errorf("not an outline of version 1 (%d bytes)", len(b))
	}
	level, size := int(b[1]), int64(binary.LittleEndian.Uint64(b[2:]))
	b = b[10:]
	if level > maxLevel || size < 0 || len(b)%32 != 0 || subtrees(size, level) != int64(len(b)/32) {
		return fmt.Errorf("outline of level %d for %d bytes has %d bytes of hashes", level, size, len(b))
	}
	hashes := make([]Hash, len(b)/32)
	for i := range hashes {
		hashes[i] = Hash(b[32*i:])
	}
	*o = Outline{Size: size, Level: level, Hashes: hashes}
	return nil
}
