package stage

import (
	"context"
	"fmt"
	"math"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

// Snapshot is the content of a frozen version. It doesn't change while later versions are written, and keeps what it needs from being evicted
// until Close. Its methods may be called concurrently.
type Snapshot struct {
	n            *node
	layers       []*layer
	size         int64
	mtime, ctime int64
	base         Base
	visible      int64
}

// Snapshot gives the content of a frozen version over base, the content that was stored before it. ErrNoVersion when there is no such version.
func (s *Stage) Snapshot(ino model.Ino, version uint64, base Base) (*Snapshot, error) {
	n, err := s.acquire(ino)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	l := n.layer(version)
	if l == nil || !l.frozen || l.version == 0 || l.clean {
		n.mu.Unlock()
		if rerr := s.release(n); rerr != nil {
			return nil, rerr
		}
		return nil, fmt.Errorf("snapshot of inode %d, version %d: %w", ino, version, ErrNoVersion)
	}
	defer n.mu.Unlock()
	p := &Snapshot{n: n, size: l.size, mtime: l.mtime, ctime: l.ctime, base: base}
	for _, l := range n.layers {
		if l.version <= version {
			l.snaps++
			p.layers = append(p.layers, l)
		}
	}
	p.visible = baseEnd(p.layers, p.size)
	if n.snapshots == nil {
		n.snapshots = make(map[*Snapshot]struct{})
	}
	n.snapshots[p] = struct{}{}
	return p, nil
}

// Size of the version in bytes.
func (p *Snapshot) Size() int64 { return p.size }

// Attr is the size and the times, in nanoseconds since 1970, when the version was frozen.
func (p *Snapshot) Attr() (size, mtime, ctime int64) { return p.size, p.mtime, p.ctime }

// ReadAt fills b from offset off and tells how many bytes there were before the end.
func (p *Snapshot) ReadAt(ctx context.Context, b []byte, off int64) (count int, err error) {
	n := p.n
	for try := 0; ; try++ {
		if count, err = p.readOnce(ctx, b, off); !isGone(err) {
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

// dropClean lets go of the layers that were stored before the version: the base has what they hold. The caller holds the node's lock.
func (p *Snapshot) dropClean() {
	var keep []*layer
	for _, l := range p.layers {
		if l.clean {
			l.snaps--
		} else {
			keep = append(keep, l)
		}
	}
	p.layers, p.visible = keep, baseEnd(keep, p.size)
}

func (p *Snapshot) readOnce(ctx context.Context, b []byte, off int64) (int, error) {
	n := p.n
	n.mu.RLock()
	if missing(p.layers) {
		n.mu.RUnlock()
		n.mu.Lock()
		err := n.openLayers(p.layers)
		n.mu.Unlock()
		if err != nil {
			return 0, err
		}
		n.mu.RLock()
	}
	v := view{n: n, layers: p.layers, size: p.size, visible: p.visible, base: p.base}
	rest, count, err := v.readLocal(b, off)
	n.mu.RUnlock()
	if err != nil {
		return 0, err
	}
	for _, r := range rest {
		if err := v.n.fetch(ctx, v.base, b[r.off-off:r.off-off+r.n], r.off); err != nil {
			return 0, err
		}
	}
	return count, nil
}

// DirtyRanges calls fn for the stretches that may differ from the base, in order, until it answers false; hole tells that a stretch is zeros without room.
// All else up to Size is as in the base.
func (p *Snapshot) DirtyRanges(fn func(off, n int64, hole bool) bool) {
	p.n.mu.RLock()
	var all []source
	dirty := p.layers
	for len(dirty) > 0 && dirty[0].clean {
		dirty = dirty[1:]
	}
	for at := int64(0); at < p.size; {
		src := find(dirty, at, p.size)
		if k := len(all) - 1; src.st == data && src.l == nil {
			// as below
		} else if k >= 0 && all[k].end == at && all[k].st == src.st {
			all[k].end = src.end
		} else {
			all = append(all, src)
		}
		at = src.end
	}
	p.n.mu.RUnlock()
	for _, src := range all {
		if !fn(src.off, src.end-src.off, src.st == hole) {
			return
		}
	}
}

// Close ends the use of the snapshot.
func (p *Snapshot) Close() error {
	n := p.n
	n.mu.Lock()
	for _, l := range p.layers {
		l.snaps--
	}
	p.layers, p.size, p.visible = nil, 0, math.MaxInt64
	delete(n.snapshots, p)
	n.mu.Unlock()
	return n.s.release(n)
}
