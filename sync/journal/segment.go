package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"strconv"
	"strings"
)

const (
	segmentHeader = 4096
	segmentMagic  = "CCJSEG01"
	segmentPrefix = "segment-"
	blockSize     = 4096
)

// segment is one file with records.
type segment struct {
	num  uint64
	size int64 // of the file
	base LSN   // position of the first record
	off  int64 // where the next record goes; the end of its records once it is full
	pins int
	f    *os.File // open for writing while it is the current one or has records that aren't durable
	full int64    // up to here the file was written in whole blocks by this session
}

func (s *segment) end() LSN { return s.base + LSN(s.off-segmentHeader) }

func segmentName(num uint64) string { return fmt.Sprintf("%s%016d", segmentPrefix, num) }

func parseSegmentName(name string) (uint64, bool) {
	digits, ok := strings.CutPrefix(name, segmentPrefix)
	if !ok || len(digits) != 16 {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, err == nil && n > 0
}

// segHeader is the first block of a segment file.
type segHeader struct {
	num     uint64
	size    int64
	base    LSN
	durable LSN // when the segment was begun
	by      session
}

func (h segHeader) encode() []byte {
	p := make([]byte, 0, segmentHeader)
	p = append(p, segmentMagic...)
	p = binary.LittleEndian.AppendUint64(p, h.num)
	p = binary.LittleEndian.AppendUint64(p, uint64(h.size))
	p = binary.LittleEndian.AppendUint64(p, uint64(h.base))
	p = binary.LittleEndian.AppendUint64(p, uint64(h.durable))
	p = h.by.append(p)
	p = binary.LittleEndian.AppendUint32(p, crc32.Checksum(p, castagnoli))
	return p[:segmentHeader]
}

func parseSegHeader(p []byte) (h segHeader, ok bool) {
	const used = 40 + sessionSize
	if len(p) < used+4 || string(p[:8]) != segmentMagic {
		return h, false
	}
	le := binary.LittleEndian
	if crc32.Checksum(p[:used], castagnoli) != le.Uint32(p[used:]) {
		return h, false
	}
	h = segHeader{
		num: le.Uint64(p[8:]), size: int64(le.Uint64(p[16:])), base: LSN(le.Uint64(p[24:])),
		durable: LSN(le.Uint64(p[32:])), by: parseSession(p[40:]),
	}
	return h, h.size >= minSegmentSize && h.durable <= h.base
}

// createSegment makes a file of the full size whose blocks are reserved. With filled they are written with zeros too and durable, so that
// overwriting them later changes nothing but data.
func (j *Journal) createSegment(num uint64, filled bool) error {
	name := j.path(segmentName(num))
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = reserve(f, j.opt.SegmentSize)
	if err == nil && filled {
		err = j.fillQuietly(f)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(fmt.Errorf("make journal segment %d: %w", num, err), os.Remove(name))
	}
	return syncDir(j.dir)
}

// fillQuietly writes zeros in slices and flushes each, so that a sync of the running segment never waits for much of it.
func (j *Journal) fillQuietly(f *os.File) error {
	zeros := make([]byte, 1<<20)
	for off := int64(0); off < j.opt.SegmentSize; off += int64(len(zeros)) {
		n := min(int64(len(zeros)), j.opt.SegmentSize-off)
		if _, err := f.WriteAt(zeros[:n], off); err != nil {
			return err
		}
		if off&(4<<20-1) == 0 {
			if err := datasync(f); err != nil {
				return err
			}
		}
	}
	return nil
}

// recycle gives the file of a segment that nobody needs to the future. mu is held; s isn't in segs any more.
func (j *Journal) recycle(s *segment) error {
	old := j.path(segmentName(s.num))
	if j.handles.drop(s.num) || len(j.spares) >= maxSpares || s.size != j.opt.SegmentSize || j.preparing {
		return os.Remove(old)
	}
	num := j.nextSpare()
	if err := os.Rename(old, j.path(segmentName(num))); err != nil {
		return err
	}
	j.spares = append(j.spares, num)
	return syncDir(j.dir)
}

const maxSpares = 2

// nextSpare is the number that the next prepared file gets. mu is held.
func (j *Journal) nextSpare() uint64 {
	if n := len(j.spares); n > 0 {
		return j.spares[n-1] + 1
	}
	return j.cur.num + 1
}

// prepare makes the next segment ready in the background when there is no spare. mu is held.
func (j *Journal) prepare() {
	if j.preparing || len(j.spares) > 0 || j.closed {
		return
	}
	num := j.nextSpare()
	j.preparing, j.prepared = true, make(chan struct{})
	j.wg.Go(func() {
		err := j.createSegment(num, true)
		j.mu.Lock()
		defer j.mu.Unlock()
		j.preparing = false
		close(j.prepared)
		if err != nil {
			j.log.Warn("journal: no room to prepare the next segment", "err", err)
			return
		}
		j.spares = append(j.spares, num)
	})
}

// Roll lets further records begin a new segment, so that the present one can be given up as a whole when nobody needs it any more. An empty segment stays.
func (j *Journal) Roll() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for {
		if err := j.usable(); err != nil {
			return err
		}
		if j.cur.off == segmentHeader {
			return nil
		}
		if again, err := j.roll(); err != nil {
			return fmt.Errorf("begin a segment of the journal: %w", err)
		} else if !again {
			return nil
		}
	}
}

// roll makes the next segment the current one. mu is held, and is let go while a preparation under way is waited for; the caller looks again
// whether rolling is still needed when again is true.
func (j *Journal) roll() (again bool, err error) {
	if j.preparing {
		wait := j.prepared
		j.mu.Unlock()
		<-wait
		j.mu.Lock()
		return true, nil
	}
	if len(j.spares) == 0 {
		num := j.cur.num + 1
		if err := j.createSegment(num, false); err != nil {
			return false, err
		}
		j.spares = append(j.spares, num)
	}
	s, err := j.begin(j.spares[0], j.cur.end())
	if err != nil {
		return false, err
	}
	j.spares = j.spares[1:]
	j.segs[s.num], j.cur, j.prepareAt = s, s, s.size/4
	j.unsynced = append(j.unsynced, s)
	return false, nil
}

// begin opens a prepared file and writes its header.
func (j *Journal) begin(num uint64, base LSN) (*segment, error) {
	name := j.path(segmentName(num))
	f, err := os.OpenFile(name, os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil {
		h := segHeader{num: num, size: st.Size(), base: base, durable: j.Durable(), by: j.me}
		_, err = f.WriteAt(h.encode(), 0)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("begin journal segment %d: %w", num, err), f.Close())
	}
	return &segment{num: num, size: st.Size(), base: base, off: segmentHeader, full: segmentHeader, f: f}, nil
}
