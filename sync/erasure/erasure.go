package erasure

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/klauspost/reedsolomon"

	"github.com/cloudcoin/cloudcoin/crypto/merkle"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// Bounds of a coding: 1 to MaxK data shards and 0 to MaxM parity shards, together at most MaxShards.
const (
	MaxK      = 200
	MaxM      = 200
	MaxShards = 256
)

// ErrTooFew is returned when fewer than k shards are there.
var ErrTooFew = errors.New("too few shards")

// Check tells whether k+m is a coding within bounds.
func Check(k, m int) error {
	if k < 1 || k > MaxK || m < 0 || m > MaxM || k+m > MaxShards {
		return fmt.Errorf("coding %d+%d: want 1 to %d data and 0 to %d parity shards, together at most %d", k, m, MaxK, MaxM, MaxShards)
	}
	return nil
}

// Encode cuts age into k equal slices without copying (shards[i] shares memory with age, cut to its own capacity) and computes m parity
// shards, in parity when it has room for m*len(age)/k bytes, else in fresh memory. The length of age must be a multiple of k and above 0.
func Encode(age []byte, k, m int, parity []byte) (shards [][]byte, err error) {
	c, err := coder(k, m)
	if err != nil {
		return nil, err
	}
	if len(age) == 0 || len(age)%k != 0 {
		return nil, fmt.Errorf("encode %d bytes into %d equal shards: not a multiple", len(age), k)
	}
	n := len(age) / k
	if cap(parity) < m*n {
		parity = make([]byte, m*n)
	}
	parity = parity[:m*n]
	shards = make([][]byte, k+m)
	for i := range k {
		shards[i] = age[i*n : (i+1)*n : (i+1)*n]
	}
	for i := range m {
		shards[k+i] = parity[i*n : (i+1)*n : (i+1)*n]
	}
	if m == 0 {
		return shards, nil
	}
	if err := c.Encode(shards); err != nil {
		return nil, fmt.Errorf("encode %d+%d: %w", k, m, err)
	}
	return shards, nil
}

// IDs computes the shard ids, several at once on all processors. A nil shard gets a zero id.
func IDs(shards [][]byte) []model.ShardID {
	ids := make([]model.ShardID, len(shards))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(len(shards), runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(shards) {
					return
				}
				if shards[i] != nil {
					ids[i] = merkle.Root(shards[i])
				}
			}
		})
	}
	wg.Wait()
	return ids
}

// Reconstruct fills in the shards named by want; other missing ones stay nil. shards has k+m elements, missing ones nil; those that are there are not
// changed and are taken to be right: check their ids first. ErrTooFew when fewer than k are there.
func Reconstruct(shards [][]byte, k, m int, want []int) error {
	c, err := coder(k, m)
	if err != nil {
		return err
	}
	if len(shards) != k+m {
		return fmt.Errorf("reconstruct %d+%d: %d shards given", k, m, len(shards))
	}
	need := make([]bool, k+m)
	missing := false
	for _, i := range want {
		if i < 0 || i >= k+m {
			return fmt.Errorf("reconstruct %d+%d: no shard %d", k, m, i)
		}
		need[i] = true
		missing = missing || len(shards[i]) == 0
	}
	if !missing {
		return nil
	}
	have := 0
	for _, s := range shards {
		if len(s) > 0 {
			have++
		}
	}
	if have < k {
		return fmt.Errorf("reconstruct %d+%d from %d: %w", k, m, have, ErrTooFew)
	}
	if err := c.ReconstructSome(shards, need); err != nil {
		return fmt.Errorf("reconstruct %d+%d: %w", k, m, err)
	}
	return nil
}

// ReconstructRange rebuilds a byte range of shard want from the same range of k other shards. pieces is keyed by shard number; all have one
// length above 0, and are not changed. When want is among them it is returned as it is.
func ReconstructRange(k, m int, pieces map[int][]byte, want int) ([]byte, error) {
	if err := Check(k, m); err != nil {
		return nil, err
	}
	if want < 0 || want >= k+m {
		return nil, fmt.Errorf("reconstruct %d+%d: no shard %d", k, m, want)
	}
	shards := make([][]byte, k+m)
	for i, p := range pieces {
		if i < 0 || i >= k+m {
			return nil, fmt.Errorf("reconstruct %d+%d: no shard %d", k, m, i)
		}
		shards[i] = p
	}
	if err := Reconstruct(shards, k, m, []int{want}); err != nil {
		return nil, err
	}
	return shards[want], nil
}

// keepCoders bounds how many matrices are kept; one of 200+56 takes some 50 KiB.
const keepCoders = 32

var coders struct {
	mu sync.Mutex
	m  map[[2]int]reedsolomon.Encoder
}

// coder returns the coder of a coding, made once. Inverted matrices are cached for narrow codings only: wide ones have too many
// patterns of loss, and inverting is cheap beside the bytes.
func coder(k, m int) (reedsolomon.Encoder, error) {
	if err := Check(k, m); err != nil {
		return nil, err
	}
	coders.mu.Lock()
	defer coders.mu.Unlock()
	if c := coders.m[[2]int{k, m}]; c != nil {
		return c, nil
	}
	c, err := reedsolomon.New(k, m, reedsolomon.WithInversionCache(k+m <= 20))
	if err != nil {
		return nil, fmt.Errorf("coding %d+%d: %w", k, m, err)
	}
	if coders.m == nil || len(coders.m) >= keepCoders {
		coders.m = make(map[[2]int]reedsolomon.Encoder)
	}
	coders.m[[2]int{k, m}] = c
	return c, nil
}
