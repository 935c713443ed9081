package engine

import (
	"errors"
	"fmt"
	"sync"

	"github.com/cloudcoin/cloudcoin/sync/index"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// packUse decides between uploads that count on a pack and garbage collection that deletes it: one of them comes first.
type packUse struct {
	mu     sync.Mutex
	uses   map[model.PackID]int  // uploads under way that count on a pack
	usable map[model.PackID]bool // what is known of packs; a cache
	doomed map[model.PackID]bool // packs that are being deleted
}

// maxUsable bounds the cache.
const maxUsable = 1 << 14

// claim looks for a chunk in the catalogue and makes job count on its pack. A chunk in a pack with fewer than k good shards, or in one
// that is being deleted, isn't there.
func (u *packUse) claim(x *index.Index, id model.ChunkID, job *fileJob) (bool, error) {
	c, ok, err := x.Chunk(id)
	if err != nil {
		return false, fmt.Errorf("look for chunk %s: %w", id, err)
	}
	if !ok {
		return false, nil
	}
	if job.counts(c.Pack) {
		return true, nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.doomed[c.Pack] {
		return false, nil
	}
	good, known := u.usable[c.Pack]
	if !known {
		p, err := x.Pack(c.Pack)
		if err != nil && !errors.Is(err, index.ErrNotFound) {
			return false, fmt.Errorf("look for pack %s: %w", c.Pack, err)
		}
		good = err == nil && goodShards(&p) >= p.K
		if len(u.usable) >= maxUsable {
			clear(u.usable)
		}
		u.usable[c.Pack] = good
	}
	if !good {
		return false, nil
	}
	u.uses[c.Pack]++
	job.count(c.Pack)
	return true, nil
}

func goodShards(p *model.Pack) (n int) {
	for _, s := range p.Shards {
		if s.State == model.ShardGood {
			n++
		}
	}
	return n
}

func (u *packUse) hold(id model.PackID) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.uses[id]++
}

func (u *packUse) release(ids ...model.PackID) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, id := range ids {
		if u.uses[id]--; u.uses[id] <= 0 {
			delete(u.uses, id)
		}
	}
}

// doom marks a pack for deletion unless an upload counts on it.
func (u *packUse) doom(id model.PackID) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.uses[id] > 0 {
		return false
	}
	u.doomed[id] = true
	return true
}

// spareDoomed takes doom back.
func (u *packUse) forgetDoom(id model.PackID) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.doomed, id)
	delete(u.usable, id)
}

// changed forgets what is known of a pack.
func (u *packUse) changed(id model.PackID) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.usable, id)
}
