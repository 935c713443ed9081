package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
)

// Salvage shows every record that can still be read in the segments of a journal that may be damaged, segment by segment, in
// order of position, and tells bad what could not be read. It needs no head and changes nothing. Records of segments that were recycled since are
// not shown; records before the checkpoint are, as far as their segments are there.
func Salvage(dir string, fn func(Record) error, bad func(*DamageError)) error {
	j := &Journal{dir: dir}
	nums, err := j.listSegments()
	if err != nil {
		return fmt.Errorf("salvage journal: %w", err)
	}
	mount, err := mountID(dir)
	if err != nil {
		return fmt.Errorf("salvage journal: %w", err)
	}
	sv := salvager{j: j, me: session{boot: hashBoot(bootID()), mount: mount}, by: map[uint32]session{}, fn: fn, bad: bad}
	if h, err := j.readHead(); err == nil {
		for num := h.cpSegment; num <= h.segment; num++ {
			if !slices.Contains(nums, num) {
				bad(&DamageError{j.path(segmentName(num)), 0, "the file is missing, and with it what was written last"})
			}
		}
	}
	for _, num := range nums {
		if err := sv.segment(num); err != nil {
			return fmt.Errorf("salvage journal: %w", err)
		}
	}
	return nil
}

// salvager walks over segments.
type salvager struct {
	j   *Journal
	me  session
	by  map[uint32]session
	fn  func(Record) error
	bad func(*DamageError)
}

func (sv *salvager) segment(num uint64) error {
	name := sv.j.path(segmentName(num))
	p, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		sv.bad(&DamageError{name, 0, err.Error()})
		return nil
	}
	var base LSN
	h, known := parseSegHeader(p)
	switch {
	case known && h.num == num:
		base = h.base
		sv.by[h.by.epoch] = h.by
		if int64(len(p)) != h.size {
			sv.bad(&DamageError{name, int64(len(p)), fmt.Sprintf("the file should have %d bytes", h.size)})
		}
	case len(p) >= segmentHeader && allZero(p[:segmentHeader]) || known:
		return nil // prepared, and never begun
	default:
		sv.bad(&DamageError{name, 0, errNoHeader.Error()})
		known = false
	}
	if known && h.num != num {
		return nil
	}
	return sv.records(name, num, p, base, known)
}

// records shows the records in p. Without a known base the first valid record tells it.
func (sv *salvager) records(name string, num uint64, p []byte, base LSN, known bool) error {
	epoch, gap := uint32(0), int64(-1)
	for off := int64(segmentHeader); off+recordHeader <= int64(len(p)); {
		want := base + LSN(off-segmentHeader)
		if !known {
			want = lsnOf(p[off:])
		}
		h, ok := parseHeader(p[off:], want)
		end := off + recordHeader + int64(h.len)
		if !ok || end > int64(len(p)) || h.epoch < epoch || checksum(p[off:end]) != h.crc {
			if gap < 0 {
				gap = off
			}
			off += recordAlign
			continue
		}
		if gap >= 0 {
			sv.bad(&DamageError{name, gap, "no valid record up to the next one"})
			gap = -1
		}
		if !known {
			base, known = h.lsn-LSN(off-segmentHeader), true
		}
		epoch = h.epoch
		body := p[off+recordHeader : end]
		if h.kind == kindSession && len(body) == sessionSize {
			sv.by[h.epoch] = parseSession(body)
		}
		off += span(int64(h.len))
		if h.kind >= firstOwnKind {
			continue
		}
		lsn := h.lsn + LSN(span(int64(h.len)))
		if err := sv.fn(Record{
			Kind: h.kind, LSN: lsn, Body: body, SameBoot: sv.me.samePageCache(sv.by[h.epoch]),
			Ref: Ref{Segment: num, Off: end - int64(h.len), Len: int64(h.len), LSN: lsn},
		}); err != nil {
			return err
		}
	}
	return nil
}

func lsnOf(p []byte) LSN {
	h := header{}
	if len(p) >= recordHeader {
		for i := 7; i >= 0; i-- {
			h.lsn = h.lsn<<8 | LSN(p[16+i])
		}
	}
	return h.lsn
}

func allZero(p []byte) bool {
	for _, b := range p {
		if b != 0 {
			return false
		}
	}
	return true
}

// SalvageBody reads the body of one record out of a journal that may be damaged. ErrGone when its segment isn't there, *DamageError when the bytes aren't
// what was written.
func SalvageBody(dir string, ref Ref) ([]byte, error) {
	j := &Journal{dir: dir}
	name := j.path(segmentName(ref.Segment))
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("salvage journal: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read
	if ref.Len < 0 || ref.Len > MaxBody || ref.Off < segmentHeader+recordHeader {
		return nil, &DamageError{name, ref.Off, "no record can be here"}
	}
	p := make([]byte, recordHeader+ref.Len)
	if _, err := f.ReadAt(p, ref.Off-recordHeader); err != nil {
		return nil, &DamageError{name, ref.Off, err.Error()}
	}
	h, ok := parseHeader(p, ref.LSN-LSN(span(ref.Len)))
	if !ok || int64(h.len) != ref.Len || checksum(p) != h.crc {
		return nil, &DamageError{name, ref.Off, "the record is not what was written"}
	}
	return p[recordHeader:], nil
}
