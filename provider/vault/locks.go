package vault

import (
	"bytes"
	"slices"
	"sync"

	"github.com/cloudcoin/cloudcoin/provider/ids"
)

// key names a shard or, with a name, a slot.
type key struct {
	lease ids.Lease
	shard ids.Shard
	slot  string
}

// keyLocks is a lock for each key that is in use.
type keyLocks struct {
	mu   sync.Mutex
	held map[key]*keyLock
}

type keyLock struct {
	sync.Mutex
	n int // goroutines that hold it or wait for it
}

// lock takes the lock of a key and returns what releases it.
func (k *keyLocks) lock(id key) (unlock func()) {
	k.mu.Lock()
	if k.held == nil {
		k.held = map[key]*keyLock{}
	}
	l := k.held[id]
	if l == nil {
		l = &keyLock{}
		k.held[id] = l
	}
	l.n++
	k.mu.Unlock()
	l.Lock()
	return func() {
		l.Unlock()
		k.mu.Lock()
		defer k.mu.Unlock()
		if l.n--; l.n == 0 {
			delete(k.held, id)
		}
	}
}

// lockShards locks shards in ascending order, each once, and returns them so.
func (k *keyLocks) lockShards(lease ids.Lease, shards []ids.Shard) (sorted []ids.Shard, unlock func()) {
	sorted = slices.Clone(shards)
	slices.SortFunc(sorted, func(a, b ids.Shard) int { return bytes.Compare(a[:], b[:]) })
	sorted = slices.Compact(sorted)
	unlocks := make([]func(), len(sorted))
	for i, id := range sorted {
		unlocks[i] = k.lock(key{lease: lease, shard: id})
	}
	return sorted, func() {
		for _, u := range unlocks {
			u()
		}
	}
}
