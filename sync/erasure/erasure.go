package erasure

import "github.com/cloudcoin/cloudcoin/sync/model"

// Bounds of a coding: k data shards and m parity shards. k+m is at most 256.
const MaxK, MaxM = 200, 200

// Encode cuts age into k equal slices (no copy: shards[i] shares memory with age) and computes m parity shards in one fresh buffer, or in parity when it is long enough (m*len(age)/k bytes).
func Encode(age []byte, k, m int, parity []byte) (shards [][]byte, err error) { panic("being built") }

// IDs computes the shard ids, on all processors.
func IDs(shards [][]byte) []model.ShardID { panic("being built") }

// Reconstruct fills in the shards named by want. shards has k+m elements, missing ones nil.
func Reconstruct(shards [][]byte, k, m int, want []int) error { panic("being built") }

// ReconstructRange rebuilds the byte range of shard want from the same range of at least k other shards. pieces is keyed by shard number; all have one length.
func ReconstructRange(k, m int, pieces map[int][]byte, want int) ([]byte, error) {
	panic("being built")
}
