package stage

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"syscall"

	"github.com/syndtr/goleveldb/leveldb"
	lopt "github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/util"

	"github.com/cloudcoin/cloudcoin/sync/journal"
)

// saveChunk is how many nodes go into one batch of the map.
const saveChunk = 1024

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// SyncLayers syncs every layer file that was written, and notes it: to be called before Checkpoint, so that this has little left to do under locks.
func (s *Stage) SyncLayers(ctx context.Context) error {
	var all error
	for _, n := range s.inMemory() {
		if err := ctx.Err(); err != nil {
			return err
		}
		n.mu.RLock()
		need := n.needSync() || n.sumsUnsynced()
		n.mu.RUnlock()
		if !need {
			continue
		}
		n, err := s.acquire(n.ino)
		if err != nil {
			all = errors.Join(all, err)
			continue
		}
		n.syncMu.Lock()
		err = n.syncRecords(true)
		n.syncMu.Unlock()
		if all = errors.Join(all, s.release(n)); err != nil && !isGone(err) {
			all = errors.Join(all, err)
		}
	}
	return all
}

func (n *node) needSync() bool {
	for _, l := range n.layers {
		if l.needSync {
			return true
		}
	}
	return false
}

func (n *node) sumsUnsynced() bool {
	for _, l := range n.layers {
		if !l.inline && l.sums.unsynced {
			return true
		}
	}
	return false
}

// Checkpoint makes durable, outside of the journal, all that the journal said about contents before this call: the replay may start from a
// position that was taken before.
func (s *Stage) Checkpoint() error {
	if s.ready.Load() {
		if err := s.moveForward(); err != nil && !errors.Is(err, syscall.ENOSPC) {
			return fmt.Errorf("checkpoint stage: %w", err)
		}
	}
	s.barrier()
	s.saveMu.Lock()
	defer s.saveMu.Unlock()
	var changed []*node
	for _, n := range s.inMemory() {
		n.mu.RLock()
		if n.changed {
			changed = append(changed, n)
		}
		n.mu.RUnlock()
	}
	for len(changed) > 0 {
		k := min(len(changed), saveChunk)
		if err := s.save(changed[:k]); err != nil {
			return fmt.Errorf("checkpoint stage: %w", err)
		}
		changed = changed[k:]
	}
	if err := s.writeMark(s.book.batch); err != nil {
		return fmt.Errorf("checkpoint stage: %w", err)
	}
	s.reap()
	return nil
}

// barrier returns when whoever has appended small contents to the journal has pinned their segment.
func (s *Stage) barrier() {
	s.pinMu.Lock()
	defer s.pinMu.Unlock()
}

// trim saves the nodes that were used longest ago and lets them out of memory.
func (s *Stage) trim() error {
	s.saveMu.Lock()
	defer s.saveMu.Unlock()
	for {
		s.mu.Lock()
		var old []*node
		over := s.idle.Len() - s.opt.IdleNodes*3/4
		if s.idle.Len() <= s.opt.IdleNodes {
			over = 0
		}
		for e := s.idle.Front(); e != nil && len(old) < min(over, saveChunk); e = e.Next() {
			old = append(old, e.Value.(*node))
		}
		s.mu.Unlock()
		if len(old) == 0 {
			return nil
		}
		if err := s.save(old); err != nil {
			return err
		}
		s.mu.Lock()
		gone := 0
		for _, n := range old {
			if n.refs == 0 && !n.changed && n.idle != nil && s.nodes[n.ino] == n {
				s.idle.Remove(n.idle)
				n.idle = nil
				delete(s.nodes, n.ino)
				gone++
			}
		}
		s.mu.Unlock()
		if gone == 0 {
			return nil
		}
	}
}

// save writes nodes to the map. The caller holds saveMu.
func (s *Stage) save(nodes []*node) (err error) {
	batch := new(leveldb.Batch)
	var done []*node
	var held []*node
	defer func() {
		for _, n := range held {
			err = errors.Join(err, s.release(n))
		}
	}()
	next := s.book.clone()
	for _, n := range nodes {
		h, err := s.acquire(n.ino)
		if err != nil {
			if isGone(err) {
				continue
			}
			return err
		}
		held = append(held, h)
		ok, err := h.saveTo(batch, &next)
		if ok {
			done = append(done, h)
		}
		if err != nil {
			s.unsave(done)
			return err
		}
	}
	var gone []*layer
	for _, n := range done {
		n.mu.Lock()
		gone = append(gone, n.merged...)
		n.merged = nil
		n.mu.Unlock()
	}
	next.putSegments(batch, &s.book)
	// The map must not know more than the journal after a power cut.
	if err = s.j.Sync(context.Background(), s.j.End()); err == nil {
		old := s.book
		s.book = next
		if err = s.writeBatch(batch); err != nil {
			s.book = old
		}
	}
	if err != nil {
		s.unsave(done)
		return err
	}
	for _, l := range gone {
		s.unlink(0, l)
	}
	for _, n := range done {
		n.mu.Lock()
		n.freeSlack()
		if err := n.mergeClean(); err != nil && !isGone(err) {
			s.log.Warn("clean layers are not merged", "inode", uint64(n.ino), "error", err)
		}
		n.mu.Unlock()
	}
	return nil
}

// unsave notes that nodes still have to be saved, wholly.
func (s *Stage) unsave(nodes []*node) {
	for _, n := range nodes {
		n.mu.Lock()
		n.changed = true
		for _, l := range n.layers {
			if last := l.present.last(); last >= 0 {
				l.touch(0, last+1)
			}
		}
		n.mu.Unlock()
	}
}

// saveTo puts the node into the batch. Its layer files are synced before.
func (n *node) saveTo(batch *leveldb.Batch, b *book) (ok bool, err error) {
	n.syncMu.Lock()
	defer n.syncMu.Unlock()
	if err := n.syncRecords(true); err != nil {
		if isGone(err) {
			return false, nil // stays in memory and in the journal
		}
		return false, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.detached || !n.changed {
		return false, nil
	}
	// What was written meanwhile.
	jobs, err := n.syncJobs(true)
	if err == nil {
		err = n.finishSync(jobs, n.cuts, n.s.runJobs(jobs))
	}
	if err != nil {
		return false, err
	}
	b.move(&n.saved, -1)
	n.putBlocks(batch)
	ino := uint64(n.ino)
	n.sumUp(&n.saved)
	if len(n.layers) == 0 && n.small == nil {
		batch.Delete(key(keyNode, ino))
		n.saved.exists = false
	} else {
		batch.Put(key(keyNode, ino), n.encode())
		n.saved.exists = true
	}
	if n.saved.dirtyKey {
		batch.Put(key(keyDirty, ino), nil)
	} else {
		batch.Delete(key(keyDirty, ino))
	}
	b.move(&n.saved, 1)
	n.changed = false
	return true, n.writeSidecars()
}

// putBlocks writes the block leaves that changed and removes those of layers that went.
func (n *node) putBlocks(batch *leveldb.Batch) {
	var files []uint64
	for _, l := range n.layers {
		if l.inline {
			continue
		}
		files = append(files, l.id)
		for no := range l.touched {
			k := key(keyBlocks, uint64(n.ino), l.id, uint64(no))
			if l.present.leaves[no] == nil {
				batch.Delete(k)
				continue
			}
			batch.Put(k, l.hole.appendLeaf(l.present.appendLeaf(nil, no), no))
		}
		l.touched = nil
	}
	for _, v := range n.saved.files {
		if l := n.byID(v); l != nil && !l.inline {
			continue
		}
		it := n.s.db.NewIterator(util.BytesPrefix(key(keyBlocks, uint64(n.ino), v)), nil)
		for it.Next() {
			batch.Delete(append([]byte(nil), it.Key()...))
		}
		it.Release()
	}
	n.saved.files = files
}

// freeSlack gives room back that blocks took which were cut away or punched. What cut them is in the map or the journal by now.
func (n *node) freeSlack() {
	if n.lsn > n.s.j.Durable() {
		return // the next time
	}
	for _, l := range n.layers {
		if !l.slack || l.inline || l.snaps > 0 || n.detached {
			continue
		}
		f, err := l.open(false)
		if err == nil {
			err = l.freeAbsent(f)
		}
		if err != nil {
			n.s.log.Warn("room of a layer is not given back", "error", err)
			continue
		}
		l.slack = false
	}
}

func (l *layer) freeAbsent(f *os.File) error {
	end := l.lastData() + 1
	if err := f.Truncate(end * BlockSize); err != nil {
		return fmt.Errorf("shorten layer: %w", err)
	}
	if err := l.sums.f.Truncate(end * sumLen); err != nil {
		return fmt.Errorf("shorten checksums of layer: %w", err)
	}
	for b := int64(0); b < end; {
		from := b
		for from < end && l.present.has(from) && !l.hole.has(from) {
			from = min(l.present.next(from, end, false), l.hole.next(from, end, true))
		}
		to := from
		for to < end && (!l.present.has(to) || l.hole.has(to)) {
			if l.present.has(to) {
				to = l.hole.next(to, end, false)
			} else {
				to = l.present.next(to, end, true)
			}
		}
		if from < to {
			if err := freeRange(f, from*BlockSize, (to-from)*BlockSize); err != nil {
				return err
			}
		}
		b = to
	}
	return nil
}

func (b *book) clone() book {
	c := book{segs: make(map[uint64]share, len(b.segs)), clean: b.clean, dirty: b.dirty, batch: b.batch}
	for k, v := range b.segs {
		c.segs[k] = v
	}
	return c
}

// move adds (sign 1) or takes off (-1) what one node has.
func (b *book) move(v *savedShare, sign int64) {
	b.clean += sign * v.clean
	b.dirty += sign * v.dirty
	for seg, sh := range v.segs {
		u := b.segs[seg]
		u.bytes += sign * sh.bytes
		u.dirty += sign * sh.dirty
		b.segs[seg] = u
	}
}

// putSegments writes the segments' sums that differ from before.
func (b *book) putSegments(batch *leveldb.Batch, before *book) {
	for seg, sh := range b.segs {
		if sh.bytes <= 0 {
			delete(b.segs, seg)
			batch.Delete(key(keySegment, seg))
		} else if before.segs[seg] != sh {
			batch.Put(key(keySegment, seg), key(0, uint64(sh.bytes), uint64(sh.dirty), uint64(sh.last))[1:])
		}
	}
}

// writeBatch writes a batch with the sums and the next batch number.
func (s *Stage) writeBatch(batch *leveldb.Batch) error {
	next := s.book.batch + 1
	batch.Put([]byte{keyMeta}, append([]byte{mapFormat}, key(0, uint64(s.book.clean), uint64(s.book.dirty), next)[1:]...))
	batch.Put(key(keyBatch, next), nil)
	if next > batchesKept {
		batch.Delete(key(keyBatch, next-batchesKept))
	}
	if err := s.db.Write(batch, &lopt.WriteOptions{Sync: true}); err != nil {
		return fmt.Errorf("write map: %w", err)
	}
	s.book.batch = next
	return nil
}

// The mark is a small file beside the map with the number of the last synced batch: the map must not lose it.
func (s *Stage) markPath() string { return filepath.Join(s.dir, "mark") }

func (s *Stage) writeMark(batch uint64) error {
	b := append([]byte("ccmark1\n"), key(0, batch)[1:]...)
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	return writeFileDurable(s.markPath(), b)
}

func (s *Stage) checkMark(batch uint64) error {
	b, err := os.ReadFile(s.markPath())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open stage: %w", err)
	}
	if len(b) != 20 || string(b[:8]) != "ccmark1\n" || binary.BigEndian.Uint32(b[16:]) != crc32.Checksum(b[:16], castagnoli) {
		return &journal.DamageError{File: s.markPath(), Why: "not what was written"}
	}
	if want := binary.BigEndian.Uint64(b[8:]); want > batch {
		return &journal.DamageError{File: filepath.Join(s.dir, "map"), Why: fmt.Sprintf("ends with batch %d, but %d was synced", batch, want)}
	}
	return nil
}

// writeFileDurable replaces a file whole.
func writeFileDurable(path string, b []byte) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(tmp))
	}
	return syncDir(filepath.Dir(path))
}
