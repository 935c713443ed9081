package stage

import (
	"context"
	"errors"
	"fmt"

	"github.com/cloudcoin/cloudcoin/sync/journal"
)

// ReadAt fills p from offset off and tells how many bytes there were before the end of the file: less than len(p), or 0, at the end is no error.
// What no layer has comes from the base, without any lock held, and is kept as cache.
func (f *File) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	return f.n.readAt(ctx, p, off)
}

func (n *node) readAt(ctx context.Context, p []byte, off int64) (count int, err error) {
	if off < 0 {
		return 0, fmt.Errorf("read at offset %d: negative", off)
	}
	for try := 0; ; try++ {
		if count, err = n.readOnce(ctx, p, off); !isGone(err) {
			return count, err
		}
		n.mu.Lock()
		again := try < maxRefetch && n.refetch(err)
		n.mu.Unlock()
		if !again {
			return 0, n.s.damaged(n.ino, err)
		}
	}
}

// maxRefetch is how often a read or change begins again because cached content was damaged.
const maxRefetch = 3

func (n *node) readOnce(ctx context.Context, p []byte, off int64) (int, error) {
	n.mu.RLock()
	if missing(n.layers) {
		n.mu.RUnlock()
		n.mu.Lock()
		err := n.openFiles()
		n.mu.Unlock()
		if err != nil {
			return 0, err
		}
		n.mu.RLock()
	}
	v := view{n: n, layers: n.layers, size: n.size, base: n.base, small: n.small, gen: n.gen}
	holes, count, err := v.readLocal(p, off)
	v.visible = baseEnd(n.layers, n.size)
	n.mu.RUnlock()
	if err != nil {
		return 0, err
	}
	for _, h := range holes {
		if err := v.readBase(ctx, p[h.off-off:h.off-off+h.n], h.off, true); err != nil {
			return 0, err
		}
	}
	return count, nil
}

// view is a stack of layers over a base at one moment.
type view struct {
	n       *node
	layers  []*layer
	size    int64
	visible int64 // of the base
	base    Base
	small   *cacheEntry
	gen     uint64
}

// readLocal fills p with what the layers have and tells which runs have to come from the base. The caller holds the node's lock for reading.
func (v *view) readLocal(p []byte, off int64) (rest []run, count int, err error) {
	if off >= v.size {
		return nil, 0, nil
	}
	end := min(off+int64(len(p)), v.size)
	for at := off; at < end; {
		src := find(v.layers, at, end)
		if src.st == data && src.l == nil {
			rest = append(rest, run{src.off, src.end - src.off})
		} else if err := v.n.readLocal(src, p[at-off:src.end-off]); err != nil {
			return nil, 0, err
		}
		at = src.end
	}
	return rest, int(end - off), nil
}

// readBase fills p from the base: out of the cache when it is small and there, else from afar. keep puts it into the cache.
func (v *view) readBase(ctx context.Context, p []byte, off int64, keep bool) error {
	n := v.n
	if v.base == nil {
		clear(p)
		return nil
	}
	if v.small != nil && off+int64(len(p)) <= int64(v.small.n) {
		switch err := n.s.cache.read(n.ino, v.small, p, off); {
		case err == nil:
			return nil
		default:
			n.forgetSmall(v.small, err)
		}
	}
	if v.visible <= InlineLimit {
		whole := make([]byte, v.visible)
		if err := n.fetch(ctx, v.base, whole, 0); err != nil {
			return err
		}
		copy(p, whole[off:])
		if keep {
			n.keepSmall(v.gen, whole)
		}
		return nil
	}
	from, to := blockFloor(off), min(blockCeil(off+int64(len(p))), v.visible)
	buf := p
	if from != off || to != off+int64(len(p)) {
		buf = make([]byte, to-from)
	}
	if err := n.fetch(ctx, v.base, buf, from); err != nil {
		return err
	}
	if len(buf) != len(p) {
		copy(p, buf[off-from:])
	}
	if keep {
		n.keepBlocks(v.gen, buf, from)
	}
	return nil
}

// forgetSmall gives up a cache entry that can't be read.
func (n *node) forgetSmall(e *cacheEntry, why error) {
	if !errors.Is(why, errCacheGone) {
		n.s.log.Warn("cached content is damaged and fetched again", "inode", uint64(n.ino), "error", why)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.small == e {
		n.s.cache.drop(e)
		n.small, n.changed = nil, true
	}
}

// keepSmall caches the whole visible base. That is a favour: what goes wrong is only logged.
func (n *node) keepSmall(gen uint64, whole []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.gen != gen || n.small != nil || n.detached || len(whole) == 0 {
		return
	}
	e, err := n.s.cache.put(n.ino, whole)
	if err != nil {
		n.s.log.Warn("fetched content is not cached", "inode", uint64(n.ino), "error", err)
		return
	}
	n.small, n.changed = e, true
	n.s.kickWhenFull()
}

// keepBlocks puts fetched blocks into the clean layer below all others, as far as they are still unknown.
func (n *node) keepBlocks(gen uint64, buf []byte, off int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.gen != gen || n.detached || n.s.room.take(int64(len(buf))) != nil { // no room for a cache
		return
	}
	if err := n.fill(buf, off); err != nil {
		n.s.log.Warn("fetched content is not cached", "inode", uint64(n.ino), "error", err)
	}
	n.s.kickWhenFull()
}

// fill writes blocks into the fill layer. off is a block's; the last block may be shorter when the base ends there.
func (n *node) fill(buf []byte, off int64) error {
	var l *layer
	if len(n.layers) > 0 && n.layers[0].version == 0 {
		l = n.layers[0]
	} else {
		l = n.s.newFill(n.ino, n.s.nextVersion(0)|fillBit, baseEnd(n.layers, n.size))
		n.layers = append([]*layer{l}, n.layers...)
	}
	if _, err := l.open(true); err != nil {
		return err
	}
	if pad := len(buf) % BlockSize; pad != 0 {
		buf = append(buf[:len(buf):len(buf)], make([]byte, BlockSize-pad)...)
	}
	b0, b1 := off/BlockSize, (off+int64(len(buf)))/BlockSize
	for b := b0; b < b1; {
		b = l.present.next(b, b1, false)
		e := l.present.next(b, b1, true)
		if b == e {
			break
		}
		if err := l.put(buf[b*BlockSize-off:e*BlockSize-off], b); err != nil {
			return err
		}
		n.s.cleanBytes.Add(l.addData(b, e) * BlockSize)
		l.unsynced.add(b, e)
		l.needSync, n.changed = true, true
		b = e
	}
	return nil
}

// content reads bytes of the stack under the node's lock. Blocks of the base have to be in got.
func (n *node) content(p []byte, off int64, got map[int64][]byte) error {
	v := view{n: n, layers: n.layers, size: n.size}
	rest, count, err := v.readLocal(p, off)
	if err != nil {
		return err
	}
	clear(p[count:])
	for _, r := range rest {
		for at := r.off; at < r.off+r.n; {
			b := at / BlockSize
			end := min((b+1)*BlockSize, r.off+r.n)
			block := got[b]
			switch {
			case n.base == nil:
				clear(p[at-off : end-off])
			case block == nil:
				return errNeedBase
			default:
				copy(p[at-off:end-off], block[at-b*BlockSize:])
			}
			at = end
		}
	}
	return nil
}

var errNeedBase = errors.New("needs the base")

// fetchBlocks gets the blocks of the base in which one of the blocks [b0, b1) has to be completed.
func (v *view) fetchBlocks(ctx context.Context, blocks []int64, got map[int64][]byte) error {
	for _, b := range blocks {
		off := b * BlockSize
		if off >= v.visible || got[b] != nil {
			continue
		}
		p := make([]byte, BlockSize)
		if err := v.readBase(ctx, p[:min(BlockSize, v.visible-off)], off, true); err != nil {
			return err
		}
		got[b] = p
	}
	return nil
}

// isGone tells whether an error says that local bytes were lost or damaged.
func isGone(err error) bool {
	var d *journal.DamageError
	return errors.As(err, &d) || errors.Is(err, journal.ErrGone)
}
