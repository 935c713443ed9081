package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
)

const maxHandles = 64

// handles are the open files that records are read from, at most maxHandles at rest.
type handles struct {
	dir string

	// mu guards the fields below it.
	mu   sync.Mutex
	open map[uint64]*handle
	tick uint64
}

type handle struct {
	f    *os.File
	refs int
	used uint64
	gone bool
}

func (hs *handles) get(num uint64) (*handle, error) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	h := hs.open[num]
	if h == nil {
		f, err := os.Open(hs.dir + string(os.PathSeparator) + segmentName(num))
		if err != nil {
			return nil, err
		}
		if hs.open == nil {
			hs.open = map[uint64]*handle{}
		}
		hs.shrink()
		h = &handle{f: f}
		hs.open[num] = h
	}
	hs.tick++
	h.refs, h.used = h.refs+1, hs.tick
	return h, nil
}

// shrink closes the handle that wasn't used for the longest time when there are too many. mu is held.
func (hs *handles) shrink() {
	if len(hs.open) < maxHandles {
		return
	}
	var oldest uint64
	found := false
	for n, h := range hs.open {
		if h.refs == 0 && (!found || h.used < hs.open[oldest].used) {
			oldest, found = n, true
		}
	}
	if found {
		_ = hs.open[oldest].f.Close() // only read
		delete(hs.open, oldest)
	}
}

func (hs *handles) put(h *handle) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	h.refs--
	if h.gone && h.refs == 0 {
		_ = h.f.Close() // only read
	}
}

// drop forgets a segment and tells whether somebody is reading it at this moment.
func (hs *handles) drop(num uint64) (busy bool) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	h := hs.open[num]
	if h == nil {
		return false
	}
	delete(hs.open, num)
	h.gone = true
	if h.refs == 0 {
		_ = h.f.Close() // only read
	}
	return h.refs > 0
}

func (hs *handles) closeAll() {
	hs.mu.Lock()
	nums := make([]uint64, 0, len(hs.open))
	for n := range hs.open {
		nums = append(nums, n)
	}
	hs.mu.Unlock()
	for _, n := range nums {
		hs.drop(n)
	}
}

// checkedSet remembers records whose checksum was found right, a bounded number of them.
type checkedSet struct {
	mu       sync.Mutex
	new, old map[LSN]struct{}
}

const checkedMax = 1 << 15

func (c *checkedSet) has(l LSN) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, a := c.new[l]
	_, b := c.old[l]
	return a || b
}

func (c *checkedSet) add(l LSN) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.new == nil || len(c.new) >= checkedMax {
		c.old, c.new = c.new, map[LSN]struct{}{}
	}
	c.new[l] = struct{}{}
}

// ReadAt fills p with the bytes of a record's body from off on. The first read of a record that an earlier session wrote verifies the whole
// of it. ErrGone when the segment isn't there any more, *DamageError when the bytes aren't what was written.
func (j *Journal) ReadAt(p []byte, ref Ref, off int64) error {
	if off < 0 || off+int64(len(p)) > ref.Len {
		return fmt.Errorf("journal: read of %d bytes at %d of a body of %d", len(p), off, ref.Len)
	}
	if ref.LSN <= j.started && !j.checked.has(ref.LSN) {
		if err := j.Verify(ref); err != nil {
			return err
		}
	}
	return j.readSegment(p, ref.Segment, ref.Off+off)
}

// readSegment reads bytes of a segment's file.
func (j *Journal) readSegment(p []byte, seg uint64, off int64) error {
	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		return ErrClosed
	}
	if j.ready && j.segs[seg] == nil {
		j.mu.Unlock()
		return ErrGone
	}
	h, err := j.handles.get(seg)
	j.mu.Unlock()
	if errors.Is(err, fs.ErrNotExist) {
		return ErrGone
	}
	if err != nil {
		return err
	}
	defer j.handles.put(h)
	if _, err := h.f.ReadAt(p, off); err != nil {
		if ignoreEOF(err) == nil {
			return &DamageError{j.path(segmentName(seg)), off, "the file is too short"}
		}
		return err
	}
	return nil
}

// Verify checks the whole record against its checksum and position. Errors as of ReadAt.
func (j *Journal) Verify(ref Ref) error {
	if ref.Off < segmentHeader+recordHeader || ref.Len < 0 || ref.Len > MaxBody {
		return fmt.Errorf("journal: %+v can't be a record", ref)
	}
	p := make([]byte, recordHeader+ref.Len)
	if err := j.readSegment(p, ref.Segment, ref.Off-recordHeader); err != nil {
		return err
	}
	h, ok := parseHeader(p, ref.LSN-LSN(span(ref.Len)))
	if !ok || int64(h.len) != ref.Len || checksum(p) != h.crc {
		return &DamageError{j.path(segmentName(ref.Segment)), ref.Off - recordHeader, "the record is not what was written"}
	}
	j.checked.add(ref.LSN)
	return nil
}

// Segments lists the segments that hold records, oldest first.
func (j *Journal) Segments() []Segment {
	j.mu.Lock()
	defer j.mu.Unlock()
	out := make([]Segment, 0, len(j.segs))
	for _, s := range j.segs {
		out = append(out, Segment{Number: s.num, First: s.base, Bytes: s.off - segmentHeader, Pinned: s.pins > 0})
	}
	slices.SortFunc(out, func(a, b Segment) int { return int(int64(a.Number - b.Number)) })
	return out
}

// Limit is the longest body that Append takes, in bytes: MaxBody, or less when segments are small.
func (j *Journal) Limit() int64 {
	return min(MaxBody, j.opt.SegmentSize-segmentHeader-recordHeader-recordAlign)
}
