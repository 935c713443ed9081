package stage

import (
	"context"
	"fmt"
	"math"
	"syscall"
)

// Truncate sets the size. What is cut off is gone; what is added is a hole.
func (f *File) Truncate(ctx context.Context, size int64) error {
	if size < 0 || size > math.MaxInt64-BlockSize {
		return syscall.EINVAL
	}
	n := f.n
	n.wmu.Lock()
	defer n.wmu.Unlock()
	return n.change(ctx, func(map[int64][]byte) ([]int64, error) { return nil, n.truncate(size) })
}

func (n *node) truncate(size int64) error {
	if size == n.size {
		return nil
	}
	l, made := n.writable(size <= InlineLimit)
	var last []byte
	if b := size / BlockSize; !l.inline && size%BlockSize != 0 && l.present.has(b) && !l.hole.has(b) {
		// What lies behind the end in its block must read as zeros when the file grows again.
		last = make([]byte, BlockSize)
		if err := l.readFile(last[:size%BlockSize], size-size%BlockSize); err != nil {
			return err
		}
	}
	h := n.header(l)
	h.size, h.floor = size, min(h.floor, size)
	if _, err := n.record(kindTruncate, h, n.withPath()); err != nil {
		if made {
			n.popLayer(l)
		}
		return err
	}
	n.cutLayer(l, size)
	n.size, n.changed = size, true
	n.gen++
	if last == nil {
		return nil
	}
	b := size / BlockSize
	l.unsynced.add(b, b+1)
	l.unnoted.add(b, b+1)
	l.needSync = true
	if err := l.put(last, b); err != nil {
		return fmt.Errorf("truncate: %w", err)
	}
	return nil
}

// cutLayer takes what lies at or after size out of a layer. The node's newest record says so.
func (n *node) cutLayer(l *layer, size int64) {
	l.floor = min(l.floor, size)
	if l.inline {
		n.dropPieces(l, l.cutPieces(size, math.MaxInt64))
		return
	}
	n.s.account(l.clean, -l.cut((size+BlockSize-1)/BlockSize)*BlockSize)
	n.cuts++
}

// Punch makes [off, off+n) a hole and leaves the size alone. Blocks that lie wholly inside give their room back.
func (f *File) Punch(ctx context.Context, off, n int64) error {
	if off < 0 || n < 0 || off > math.MaxInt64-n {
		return syscall.EINVAL
	}
	nd := f.n
	nd.wmu.Lock()
	defer nd.wmu.Unlock()
	nd.mu.RLock()
	size := nd.size
	nd.mu.RUnlock()
	end := min(off+n, size)
	if off >= end {
		return nil
	}
	from, to := blockCeil(off), blockFloor(end)
	if end == size {
		to = blockCeil(end)
	}
	zero := func(a, b int64) error {
		if a >= b {
			return nil
		}
		return nd.change(ctx, func(got map[int64][]byte) ([]int64, error) {
			return nd.edges(a, b), nd.zero(a, b, got)
		})
	}
	if from >= to {
		return zero(off, end)
	}
	if err := zero(off, from); err != nil {
		return err
	}
	if err := zero(to, end); err != nil {
		return err
	}
	return nd.change(ctx, func(map[int64][]byte) ([]int64, error) { return nil, nd.punch(from, to) })
}

// zero writes zeros where there aren't zeros already.
func (n *node) zero(from, to int64, got map[int64][]byte) error {
	if src := find(n.layers, from, to); src.end >= to && (src.st == hole || src.l == nil && n.base == nil) {
		return nil
	}
	return n.write(make([]byte, to-from), from, got)
}

// punch makes whole blocks a hole.
func (n *node) punch(from, to int64) error {
	l, made := n.writable(n.size <= InlineLimit)
	var err error
	if l.inline {
		err = n.punchInline(l, from, to)
	} else {
		h := n.header(l)
		if _, err = n.record(kindPunch, h, n.withPath(), appendRuns(nil, []run{{from, to - from}})); err == nil {
			n.s.account(false, -l.addHole(from/BlockSize, to/BlockSize)*BlockSize)
			n.cuts++
		}
	}
	if err != nil && made {
		n.popLayer(l)
	}
	n.changed = true
	return err
}

func (n *node) punchInline(l *layer, from, to int64) error {
	if _, err := n.record(kindPunch, n.header(l), n.withPath(), appendRuns(nil, []run{{from, to - from}})); err != nil {
		return err
	}
	n.addZero(l, from, to)
	return nil
}

// addZero lays a hole over the pieces and joins it with its neighbours.
func (n *node) addZero(l *layer, from, to int64) {
	for i := range l.pieces {
		p := &l.pieces[i]
		if p.zero && p.end() >= from && p.off <= to {
			from, to = min(from, p.off), max(to, p.end())
		}
	}
	n.dropPieces(l, l.insertPiece(piece{off: from, n: to - from, zero: true}))
}
