package stage

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/cloudcoin/cloudcoin/sync/journal"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// ReplayRecord brings the stage up by one record of the journal, in the journal's order. Records that it already knows change nothing.
func (s *Stage) ReplayRecord(r journal.Record) error {
	p, err := parseRecord(r.Kind, r.Body)
	if err != nil {
		return fmt.Errorf("replay content at %d: %w", r.LSN, err)
	}
	n, err := s.acquire(p.ino)
	if err != nil {
		return fmt.Errorf("replay content of inode %d: %w", p.ino, err)
	}
	n.mu.Lock()
	if r.LSN > n.lsn {
		n.lsn, n.changed = r.LSN, true
		n.apply(&p, &r)
	}
	n.mu.Unlock()
	return s.release(n)
}

// apply changes the node as the record says. It reads and writes no file: see redo.
func (n *node) apply(p *parsed, r *journal.Record) {
	switch p.kind {
	case kindStored:
		n.markStored(p.version)
		for _, l := range n.layers {
			if l.clean && l.lost { // what is stored is whole, what is here isn't
				n.discardClean()
				break
			}
		}
		return
	case kindDrop:
		n.discard()
		return
	case kindEvict:
		n.discardClean()
		return
	}
	l := n.layer(p.version)
	if l == nil {
		if p.version < n.version() || p.version == 0 {
			return // about a layer that went since
		}
		l = n.s.newLayer(n.ino, p.version, p.flags&flagInline != 0, p.floor)
		if len(n.layers) == 0 {
			n.size = p.floor // what there was below, should nothing else of the layer be believed
		}
		n.layers = append(n.layers, l)
	}
	if p.path != "" {
		n.path, n.pathSeg = p.path, r.Ref.Segment
	}
	if p.kind == kindExtents && p.flags&flagUnsynced != 0 && !r.SameBoot {
		l.lost = true // the page cache that had these blocks is gone
		return
	}
	n.mtime, n.ctime = p.mtime, p.ctime
	n.applyTo(l, p, r)
	n.size, l.floor = p.size, min(l.floor, p.floor)
}

func (n *node) applyTo(l *layer, p *parsed, r *journal.Record) {
	switch p.kind {
	case kindWrite:
		pos := p.pos
		var pieces []piece
		for _, q := range p.runs {
			pieces = append(pieces, piece{off: q.off, n: q.n, ref: r.Ref, pos: pos})
			pos += q.n
		}
		if p.flags&flagInline == 0 {
			for _, q := range p.runs {
				n.s.account(l.clean, l.addData(q.off/BlockSize, (q.off+q.n)/BlockSize)*BlockSize)
			}
			l.redo = append(l.redo, redo{pieces: pieces})
			l.needSync, l.lost = true, false
			return
		}
		sum := int64(len(p.data))
		n.s.segs.add(r.Ref.Segment, share{bytes: sum, dirty: sum})
		n.s.account(false, sum)
		if p.flags&flagReplace != 0 {
			n.dropPieces(l, l.pieces)
			l.pieces = nil
		}
		for _, q := range pieces {
			n.dropPieces(l, l.insertPiece(q))
		}
	case kindExtents:
		for _, q := range p.runs {
			n.s.account(l.clean, l.addData(q.off, q.off+q.n)*BlockSize)
			if p.flags&flagUnsynced != 0 {
				l.unsynced.add(q.off, q.off+q.n)
				l.needSync = true
			}
		}
		l.redo = nil
		l.lost = l.lost && p.flags&flagUnsynced != 0
		if p.flags&flagUnsynced == 0 && l.old != nil {
			n.s.segs.drop(n.lsn, l.old, l.clean)
			l.old = nil
		}
	case kindTruncate:
		n.cutLayer(l, p.size)
		if !l.inline && p.size%BlockSize != 0 && l.present.has(p.size/BlockSize) {
			l.redo = append(l.redo, redo{zeroAt: p.size})
			l.needSync = true
		}
	case kindPunch:
		from, to := p.runs[0].off, p.runs[0].off+p.runs[0].n
		if l.inline {
			n.addZero(l, from, to)
		} else {
			n.s.account(l.clean, -l.addHole(from/BlockSize, to/BlockSize)*BlockSize)
		}
	case kindFreeze:
		l.frozen, l.size, l.mtime, l.ctime = true, p.size, p.mtime, p.ctime
	case kindConvert:
		n.applyConvert(l)
	}
}

func (n *node) applyConvert(l *layer) {
	was := l.bytes()
	l.takeBlocks(l.pieces)
	l.redo = append(l.redo, redo{pieces: l.pieces, blocks: true})
	l.inline, l.old, l.pieces, l.needSync, l.path = false, l.pieces, nil, true, n.s.layerPath(n.ino, l.id)
	n.s.account(l.clean, l.bytes()-was)
}

// redo makes the changes of layer files again that only the journal is sure to have.
func (n *node) redo() error {
	for _, l := range n.layers {
		if len(l.redo) == 0 {
			continue
		}
		if err := l.replayFile(n.s); err != nil {
			return n.s.damaged(n.ino, fmt.Errorf("replay layer %s: %w", l.path, err))
		}
		l.redo = nil
	}
	return nil
}

func (l *layer) replayFile(s *Stage) error {
	if err := l.checkLength(); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(l.path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(l.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	l.f = f
	err = l.openSums()
	for _, r := range l.redo {
		if err == nil {
			err = l.replayOne(s, r)
		}
	}
	return errors.Join(err, l.closeFile())
}

// checkLength tells whether the file reaches as far as blocks have to be in it that no redo writes: redo must not hide that its end was lost.
func (l *layer) checkLength() error {
	var again blockset
	for _, r := range l.redo {
		for i := range r.pieces {
			if p := &r.pieces[i]; !p.zero {
				again.add(p.off/BlockSize, blockCeil(p.end())/BlockSize)
			}
		}
	}
	last := int64(-1)
	l.dataRuns(&l.present, func(a, b int64) bool {
		for b > a && again.has(b-1) {
			b--
		}
		if a < b {
			last = b - 1
		}
		return true
	})
	if last < 0 {
		return nil
	}
	st, err := os.Stat(l.path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return &journal.DamageError{File: l.path, Why: "the file is missing"}
	case err != nil:
		return err
	case st.Size() < (last+1)*BlockSize:
		return &journal.DamageError{File: l.path, Off: st.Size(), Why: fmt.Sprintf("the file was cut short: block %d has to be in it", last)}
	}
	return nil
}

// zeroFrom writes zeros from off to the end of its block. A block that contradicts its sum goes on doing so.
func (l *layer) zeroFrom(off int64) error {
	buf := make([]byte, BlockSize)
	b := off / BlockSize
	if _, err := l.f.ReadAt(buf, b*BlockSize); err != nil && err != io.EOF {
		return fmt.Errorf("read layer: %w", err)
	}
	bad := l.verify(buf, b)
	clear(buf[off%BlockSize:])
	if bad == nil {
		return l.put(buf, b)
	}
	_, err := l.f.WriteAt(buf[off%BlockSize:], off)
	return err
}

func (l *layer) replayOne(s *Stage, r redo) error {
	switch {
	case r.blocks:
		scratch := &layer{path: l.path, f: l.f, sums: l.sums, log: l.log}
		l.sums.unsynced = true
		return scratch.rebuild(s, r.pieces)
	case r.pieces == nil:
		return l.zeroFrom(r.zeroAt)
	}
	for i := range r.pieces {
		p := &r.pieces[i]
		buf := make([]byte, p.n)
		if err := s.readPiece(p, buf, p.off); err != nil {
			return err
		}
		if err := l.put(buf, p.off/BlockSize); err != nil {
			return err
		}
	}
	return nil
}

// markStored makes the layers up to version clean and joins small ones.
func (n *node) markStored(version uint64) {
	for _, l := range n.layers {
		if l.clean || l.version > version {
			continue
		}
		b := l.bytes()
		l.clean, l.frozen = true, true
		n.s.account(false, -b)
		n.s.account(true, b)
		n.s.segs.stored(l.pieces)
		n.s.segs.stored(l.old)
	}
	n.joinInline()
	n.gen++
	n.baseNew = false
}

// evictUnsure gives stored content up of which the disk may hold something else than what was written.
func (n *node) evictUnsure() error {
	for _, l := range n.layers {
		if l.clean && l.syncErr != nil {
			_, _, err := n.evict()
			return err
		}
	}
	return nil
}

// joinInline makes one of adjacent clean layers whose bytes lie in the journal.
func (n *node) joinInline() {
	for i := len(n.layers) - 1; i > 0; i-- {
		up, low := n.layers[i], n.layers[i-1]
		if !up.clean || !low.clean || !up.inline || !low.inline || up.snaps > 0 || low.snaps > 0 {
			continue
		}
		pieces := up.pieces
		up.pieces = low.pieces
		n.dropPieces(up, up.cutPieces(up.floor, 1<<62))
		for _, p := range pieces {
			n.dropPieces(up, up.insertPiece(p))
		}
		up.floor = min(up.floor, low.floor)
		n.layers = append(n.layers[:i-1:i-1], n.layers[i:]...)
	}
}

// discard gives up all local content. The node's newest record says so.
func (n *node) discard() {
	for _, l := range n.layers {
		n.discardLayer(l)
	}
	for _, l := range n.merged {
		n.s.unlink(n.lsn, l)
	}
	n.layers, n.merged = nil, nil
	if n.small != nil {
		n.s.cache.drop(n.small)
		n.small = nil
	}
	n.gen++
}

// discardClean gives up what is stored or fetched.
func (n *node) discardClean() {
	var keep []*layer
	for _, l := range n.layers {
		if l.clean {
			n.discardLayer(l)
		} else {
			keep = append(keep, l)
		}
	}
	n.layers = keep
	if n.small != nil {
		n.s.cache.drop(n.small)
		n.small = nil
	}
	n.gen++
}

func (n *node) discardLayer(l *layer) {
	n.s.account(l.clean, -l.bytes())
	n.s.segs.drop(n.lsn, l.pieces, l.clean)
	n.s.segs.drop(n.lsn, l.old, l.clean)
	if !l.inline {
		n.s.unlink(n.lsn, l)
	}
}

// checkGone drops the clean layers when a segment that held some of them was evicted since the node was saved.
func (n *node) checkGone() {
	gone := false
	for _, l := range n.layers {
		keep := l.pieces[:0:0]
		for _, p := range l.pieces {
			switch {
			case p.zero || n.s.segs.has(p.ref.Segment):
				keep = append(keep, p)
			case l.clean:
				gone = true // was taken off the accounts with its segment
			default:
				keep = append(keep, p)
				n.s.noteDamage(n.ino, fmt.Errorf("segment %d of the journal: %w", p.ref.Segment, journal.ErrGone))
			}
		}
		l.pieces = keep
	}
	if gone {
		n.discardClean()
		n.changed = true
	}
}

// eachDirty calls fn, with the node's lock held, for each inode that has dirty content.
func (s *Stage) eachDirty(fn func(n *node) bool) error {
	inos, err := s.dirtyInos()
	if err != nil {
		return err
	}
	for _, ino := range inos {
		n, err := s.acquire(ino)
		if err != nil {
			return err
		}
		n.mu.Lock()
		goOn := true
		if n.dirty() {
			goOn = fn(n)
		}
		n.mu.Unlock()
		if err := s.release(n); err != nil {
			return err
		}
		if !goOn {
			return nil
		}
	}
	return nil
}

// DirtyInos calls fn for each inode whose newest content isn't stored, in no order, until it answers false: for the reconciliation with the index after replay.
func (s *Stage) DirtyInos(fn func(ino model.Ino, version uint64, size, mtime, ctime int64) bool) error {
	type found struct {
		ino                model.Ino
		version            uint64
		size, mtime, ctime int64
	}
	var all []found
	if err := s.eachDirty(func(n *node) bool {
		all = append(all, found{n.ino, n.version(), n.size, n.mtime, n.ctime})
		return true
	}); err != nil {
		return err
	}
	for _, f := range all {
		if !fn(f.ino, f.version, f.size, f.mtime, f.ctime) {
			return nil
		}
	}
	return nil
}

// Drop gives up all local content of an inode: it was removed. Files that are open keep it until they are closed.
func (s *Stage) Drop(ino model.Ino) error { return s.detach(ino) }

// Rebase gives up all local content of an inode because its content was replaced. Files that are open keep the old content; the next Open
// brings the new base.
func (s *Stage) Rebase(ino model.Ino, _ Base, _ int64) error { return s.detach(ino) }

func (s *Stage) detach(ino model.Ino) error {
	n, err := s.acquire(ino)
	if err != nil {
		return err
	}
	n.wmu.Lock()
	n.mu.Lock()
	if len(n.layers) > 0 || n.small != nil || n.saved.exists {
		_, err = n.record(kindDrop, header{ino: ino}, false)
	}
	if err == nil && !n.detached {
		err = s.replace(n)
	}
	n.mu.Unlock()
	n.wmu.Unlock()
	err = errors.Join(err, s.release(n))
	s.reap()
	return err
}

// replace puts a fresh node in the place of n, which goes on as a ghost for those who have it open. The caller holds both locks of n.
func (s *Stage) replace(n *node) error {
	fresh := &node{s: s, ino: n.ino, lsn: n.lsn, changed: n.changed || n.saved.exists, saved: n.saved}
	s.mu.Lock()
	defer s.mu.Unlock()
	n.detached, n.saved, n.changed = true, savedShare{}, false
	s.ghosts[n] = struct{}{}
	if !fresh.changed {
		delete(s.nodes, n.ino)
		return nil
	}
	s.nodes[n.ino] = fresh
	fresh.idle = s.idle.PushBack(fresh)
	return nil
}

// Stored notes that version and all before it are stored: their layers are clean, a cache. To be called after the index says so.
func (s *Stage) Stored(ino model.Ino, version uint64) error {
	n, err := s.acquire(ino)
	if err != nil {
		return err
	}
	n.wmu.Lock()
	n.mu.Lock()
	some := false
	for _, l := range n.layers {
		some = some || !l.clean && l.version <= version
	}
	if some {
		if t := n.layer(version); t != nil && !t.frozen {
			err = fmt.Errorf("version %d of inode %d isn't frozen", version, ino)
		} else if _, err = n.record(kindStored, header{ino: ino, version: version}, false); err == nil {
			n.markStored(version)
			err = n.evictUnsure()
		}
	}
	n.mu.Unlock()
	n.wmu.Unlock()
	return errors.Join(err, s.release(n))
}
