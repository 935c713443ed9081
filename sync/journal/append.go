package journal

import (
	"fmt"
	"time"
)

// Append adds a record whose body is the parts joined. It is in the hands of the operating system on return (a killed process
// loses nothing) and durable after Sync(ctx, ref.LSN). A full disk gives an error that wraps ENOSPC; nothing was appended then.
func (j *Journal) Append(kind Kind, parts ...[]byte) (Ref, error) {
	if kind == 0 || kind >= firstOwnKind {
		return Ref{}, fmt.Errorf("journal: kind %d is not for records of others", kind)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.append(kind, parts...)
}

// append is Append for every kind. mu is held.
func (j *Journal) append(kind Kind, parts ...[]byte) (Ref, error) {
	body := int64(0)
	for _, p := range parts {
		body += int64(len(p))
	}
	need := span(body)
	if body > MaxBody || need > j.opt.SegmentSize-segmentHeader {
		return Ref{}, fmt.Errorf("%w: %d bytes", ErrTooLong, body)
	}
	for {
		if err := j.usable(); err != nil {
			return Ref{}, err
		}
		if j.cur.off+need <= j.cur.size {
			break
		}
		// roll may let go of the lock to wait for a segment that is being prepared; so all is asked again.
		if _, err := j.roll(); err != nil {
			return Ref{}, fmt.Errorf("append to the journal: %w", err)
		}
	}
	ref, err := j.write(kind, body, need, parts)
	if err != nil {
		return Ref{}, fmt.Errorf("append to the journal: %w", err)
	}
	if s := j.cur; s.off > j.prepareAt {
		j.prepareAt = s.off + s.size/16 // when it fails, a while passes until the next try
		j.prepare()
	}
	return ref, nil
}

// write puts the record behind the last one, in whole blocks where it begins new ones, so that no block of a recycled file has to be
// read first. mu is held.
func (j *Journal) write(kind Kind, body, need int64, parts [][]byte) (Ref, error) {
	s := j.cur
	end := s.off + need
	padded := end
	if end > s.full {
		padded = min((end+blockSize-1)&^(blockSize-1), s.size)
	}
	durable := j.Durable()
	buf := grow(&j.buf, int(padded-s.off))
	h := header{kind: kind, len: uint32(body), lsn: s.end(), durable: durable, epoch: j.me.epoch}
	h.put(buf)
	n := recordHeader
	for _, p := range parts {
		n += copy(buf[n:], p)
	}
	clear(buf[n:])
	seal(buf[:n])
	if _, err := s.f.WriteAt(buf, s.off); err != nil {
		return Ref{}, err
	}
	ref := Ref{Segment: s.num, Off: s.off + recordHeader, Len: body, LSN: s.end() + LSN(need)}
	s.off, s.full = end, max(s.full, padded)
	j.marked = max(j.marked, durable)
	j.end.Store(uint64(ref.LSN))
	return ref, nil
}

func grow(buf *[]byte, n int) []byte {
	if cap(*buf) < n {
		*buf = make([]byte, n, n+n/4)
	}
	return (*buf)[:n]
}

// noteLater lets a record carry the durable position some time after the last sync, so that damage to the last synced record is
// told from a torn tail even when nothing was appended since. mu is held.
func (j *Journal) noteLater() {
	if j.closed || j.mark != nil {
		return
	}
	j.wg.Add(1)
	j.mark = time.AfterFunc(markDelay, func() {
		defer j.wg.Done()
		j.mu.Lock()
		defer j.mu.Unlock()
		j.mark = nil
		if j.usable() != nil || j.marked >= j.Durable() || j.cur.off+span(0) > j.cur.size {
			return
		}
		if _, err := j.append(kindMark); err != nil {
			j.log.Warn("journal: note the durable position", "err", err)
		}
	})
}
