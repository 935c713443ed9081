package pack

import "github.com/cloudcoin/cloudcoin/crypto/seal"

const (
	// MaxSize is the length in bytes of the longest age file, before it is rounded up to k shards: at most 2*k*4 KiB more.
	MaxSize = 16 << 20
	// ShardAlign is what the length of every shard is a multiple of: a leaf of the shards' tree hash.
	ShardAlign = 4096

	minClass  = 64 << 10
	fineClass = 1 << 20   // up to here classes are powers of two,
	classStep = 256 << 10 // above it multiples of this
)

// Class is the length that an age file of n bytes is padded to, before it is rounded up to k shards.
func Class(n int64) int64 {
	if n > fineClass {
		return (n + classStep - 1) / classStep * classStep
	}
	c := int64(minClass)
	for c < n {
		c *= 2
	}
	return c
}

// layout finds the length of the padded plaintext and of a shard for need bytes of plaintext and k shards.
func layout(need int64, k int) (plain, shardLen int64) {
	unit := int64(k) * ShardAlign
	total := (Class(seal.SealedSize(need)) + unit - 1) / unit * unit
	for {
		if plain, ok := seal.PlainFor(total); ok && plain >= need {
			return plain, total / int64(k)
		}
		total += unit // a few lengths are none of any age file
	}
}
