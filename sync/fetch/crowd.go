package fetch

import (
	"sync"
	"time"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

const (
	smallChunk = 256 << 10       // chunks up to here count as small files
	crowdAfter = 3               // different files of a pack
	crowdTime  = 2 * time.Second // within which they have to be asked for
	crowdPacks = 64              // packs that are watched
)

// crowds notices packs of which several small files are asked for in a short time.
type crowds struct {
	mu    sync.Mutex
	packs map[model.PackID]*crowd
}

type crowd struct {
	last  model.Ino
	count int
	since time.Time
}

// crowd counts a read of a small file and fetches the whole pack when others of it were read just before.
func (r *Reader) crowd(ino model.Ino, pieces []piece) {
	for i := range pieces {
		if pieces[i].chunk.Len > smallChunk {
			continue
		}
		id := pieces[i].chunk.Pack
		if i > 0 && pieces[i-1].chunk.Pack == id || !r.crowds.note(id, ino, r.opt.Clock.Now()) {
			continue
		}
		r.Prefetch(id)
	}
}

// note tells whether it is the read that makes a crowd.
func (c *crowds) note(id model.PackID, ino model.Ino, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.packs[id]
	if w == nil || now.Sub(w.since) > crowdTime {
		if c.packs == nil || len(c.packs) >= crowdPacks {
			c.packs = map[model.PackID]*crowd{}
		}
		c.packs[id] = &crowd{last: ino, count: 1, since: now}
		return false
	}
	if w.last == ino {
		return false
	}
	w.last = ino
	w.count++
	if w.count == crowdAfter {
		w.count, w.since = 0, now // fetched; if it was dropped meanwhile, others make a crowd again
		return true
	}
	return false
}
