package journal

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// scanResult is what a pass over the journal found.
type scanResult struct {
	end      LSN
	tail     *segment
	older    []*segment // every other segment with records, also those before the checkpoint
	durable  LSN        // the highest position that is known to be durable
	last     session    // the session of the newest record
	maxEpoch uint32
}

// scanner walks over records from the checkpoint.
type scanner struct {
	j     *Journal
	h     head
	r     scanResult
	fn    func(Record) error
	epoch uint32             // of the last record
	by    map[uint32]session // of every epoch that is known
	body  []byte
}

// scan reads everything from the checkpoint in h to the end of the journal. fn may be nil.
func (j *Journal) scan(h head, nums []uint64, fn func(Record) error) (*scanResult, error) {
	sc := &scanner{j: j, h: h, fn: fn, by: map[uint32]session{h.by.epoch: h.by}}
	sc.r.durable, sc.r.last, sc.r.maxEpoch = h.durable, h.by, h.by.epoch
	pos := h.checkpoint
	num := h.cpSegment
	for {
		s, err := sc.open(num, pos)
		if err != nil {
			return nil, err
		}
		if s == nil { // never begun: the journal ends in the segment before, or right at the start of this one
			break
		}
		if sc.r.tail != nil {
			sc.r.older = append(sc.r.older, sc.r.tail)
		}
		sc.r.tail = s
		if pos, err = sc.segment(s, pos); err != nil {
			return nil, err
		}
		num++
	}
	sc.r.end = pos
	if err := sc.prove(nums); err != nil {
		return nil, err
	}
	return &sc.r, sc.listOlder(nums)
}

// open reads the header of segment num, whose records go on at pos. It returns nil when the journal ends before it.
func (sc *scanner) open(num uint64, pos LSN) (*segment, error) {
	name := sc.j.path(segmentName(num))
	must := num <= sc.h.segment
	h, size, err := readSegHeader(name)
	bad := func(off int64, why string) (*segment, error) {
		if must {
			return nil, &DamageError{name, off, why}
		}
		return nil, nil
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return bad(0, "the file is missing")
	case errors.Is(err, errNoHeader):
		return bad(0, err.Error())
	case err != nil:
		return nil, err
	case h.num != num:
		return bad(8, fmt.Sprintf("it says that it is segment %d", h.num))
	case size != h.size:
		return nil, &DamageError{name, size, fmt.Sprintf("the file should have %d bytes", h.size)}
	}
	first := sc.r.tail == nil
	if h.base > pos || (!first && h.base != pos) || pos > h.base+LSN(size-segmentHeader) {
		return bad(24, fmt.Sprintf("it begins at position %d, but the records before it end at %d", h.base, pos))
	}
	sc.by[h.by.epoch] = h.by
	if h.by.epoch >= sc.r.maxEpoch {
		sc.r.last, sc.r.maxEpoch = h.by, h.by.epoch
	}
	sc.r.durable = max(sc.r.durable, h.durable)
	return &segment{num: num, size: size, base: h.base, off: segmentHeader + int64(pos-h.base)}, nil
}

var errNoHeader = errors.New("the segment's header is not valid")

func readSegHeader(name string) (h segHeader, size int64, err error) {
	f, err := os.Open(name)
	if err != nil {
		return h, 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	st, err := f.Stat()
	if err != nil {
		return h, 0, err
	}
	p := make([]byte, 128)
	if _, err = io.ReadFull(f, p); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return h, st.Size(), errNoHeader
		}
		return h, st.Size(), err
	}
	h, ok := parseSegHeader(p)
	if !ok {
		return h, st.Size(), errNoHeader
	}
	return h, st.Size(), nil
}

// segment reads the records of s from pos on and returns the position after the last good one.
func (sc *scanner) segment(s *segment, pos LSN) (LSN, error) {
	f, err := os.Open(sc.j.path(segmentName(s.num)))
	if err != nil {
		return pos, err
	}
	defer f.Close() //nolint:errcheck // only read
	if _, err := f.Seek(s.off, io.SeekStart); err != nil {
		return pos, err
	}
	in := bufio.NewReaderSize(f, 256<<10)
	for s.off+recordHeader <= s.size {
		h, body, ok, err := sc.next(in, s, pos)
		if err != nil || !ok {
			return pos, err
		}
		s.off += span(int64(h.len))
		pos += LSN(span(int64(h.len)))
		if err := sc.take(s, h, body, pos); err != nil {
			return pos, err
		}
	}
	return pos, nil
}

// next reads one record; ok is false when there is none at pos.
func (sc *scanner) next(in *bufio.Reader, s *segment, pos LSN) (h header, body []byte, ok bool, err error) {
	p, err := in.Peek(recordHeader)
	if err != nil {
		return h, nil, false, ignoreEOF(err)
	}
	h, ok = parseHeader(p, pos)
	if !ok || s.off+span(int64(h.len)) > s.size || !sc.follows(h) {
		return h, nil, false, nil
	}
	rec := grow(&sc.body, int(span(int64(h.len))))
	if _, err := io.ReadFull(in, rec); err != nil {
		return h, nil, false, ignoreEOF(err)
	}
	rec = rec[:recordHeader+int(h.len)]
	if checksum(rec) != h.crc {
		return h, nil, false, nil
	}
	return h, rec[recordHeader:], true, nil
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

// follows tells whether a record may stand behind the last one: it is of the same session, or the first of a later one.
// A leftover of an earlier torn tail is neither.
func (sc *scanner) follows(h header) bool {
	return sc.epoch == 0 || h.epoch == sc.epoch || (h.epoch > sc.epoch && h.kind == kindSession)
}

// take accounts for a good record and shows it to fn.
func (sc *scanner) take(s *segment, h header, body []byte, end LSN) error {
	sc.epoch = h.epoch
	sc.r.durable = max(sc.r.durable, h.durable)
	if h.kind == kindSession && len(body) == sessionSize {
		by := parseSession(body)
		if by.epoch >= sc.r.maxEpoch {
			sc.r.maxEpoch, sc.r.last = by.epoch, by
		}
		sc.by[by.epoch] = by
	}
	if h.kind >= firstOwnKind || sc.fn == nil {
		return nil
	}
	return sc.fn(Record{
		Kind: h.kind, LSN: end, Body: body, SameBoot: sc.j.me.samePageCache(sc.by[h.epoch]),
		Ref: Ref{Segment: s.num, Off: s.off - span(int64(h.len)) + recordHeader, Len: int64(h.len), LSN: end},
	})
}

// prove looks behind the end for a record or a header which says that more was durable.
func (sc *scanner) prove(nums []uint64) error {
	end, proof, by := sc.r.end, sc.r.durable, ""
	if proof < end {
		for _, n := range nums {
			if n < sc.r.tail.num {
				continue
			}
			d, err := sc.highest(n)
			if err != nil {
				return err
			}
			if d > proof {
				proof, by = d, segmentName(n)
			}
		}
	}
	if proof <= end {
		return nil
	}
	why := fmt.Sprintf("the record here is not valid, but the journal was durable up to position %d", proof)
	if by != "" {
		why += ", says " + by
	}
	return &DamageError{sc.j.path(segmentName(sc.r.tail.num)), sc.r.tail.off, why}
}

// highest is the highest durable position that valid records behind the end in segment num, and its header, speak of. It also learns of sessions.
func (sc *scanner) highest(num uint64) (LSN, error) {
	name := sc.j.path(segmentName(num))
	sh, size, err := readSegHeader(name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errNoHeader) {
		return 0, nil // recycled since, or prepared and never begun
	}
	if err != nil || sh.num != num {
		return 0, err
	}
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close() //nolint:errcheck // only read
	d, off := sh.durable, int64(segmentHeader)
	sc.r.maxEpoch = max(sc.r.maxEpoch, sh.by.epoch)
	if num == sc.r.tail.num {
		off = sc.r.tail.off
	}
	win := make([]byte, 256<<10)
	for off+recordHeader <= size {
		n, err := f.ReadAt(win, off)
		if ignoreEOF(err) != nil {
			return 0, err
		}
		if n < recordHeader {
			break
		}
		for at := 0; at+recordHeader <= n; at += recordAlign {
			h, ok := parseHeader(win[at:n], sh.base+LSN(off+int64(at)-segmentHeader))
			if ok && sc.whole(f, off+int64(at), h) {
				d = max(d, h.durable)
				sc.r.maxEpoch = max(sc.r.maxEpoch, h.epoch)
			}
		}
		off += int64((n - recordHeader + recordAlign) &^ (recordAlign - 1))
	}
	return d, nil
}

// whole tells whether the record at off is what was written.
func (sc *scanner) whole(f *os.File, off int64, h header) bool {
	rec := grow(&sc.body, recordHeader+int(h.len))
	_, err := f.ReadAt(rec, off)
	return err == nil && checksum(rec) == h.crc
}

// listOlder adds the segments before the checkpoint: pinned ones are read from, others wait to be recycled.
func (sc *scanner) listOlder(nums []uint64) error {
	for _, n := range nums {
		if n >= sc.h.cpSegment {
			continue
		}
		name := sc.j.path(segmentName(n))
		h, size, err := readSegHeader(name)
		if err != nil && !errors.Is(err, errNoHeader) {
			return err
		}
		if err != nil || h.num != n || h.size != size {
			return &DamageError{name, 0, errNoHeader.Error()}
		}
		// How far its records reach isn't known and doesn't matter: all lie before the checkpoint.
		sc.r.older = append(sc.r.older, &segment{num: n, size: size, base: h.base, off: segmentHeader + min(size-segmentHeader, int64(sc.h.checkpoint-h.base))})
	}
	return nil
}
