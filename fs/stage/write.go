package stage

import (
	"context"
	"errors"
	"math"
	"syscall"
)

// WriteAt writes p at off and lets the file grow. ENOSPC (wrapped) when the stage or the disk is full: then nothing is corrupt, though bytes
// inside [off, off+len(p)) may be old or new. The stage doesn't touch the times: see SetAttr.
func (f *File) WriteAt(ctx context.Context, p []byte, off int64) error {
	n := f.n
	if off < 0 || off > math.MaxInt64-BlockSize-int64(len(p)) {
		return syscall.EFBIG
	}
	if len(p) == 0 {
		return nil
	}
	n.wmu.Lock()
	defer n.wmu.Unlock()
	return n.change(ctx, func(got map[int64][]byte) ([]int64, error) {
		need := n.edges(off, off+int64(len(p)))
		return need, n.write(p, off, got)
	})
}

// change runs fn under the node's lock. When it needs blocks of the base, they are fetched without the lock, and it runs again.
// Disk full: clean contents are evicted and it is tried once more.
func (n *node) change(ctx context.Context, fn func(got map[int64][]byte) (need []int64, err error)) error {
	var got map[int64][]byte
	var gen uint64
	evicted := false
	for try := 0; ; try++ {
		n.mu.Lock()
		if got != nil && gen != n.gen {
			got = nil
		}
		err := n.openFiles()
		var need []int64
		if err == nil {
			need, err = fn(got)
		}
		v := view{n: n, layers: n.layers, size: n.size, visible: baseEnd(n.layers, n.size), base: n.base, small: n.small, gen: n.gen}
		again := isGone(err) && try < maxRefetch && n.refetch(err)
		n.mu.Unlock()
		switch {
		case again:
		case errors.Is(err, errNeedBase):
			if got == nil {
				got = make(map[int64][]byte)
			}
			gen = v.gen
			if err := v.fetchBlocks(ctx, need, got); err != nil {
				return err
			}
		case errors.Is(err, syscall.ENOSPC) && !evicted:
			evicted = true
			if freed, eerr := n.s.Evict(evictOnFull); eerr != nil || freed == 0 {
				return err
			}
		default:
			n.s.kickWhenFull()
			return n.s.damaged(n.ino, err)
		}
	}
}

// edges are the blocks that a write of [off, end) covers in part, and those that a conversion has to complete.
func (n *node) edges(off, end int64) (blocks []int64) {
	if off%BlockSize != 0 {
		blocks = append(blocks, off/BlockSize)
	}
	if end%BlockSize != 0 {
		blocks = append(blocks, end/BlockSize)
	}
	if l := n.top(); l != nil && l.inline {
		for i := range l.pieces {
			p := &l.pieces[i]
			if p.off%BlockSize != 0 {
				blocks = append(blocks, p.off/BlockSize)
			}
			if p.end()%BlockSize != 0 {
				blocks = append(blocks, p.end()/BlockSize)
			}
		}
	}
	return blocks
}

// write does what WriteAt does, under the locks.
func (n *node) write(p []byte, off int64, got map[int64][]byte) error {
	end := off + int64(len(p))
	l, made := n.writable(max(n.size, end) <= InlineLimit)
	err := error(nil)
	if l.inline && (end > InlineLimit || n.detached) {
		err = n.convert(l, got)
	}
	if err == nil && l.inline {
		err = n.writeInline(l, p, off)
	} else if err == nil {
		err = n.writeFile(l, p, off, got)
	}
	if err != nil {
		if made {
			n.popLayer(l)
		}
		return err
	}
	n.changed = true
	return nil
}

// withPath tells whether the next record should say where the file is.
func (n *node) withPath() bool { return n.attrNew && n.path != "" || n.pathSeg == 0 && n.path != "" }

// writeInline appends the bytes to the journal: the record is where they live.
func (n *node) writeInline(l *layer, p []byte, off int64) error {
	if err := n.s.reserve(int64(len(p))); err != nil {
		return err
	}
	h := n.header(l)
	h.size = max(n.size, off+int64(len(p)))
	if err := n.appendPieces(l, h, []run{{off, int64(len(p))}}, p); err != nil {
		n.s.dirtyBytes.Add(-int64(len(p)))
		return err
	}
	n.size = h.size
	if len(l.pieces) > 32 && len(l.pieces) > 2*l.compactRuns() {
		return n.compact(l)
	}
	return nil
}

// appendPieces writes one record and puts its runs over the layer's pieces.
func (n *node) appendPieces(l *layer, h header, runs []run, b []byte) error {
	var rbuf [64]byte
	rb := appendRuns(rbuf[:0], runs)
	n.s.pinMu.RLock()
	defer n.s.pinMu.RUnlock()
	withPath := n.withPath()
	pathLen := 0
	if withPath {
		pathLen = min(len(n.path), maxPath)
	}
	ref, err := n.record(kindWrite, h, withPath, rb, b)
	if err != nil {
		return err
	}
	n.s.segs.add(ref.Segment, share{bytes: int64(len(b)), dirty: int64(len(b))})
	pos := int64(headerLen + pathLen + len(rb))
	if h.flags&flagReplace != 0 {
		n.dropPieces(l, l.pieces)
		l.pieces = nil
	}
	for _, r := range runs {
		n.dropPieces(l, l.insertPiece(piece{off: r.off, n: r.n, ref: ref, pos: pos}))
		pos += r.n
	}
	return nil
}

// dropPieces gives up the room of pieces that were overwritten or cut away by the node's newest record.
func (n *node) dropPieces(l *layer, gone []piece) {
	if len(gone) == 0 {
		return
	}
	n.s.segs.drop(n.lsn, gone, l.clean)
	var b int64
	for i := range gone {
		if !gone[i].zero {
			b += gone[i].n
		}
	}
	n.s.account(l.clean, -b)
}

// compactRuns is how many pieces the layer would have after compaction.
func (l *layer) compactRuns() (runs int) {
	for i := range l.pieces {
		p := &l.pieces[i]
		if i == 0 || l.pieces[i-1].end() != p.off || l.pieces[i-1].zero || p.zero {
			runs++
		}
	}
	return runs
}

// compact writes the pieces anew, adjacent ones as one, so that many small writes to one file don't cost memory without bound.
func (n *node) compact(l *layer) error {
	var runs []run
	var buf []byte
	var zeros []piece
	for i := range l.pieces {
		p := l.pieces[i]
		if p.zero {
			zeros = append(zeros, p)
			continue
		}
		at := len(buf)
		buf = append(buf, make([]byte, p.n)...)
		if err := n.s.readPiece(&p, buf[at:], p.off); err != nil {
			return n.s.damaged(n.ino, err)
		}
		if k := len(runs) - 1; k >= 0 && runs[k].off+runs[k].n == p.off {
			runs[k].n += p.n
			continue
		}
		runs = append(runs, run{p.off, p.n})
	}
	h := n.header(l)
	h.flags |= flagReplace
	n.s.account(false, int64(len(buf)))
	if err := n.appendPieces(l, h, runs, buf); err != nil {
		n.s.account(false, -int64(len(buf)))
		return err
	}
	for _, z := range zeros {
		if err := n.punchInline(l, z.off, z.end()); err != nil {
			return err
		}
	}
	return nil
}

// convert moves a small content to a layer file. The journal's bytes stay until the file is synced: they are its redo.
func (n *node) convert(l *layer, got map[int64][]byte) error {
	if n.detached {
		return n.convertGhost(l, got)
	}
	if err := n.completeBlocks(l, got); err != nil {
		return err
	}
	was := l.bytes()
	file := n.s.newLayer(n.ino, l.version, false, l.floor)
	if err := file.rebuild(n.s, l.pieces); err != nil {
		return err
	}
	h := n.header(l)
	h.flags &^= flagInline
	if _, err := n.record(kindConvert, h, n.withPath()); err != nil {
		return errors.Join(err, file.closeFile())
	}
	file.dataRuns(&file.present, func(a, b int64) bool { file.unsynced.add(a, b); return true })
	l.inline, l.old, l.pieces, l.path = false, l.pieces, nil, file.path
	l.f, l.sums, l.summed = file.f, file.sums, true
	l.present, l.hole, l.unsynced, l.touched, l.needSync = file.present, file.hole, file.unsynced, file.touched, true
	n.s.account(false, l.bytes()-was)
	n.gen++
	return nil
}

// convertGhost is convert for content that isn't recorded any more.
func (n *node) convertGhost(l *layer, got map[int64][]byte) error {
	file := n.s.newLayer(n.ino, l.version, false, l.floor)
	_, err := file.open(true)
	if err != nil {
		return err
	}
	file.takeBlocks(l.pieces)
	file.dataRuns(&file.present, func(a, b int64) bool {
		buf := make([]byte, (b-a)*BlockSize)
		if err = n.content(buf, a*BlockSize, got); err == nil {
			err = file.put(buf, a)
		}
		return err == nil
	})
	if err != nil {
		return errors.Join(err, file.closeFile())
	}
	n.s.account(l.clean, file.bytes()-l.bytes())
	n.s.segs.drop(n.lsn, l.pieces, l.clean)
	l.inline, l.pieces, l.path = false, nil, file.path
	l.f, l.sums, l.summed, l.present, l.hole, l.needSync = file.f, file.sums, true, file.present, file.hole, true
	n.gen++
	return nil
}

// completeBlocks writes the rest of the blocks that pieces cover in part, where something lies below, so that the pieces alone make whole blocks.
func (n *node) completeBlocks(l *layer, got map[int64][]byte) error {
	below := n.layers[:len(n.layers)-1]
	if len(below) == 0 && (l.floor == 0 || n.base == nil) {
		return nil
	}
	var buf [BlockSize]byte
	for b := int64(0); b*BlockSize < min(InlineLimit, l.floor); b++ {
		from, to := b*BlockSize, min((b+1)*BlockSize, l.floor)
		covered, all := false, true
		for at := from; at < from+BlockSize; {
			st, _, e := l.at(at, from+BlockSize)
			covered, all = covered || st != absent, all && (st != absent || at >= to)
			at = e
		}
		if !covered || all {
			continue
		}
		if err := n.content(buf[:to-from], from, got); err != nil {
			return err
		}
		if err := n.writeInline(l, buf[:to-from], from); err != nil {
			return err
		}
	}
	return nil
}

// rebuild makes the file of a converted layer out of pieces: the blocks that they touch, zeros around them.
func (l *layer) rebuild(s *Stage, pieces []piece) error {
	_, err := l.open(true)
	if err != nil {
		return err
	}
	l.takeBlocks(pieces)
	buf := make([]byte, InlineLimit)
	for i := range pieces {
		if p := &pieces[i]; !p.zero {
			if err := s.readPiece(p, buf[p.off:p.end()], p.off); err != nil {
				return err
			}
		}
	}
	l.dataRuns(&l.present, func(a, b int64) bool {
		err = l.put(buf[a*BlockSize:b*BlockSize], a)
		return err == nil
	})
	l.needSync = true
	return err
}

// takeBlocks notes the blocks that the pieces make: one that has a byte of data is data, the others of the holes are holes.
func (l *layer) takeBlocks(pieces []piece) {
	for i := range pieces {
		if p := &pieces[i]; p.zero {
			l.addHole(blockCeil(p.off)/BlockSize, max(blockCeil(p.off), blockFloor(p.end()))/BlockSize)
		}
	}
	for i := range pieces {
		if p := &pieces[i]; !p.zero {
			l.addData(p.off/BlockSize, (p.end()+BlockSize-1)/BlockSize)
		}
	}
}

// writeFile writes to the layer's file, always whole blocks, because sums are of these. What a write leaves of a block is read and compared first.
func (n *node) writeFile(l *layer, p []byte, off int64, got map[int64][]byte) error {
	end := off + int64(len(p))
	b0, b1 := off/BlockSize, (end+BlockSize-1)/BlockSize
	fresh := (b1 - b0) - (l.present.count(b0, b1) - l.hole.count(b0, b1))

	// The parts: a first and a last block to be completed, and what lies between.
	var head, tail []byte
	var err error
	mid, midOff := p, off
	if off%BlockSize != 0 {
		if head, err = n.complete(p, off, b0, got); err != nil {
			return err
		}
		skip := min((b0+1)*BlockSize-off, int64(len(p)))
		mid, midOff = p[skip:], off+skip
	}
	if end%BlockSize != 0 && len(mid) > 0 {
		if tail, err = n.complete(p, off, b1-1, got); err != nil {
			return err
		}
		mid = mid[:max((b1-1)*BlockSize-midOff, 0)]
	}
	if err := n.s.reserve(fresh * BlockSize); err != nil {
		return err
	}
	if _, err = l.open(true); err == nil {
		// Blocks that are there already count as unsynced even when the write fails midway.
		if fresh < b1-b0 {
			l.present.runs(b0, b1, func(a, b int64) bool {
				for ; a < b; a++ {
					if !l.hole.has(a) {
						l.unsynced.add(a, a+1)
						l.unnoted.add(a, a+1)
					}
				}
				return true
			})
		}
		l.needSync, n.changed = true, true
		for _, q := range [...]part{{head, b0}, {mid, midOff / BlockSize}, {tail, b1 - 1}} {
			if err = l.put(q.p, q.b); err != nil {
				break
			}
		}
	}
	if err != nil {
		n.s.dirtyBytes.Add(-fresh * BlockSize)
		return n.s.damaged(n.ino, err)
	}
	if got := l.addData(b0, b1); got != fresh {
		n.s.dirtyBytes.Add((got - fresh) * BlockSize)
	}
	l.unsynced.add(b0, b1)
	l.unnoted.add(b0, b1)
	n.size = max(n.size, end)
	return nil
}

// complete gives block b with the bytes of a write in it.
func (n *node) complete(p []byte, off, b int64, got map[int64][]byte) ([]byte, error) {
	buf := make([]byte, BlockSize)
	if err := n.content(buf, b*BlockSize, got); err != nil {
		return nil, err
	}
	if at := off - b*BlockSize; at >= 0 {
		copy(buf[at:], p)
	} else {
		copy(buf, p[-at:])
	}
	return buf, nil
}

// part is a run of whole blocks from block b on.
type part struct {
	p []byte
	b int64
}
