package fileserver

import (
	"container/list"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/cloudcoin/cloudcoin/crypto/merkle"
	"github.com/cloudcoin/cloudcoin/provider/ids"
	"github.com/cloudcoin/cloudcoin/provider/shardstore"
)

const (
	outlineLevel = 4                               // subtrees of 16 leaves
	outlineBlock = merkle.LeafSize << outlineLevel // 64 KiB
	outlinesSize = 8 << 20                         // bytes of hashes that are remembered: those of 16 GiB of shards
)

var errDamaged = errors.New("the stored bytes don't have the shard's id")

// outlines remembers the hashes inside shards that were asked for with proofs, the latest, so that the next range of such a shard costs
// no reading of all of it. An outline is true for ever, since the id is the hash of the bytes. Safe for concurrent use.
type outlines struct {
	mu    sync.Mutex
	byID  map[ids.Shard]*list.Element
	order list.List // of *outline, the latest first
	bytes int
}

type outline struct {
	id ids.Shard
	*merkle.Outline
}

func (c *outlines) get(id ids.Shard) *merkle.Outline {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.byID[id]
	if e == nil {
		return nil
	}
	c.order.MoveToFront(e)
	return e.Value.(*outline).Outline
}

// put remembers an outline and forgets those that were not asked for longest.
func (c *outlines) put(id ids.Shard, o *merkle.Outline) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byID == nil {
		c.byID = map[ids.Shard]*list.Element{}
	}
	if c.byID[id] != nil {
		return
	}
	c.byID[id] = c.order.PushFront(&outline{id, o})
	for c.bytes += weight(o); c.bytes > outlinesSize; {
		last := c.order.Remove(c.order.Back()).(*outline)
		delete(c.byID, last.id)
		c.bytes -= weight(last.Outline)
	}
}

// weight is the memory that an outline takes, about.
func weight(o *merkle.Outline) int { return 32*len(o.Hashes) + 256 }

// verified returns a shard's outline after the blocks of 64 KiB that hold the range were compared with it: of the others, proofs need no bytes.
func (c *outlines) verified(id ids.Shard, shard shardstore.Shard, size int64, rng byteRange) (*merkle.Outline, error) {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	if o := c.get(id); o != nil && o.Size == size {
		return o, checkBlocks(shard, o, rng, (*buf)[:outlineBlock])
	}
	h := merkle.NewHasher()
	h.KeepLevel(outlineLevel)
	if _, err := io.CopyBuffer(h, io.NewSectionReader(shard, 0, size), *buf); err != nil {
		return nil, err
	}
	if h.Size() != size || h.Sum() != id {
		return nil, errDamaged
	}
	o := h.Outline()
	c.put(id, o)
	return o, nil
}

// checkBlocks compares the blocks of an outline that hold a range with what is stored.
func checkBlocks(shard io.ReaderAt, o *merkle.Outline, rng byteRange, buf []byte) error {
	for at := rng.off / outlineBlock * outlineBlock; at < rng.off+rng.n; at += outlineBlock {
		b := buf[:min(outlineBlock, o.Size-at)]
		if n, err := shard.ReadAt(b, at); n < len(b) {
			return fmt.Errorf("read shard: %w", err)
		}
		if merkle.Root(b) != o.Hashes[at/outlineBlock] {
			return errDamaged
		}
	}
	return nil
}
