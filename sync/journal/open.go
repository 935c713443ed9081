package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
)

// Open reads the journal in dir, which is made when it is missing, and finds its end. *DamageError when a durable record, or a file, isn't
// what it was.
func Open(dir string, opt Options) (*Journal, error) {
	if opt.SegmentSize == 0 {
		opt.SegmentSize = defaultSegmentSize
	}
	if opt.SegmentSize < minSegmentSize || opt.SegmentSize%blockSize != 0 {
		return nil, fmt.Errorf("journal: a segment of %d bytes is not at least %d and whole blocks", opt.SegmentSize, minSegmentSize)
	}
	if opt.BootID == "" {
		opt.BootID = bootID()
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	mount, err := mountID(dir)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	j := &Journal{dir: dir, opt: opt, log: opt.Logger, datasync: datasync, segs: map[uint64]*segment{}}
	if j.log == nil {
		j.log = slog.New(slog.DiscardHandler)
	}
	j.handles.dir = dir
	j.me = session{boot: hashBoot(opt.BootID), mount: mount}
	if err := j.find(); err != nil {
		return nil, err
	}
	return j, nil
}

// find reads the head and the segments after the checkpoint.
func (j *Journal) find() error {
	nums, err := j.listSegments()
	if err != nil {
		return err
	}
	h, err := j.readHead()
	if errors.Is(err, fs.ErrNotExist) {
		if len(nums) > 0 && !j.neverUsed(nums) {
			return &DamageError{j.path(headName), 0, "the file is missing"}
		}
		if h, err = j.found0(); err != nil {
			return err
		}
		if nums, err = j.listSegments(); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	r, err := j.scan(h, nums, nil)
	if err != nil {
		return err
	}
	j.found, j.cpLSN, j.cpSeg, j.headSeg = r, h.checkpoint, h.cpSegment, h.segment
	j.sameBoot = j.me.samePageCache(r.last)
	j.me.epoch = r.maxEpoch + 1
	j.end.Store(uint64(r.end))
	return j.settle(r, max(r.durable, h.checkpoint))
}

// settle makes durable what a killed process may have left in the hands of the operating system: whoever replays it may then derive durable
// things from it.
func (j *Journal) settle(r *scanResult, known LSN) error {
	for _, s := range append(r.older[:len(r.older):len(r.older)], r.tail) {
		if s.end() <= known {
			continue
		}
		f, err := os.OpenFile(j.path(segmentName(s.num)), os.O_RDWR, 0o600)
		if err != nil {
			return err
		}
		if err := errors.Join(j.datasync(f), f.Close()); err != nil {
			return fmt.Errorf("open the journal: %w", err)
		}
	}
	if err := syncDir(j.dir); err != nil { // a segment that was recycled right before the process ended
		return fmt.Errorf("open the journal: %w", err)
	}
	j.durable.Store(uint64(r.end))
	return nil
}

// found0 makes the first segment and the head of a new journal.
func (j *Journal) found0() (head, error) {
	if err := j.createSegment(1, false); err != nil {
		return head{}, err
	}
	s, err := j.begin(1, 0)
	if err != nil {
		return head{}, err
	}
	if err := errors.Join(s.f.Sync(), s.f.Close()); err != nil {
		return head{}, err
	}
	h := head{cpSegment: 1, segment: 1, by: j.me}
	return h, j.writeHead(h)
}

// neverUsed is true when the only segment is one that a journal was just being founded with.
func (j *Journal) neverUsed(nums []uint64) bool {
	if len(nums) != 1 || nums[0] != 1 {
		return false
	}
	b, err := os.ReadFile(j.path(segmentName(1)))
	return err == nil && (len(b) <= segmentHeader || len(bytes.TrimLeft(b[segmentHeader:], "\x00")) == 0)
}

func (j *Journal) listSegments() ([]uint64, error) {
	es, err := os.ReadDir(j.dir)
	if err != nil {
		return nil, err
	}
	var nums []uint64
	for _, e := range es {
		if n, ok := parseSegmentName(e.Name()); ok {
			nums = append(nums, n)
		}
	}
	slices.Sort(nums)
	return nums, nil
}

// Replay calls fn for every record from the checkpoint to the end, in order, and makes the journal ready for Append. It is to be called
// once. An error of fn ends it and is returned; the journal can't be appended to then. *DamageError as from Open.
func (j *Journal) Replay(fn func(Record) error) error {
	j.mu.Lock()
	r := j.found
	j.mu.Unlock()
	if r == nil {
		return errors.New("journal: Replay was called before")
	}
	h, err := j.readHead()
	if err != nil {
		return err
	}
	nums, err := j.listSegments()
	if err != nil {
		return err
	}
	again, err := j.scan(h, nums, fn)
	if err != nil {
		return err
	}
	if again.end != r.end {
		return &DamageError{j.path(segmentName(again.tail.num)), again.tail.off, "the journal changed between opening and replay"}
	}
	if err := j.begun(again, nums); err != nil {
		return err
	}
	// Durable before anything stands behind it: a session of which a power cut leaves records, but not the first one, would give its number to the next.
	return j.Sync(context.Background(), j.End())
}

// begun opens the tail for writing and writes this session's first record.
func (j *Journal) begun(r *scanResult, nums []uint64) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.found = nil
	for _, s := range append(r.older, r.tail) {
		j.segs[s.num] = s
	}
	f, err := os.OpenFile(j.path(segmentName(r.tail.num)), os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	r.tail.f, r.tail.full = f, r.tail.off
	j.unsynced = []*segment{r.tail}
	j.cur = r.tail
	j.prepareAt = j.cur.size / 4
	for _, n := range nums {
		if n > r.tail.num {
			j.adoptSpare(n)
		}
	}
	j.started = j.End()
	j.ready = true
	if _, err := j.append(kindSession, j.me.append(nil)); err != nil {
		j.ready = false
		return err
	}
	return nil
}

// adoptSpare keeps a prepared file that stands right behind the last one, and removes others. mu is held.
func (j *Journal) adoptSpare(num uint64) {
	name := j.path(segmentName(num))
	st, err := os.Stat(name)
	if err == nil && num == j.nextSpare() && st.Size() == j.opt.SegmentSize && len(j.spares) < maxSpares {
		j.spares = append(j.spares, num)
		return
	}
	if err = os.Remove(name); err != nil {
		j.log.Warn("journal: remove a leftover file", "file", name, "err", err)
	}
}
