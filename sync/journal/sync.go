package journal

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
)

// syncState lets one caller flush for all who wait.
type syncState struct {
	mu   sync.Mutex
	busy chan struct{} // closed when the flush under way has ended; nil: none is
}

// Sync returns when every record that ends at or before upTo is durable. Callers that come while a flush is under way share the next
// one. It returns the context's error when that ends first; the records may become durable all the same.
func (j *Journal) Sync(ctx context.Context, upTo LSN) error {
	for j.Durable() < upTo {
		if upTo > j.End() {
			return fmt.Errorf("journal: sync up to %d, but it ends at %d", upTo, j.End())
		}
		j.sy.mu.Lock()
		if wait := j.sy.busy; wait != nil {
			j.sy.mu.Unlock()
			select {
			case <-wait:
				continue
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if err := ctx.Err(); err != nil {
			j.sy.mu.Unlock()
			return err
		}
		done := make(chan struct{})
		j.sy.busy = done
		j.sy.mu.Unlock()
		err := j.flush()
		j.sy.mu.Lock()
		j.sy.busy = nil
		j.sy.mu.Unlock()
		close(done)
		if err != nil {
			return err
		}
	}
	return nil
}

// flush makes everything durable that was appended before the call. One flush runs at a time.
func (j *Journal) flush() error {
	j.mu.Lock()
	if err := j.usable(); err != nil {
		j.mu.Unlock()
		return err
	}
	target := j.End()
	dirty := append([]*segment(nil), j.unsynced...)
	j.mu.Unlock()

	var err error
	for _, s := range dirty {
		if err = j.datasync(s.f); err != nil {
			err = fmt.Errorf("sync journal segment %d: %w", s.num, err)
			break
		}
	}
	newest := dirty[len(dirty)-1].num
	if err == nil && newest > j.headSeg {
		err = j.noteSegment(newest)
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
			// The records are durable all the same; only the loss of this segment would not be noticed. The next flush tries again.
			j.log.Warn("journal: no room to note a new segment", "segment", newest, "err", err)
			err = nil
		}
	}

	j.mu.Lock()
	defer j.mu.Unlock()
	if err != nil {
		j.failed = errors.Join(ErrFailed, err)
		return j.failed
	}
	j.durable.Store(uint64(target))
	j.dropSynced(dirty, target)
	if j.marked < target {
		j.noteLater()
	}
	return nil
}

// dropSynced closes the write handles of segments that got their last record before the position target, up to which all is durable now: one that
// got its last records while it was being synced has to be synced again. mu is held.
func (j *Journal) dropSynced(dirty []*segment, target LSN) {
	for _, s := range dirty {
		if s == j.cur || s.end() > target {
			continue
		}
		if err := s.f.Close(); err != nil {
			j.log.Warn("journal: close a segment", "segment", s.num, "err", err)
		}
		s.f = nil
		for i, u := range j.unsynced {
			if u == s {
				j.unsynced = append(j.unsynced[:i], j.unsynced[i+1:]...)
				break
			}
		}
	}
}

// noteSegment notes in the head that a segment exists, so that its loss is noticed. Its header is durable already.
func (j *Journal) noteSegment(num uint64) error {
	j.headMu.Lock()
	defer j.headMu.Unlock()
	j.mu.Lock()
	h := j.headNow()
	j.mu.Unlock()
	h.segment = num
	if err := j.writeHead(h); err != nil {
		return err
	}
	j.mu.Lock()
	j.headSeg = num
	j.mu.Unlock()
	return nil
}

// headNow is the head for what is durable now. mu is held.
func (j *Journal) headNow() head {
	return head{checkpoint: j.cpLSN, cpSegment: j.cpSeg, segment: j.headSeg, durable: j.Durable(), by: j.me}
}

// segmentBefore is the number of the segment whose records end at lsn or go on behind it. At a border that is the older one, for the header of the
// newer one need not be durable yet. mu is held.
func (j *Journal) segmentBefore(lsn LSN) uint64 {
	best := j.cpSeg
	for num, s := range j.segs {
		if s.base < lsn && num > best {
			best = num
		}
	}
	return best
}

// Checkpoint lets the next Replay start at lsn, which is a position that a record began at or End; it never moves back. It is durable on return. Segments
// wholly before it that aren't pinned are recycled.
func (j *Journal) Checkpoint(lsn LSN) error {
	if lsn > j.Durable() {
		if err := j.Sync(context.Background(), lsn); err != nil {
			return err
		}
	}
	j.headMu.Lock()
	defer j.headMu.Unlock()
	j.mu.Lock()
	if err := j.usable(); err != nil {
		j.mu.Unlock()
		return err
	}
	lsn = max(lsn, j.cpLSN)
	h := j.headNow()
	h.checkpoint, h.cpSegment = lsn, j.segmentBefore(lsn)
	j.mu.Unlock()
	if err := j.writeHead(h); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.cpLSN, j.cpSeg, j.recycles = h.checkpoint, h.cpSegment, true
	return j.recycleOld()
}

// recycleOld frees every segment that ends at or before the checkpoint and isn't pinned. mu is held.
func (j *Journal) recycleOld() error {
	if !j.recycles || j.closed {
		return nil
	}
	var err error
	for num, s := range j.segs {
		if s == j.cur || s.pins > 0 || s.f != nil || num >= j.cpSeg {
			continue
		}
		delete(j.segs, num)
		err = errors.Join(err, j.recycle(s))
	}
	return err
}

// Pin keeps a segment from being recycled until Unpin was called as often. Pins are not kept over a restart: until the first Checkpoint of a
// session nothing is recycled. Pinning a segment that is gone does nothing.
func (j *Journal) Pin(seg uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if s := j.segs[seg]; s != nil {
		s.pins++
	}
}

// Unpin takes one Pin back.
func (j *Journal) Unpin(seg uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := j.segs[seg]
	if s == nil || s.pins == 0 {
		return
	}
	s.pins--
	if s.pins == 0 {
		if err := j.recycleOld(); err != nil {
			j.log.Warn("journal: recycle a segment", "segment", seg, "err", err)
		}
	}
}

// closeTidily syncs, and notes in the head how far the journal reaches.
func (j *Journal) closeTidily() error {
	if err := j.Sync(context.Background(), j.End()); err != nil {
		return err
	}
	j.headMu.Lock()
	defer j.headMu.Unlock()
	j.mu.Lock()
	h := j.headNow()
	j.mu.Unlock()
	return j.writeHead(h)
}
