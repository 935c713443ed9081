package index

import (
	"hash/maphash"
	"sync"
)

const cacheShards = 16

// cache holds newest records, a bounded number of them: when the young half is full it becomes the old half, and what was not
// asked for since goes.
//
// A reader that missed may put what it then read only when no writer touched the shard in between; see get and fill.
type cache[K comparable, V any] struct {
	seed   maphash.Seed
	half   int
	shards [cacheShards]cacheShard[K, V]
}

type cacheShard[K comparable, V any] struct {
	mu         sync.Mutex
	seq        uint64
	young, old map[K]V
}

func newCache[K comparable, V any](entries int) *cache[K, V] {
	return &cache[K, V]{seed: maphash.MakeSeed(), half: max(1, entries/2/cacheShards)}
}

func (c *cache[K, V]) shard(k K) *cacheShard[K, V] {
	return &c.shards[maphash.Comparable(c.seed, k)%cacheShards]
}

// get returns what is known of k, or a ticket for fill.
func (c *cache[K, V]) get(k K) (v V, ticket uint64, ok bool) {
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if v, ok = s.young[k]; ok {
		return v, 0, true
	}
	if v, ok = s.old[k]; ok {
		c.put(s, k, v)
		return v, 0, true
	}
	return v, s.seq, false
}

func (c *cache[K, V]) put(s *cacheShard[K, V], k K, v V) {
	if s.young == nil || len(s.young) >= c.half {
		s.old, s.young = s.young, make(map[K]V, 16)
	}
	s.young[k] = v
}

// fill puts what a reader found, unless a writer came between.
func (c *cache[K, V]) fill(k K, v V, ticket uint64) {
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seq == ticket {
		c.put(s, k, v)
	}
}

// forget is called before a write that changes k.
func (c *cache[K, V]) forget(k K) {
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seq++
	delete(s.young, k)
	delete(s.old, k)
}

// set is called after the write.
func (c *cache[K, V]) set(k K, v V) {
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seq++
	delete(s.old, k)
	c.put(s, k, v)
}

// clear forgets everything.
func (c *cache[K, V]) clear() {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		s.seq++
		s.young, s.old = nil, nil
		s.mu.Unlock()
	}
}
