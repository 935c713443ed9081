package fetch

import (
	"container/list"
	"context"
	"sync"
	"time"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

// run is a row of blocks of one pack, on its way or there.
type run struct {
	pack       model.PackID
	first, end int64 // blocks; end is the last
	buf        []byte
	cancel     context.CancelFunc

	done chan struct{} // closed when opened and err are set, which is under cache.mu
	opened
	err error

	// guarded by cache.mu
	size    int64
	refs    int       // readers, and who fetches
	waiters int       // readers before done
	ahead   bool      // goes on without readers
	gone    bool      // not found by others any more
	spent   bool      // read to its end
	last    time.Time // used
	place   *list.Element
}

// opened is the plaintext of a run.
type opened struct {
	plain   []byte          // part of the run's buf
	off     int64           // of plain's first byte in the pack's plaintext
	checked []model.ChunkID // chunks in it that were compared with their ids
}

// copy copies what the run has of the plaintext from at on.
func (u *run) copy(dst []byte, at int64) (int, error) {
	if at < u.off || at >= u.off+int64(len(u.plain)) {
		return 0, ErrDamaged // a chunk that lies beyond the end of its pack
	}
	return copy(dst, u.plain[at-u.off:]), nil
}

type blockKey struct {
	pack model.PackID
	n    int64
}

// cache holds runs up to a limit of bytes. A run that somebody uses is never dropped.
type cache struct {
	limit int64
	now   func() time.Time

	mu     sync.Mutex
	used   int64
	blocks map[blockKey]*run
	order  *list.List // of runs; the first is dropped first
	freed  chan struct{}
	spares [][]byte // buffers of dropped runs of about a pack's length
}

const (
	keepBuffer = 8 << 20 // buffers from this length on are used again
	maxSpares  = 2
	idle       = 3 * time.Second // what wasn't used for so long gives way to read-ahead
)

func newCache(limit int64, now func() time.Time) *cache {
	return &cache{limit: limit, now: now, blocks: map[blockKey]*run{}, order: list.New(), freed: make(chan struct{})}
}

// find returns the run that has a block, and uses it; nil when none has. The caller holds mu.
func (c *cache) find(pack model.PackID, block int64) *run {
	u := c.blocks[blockKey{pack, block}]
	if u != nil {
		u.refs++
	}
	return u
}

// missing is the longest row of blocks from first on, up to last, that no run has; empty when first is there. The caller holds mu.
func (c *cache) missing(pack model.PackID, first, last int64) (end int64) {
	for end = first; end <= last && c.blocks[blockKey{pack, end}] == nil; end++ {
	}
	return end
}

// reserve adds a run of size bytes, used by who fetches it; nil when there is no room. Read-ahead (ahead) drops nothing that
// somebody is about to read. The caller holds mu.
func (c *cache) reserve(pack model.PackID, first, last, size int64, ahead bool) *run {
	for c.used+size > c.limit && c.dropOne(ahead) {
	}
	if c.used+size > c.limit && c.used > 0 {
		return nil
	}
	c.used += size
	u := &run{pack: pack, first: first, end: last, size: size, refs: 1, ahead: ahead, last: c.now(), done: make(chan struct{}), buf: c.buffer(size)}
	for n := first; n <= last; n++ {
		c.blocks[blockKey{pack, n}] = u
	}
	u.place = c.order.PushBack(u)
	return u
}

// dropOne drops the first run that nobody uses; for read-ahead only one that was read to its end, that is small, or that nobody used for a while.
func (c *cache) dropOne(ahead bool) bool {
	for e := c.order.Front(); e != nil; e = e.Next() {
		u := e.Value.(*run)
		if u.refs == 0 && (!ahead || u.spent || u.size < firstGrain || c.now().Sub(u.last) > idle) {
			c.forget(u)
			c.free(u)
			return true
		}
	}
	return false
}

// forget makes a run invisible to others. The caller holds mu.
func (c *cache) forget(u *run) {
	if u.gone {
		return
	}
	u.gone = true
	for n := u.first; n <= u.end; n++ {
		if k := (blockKey{u.pack, n}); c.blocks[k] == u {
			delete(c.blocks, k)
		}
	}
	c.order.Remove(u.place)
}

// free gives the memory of a forgotten, unused run back. The caller holds mu.
func (c *cache) free(u *run) {
	c.used -= u.size
	if cap(u.buf) >= keepBuffer && len(c.spares) < maxSpares {
		c.spares = append(c.spares, u.buf)
	}
	u.buf, u.plain = nil, nil
	close(c.freed)
	c.freed = make(chan struct{})
}

func (c *cache) buffer(size int64) []byte {
	for i, b := range c.spares {
		if size >= keepBuffer && int64(cap(b)) >= size {
			c.spares = append(c.spares[:i], c.spares[i+1:]...)
			return b[:size]
		}
	}
	return make([]byte, size)
}

// release ends a use. to is how far in the plaintext the run was read: when it was read to its end it is dropped before others.
func (c *cache) release(u *run, to int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	u.refs--
	u.last = c.now()
	switch {
	case u.gone && u.refs == 0:
		c.free(u)
	case u.gone:
	case u.plain != nil && to >= u.off+int64(len(u.plain)):
		u.spent = true
		c.order.MoveToFront(u.place)
	default:
		c.order.MoveToBack(u.place)
	}
	if u.refs == 0 && !u.gone {
		close(c.freed) // it could be dropped now
		c.freed = make(chan struct{})
	}
}
