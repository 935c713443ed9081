package engine

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/cloudcoin/cloudcoin/sync/chunk"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// minHole is the shortest run of zeros that is kept as a hole; shorter ones are bytes of a chunk.
const minHole = 1 << 20

// cutFile cuts one version of a file and gives its new chunks to the packer. What didn't change since the base keeps its chunks.
func (e *Engine) cutFile(ctx context.Context, job *fileJob) error {
	snap, err := e.cfg.Contents.Snapshot(job.ino, job.version, job.base)
	if err != nil {
		return fmt.Errorf("open version %d of inode %d: %w", job.version, job.ino, err)
	}
	defer snap.Close()
	job.size = snap.Size()
	old, err := extentsAt(e.cfg.Index, job.ino, job.base, job.size)
	if err != nil {
		return err
	}
	dirty, err := dirtyRanges(snap, job.size, old)
	if err != nil {
		return fmt.Errorf("find what changed in inode %d: %w", job.ino, err)
	}
	dirty, holes, err := splitHoles(snap, job.size, dirty)
	if err != nil {
		return fmt.Errorf("find holes of inode %d: %w", job.ino, err)
	}
	for _, h := range holes {
		job.changes = append(job.changes, model.Extent{Off: h.Off, Len: h.Len})
	}
	if len(dirty) > 0 {
		err = e.splitter.Recut(&contextReaderAt{ctx, snap}, job.size, boundaries(old, holes, job.size), dirty, func(off int64, data []byte) error {
			id, err := e.packer.add(ctx, job, data)
			if err != nil {
				return err
			}
			job.changes = append(job.changes, model.Extent{Off: off, Len: int64(len(data)), Chunk: id})
			return nil
		})
		if err != nil {
			return fmt.Errorf("cut inode %d: %w", job.ino, err)
		}
	}
	slices.SortFunc(job.changes, func(a, b model.Extent) int { return int(min(max(a.Off-b.Off, -1), 1)) })
	return nil
}

// contextReaderAt is a Snapshot as an io.ReaderAt.
type contextReaderAt struct {
	ctx  context.Context
	snap Snapshot
}

func (r *contextReaderAt) ReadAt(p []byte, off int64) (int, error) {
	return r.snap.ReadAt(r.ctx, p, off)
}

// dirtyRanges are the runs that may differ from the base. A file without extents is dirty throughout; so is what lies beyond the last of them,
// since a file may have been cut short and grown again.
func dirtyRanges(snap Snapshot, size int64, old []model.Extent) ([]chunk.Range, error) {
	if size == 0 {
		return nil, nil
	}
	if len(old) == 0 {
		return []chunk.Range{{Off: 0, Len: size}}, nil
	}
	var out []chunk.Range
	err := snap.DirtyRanges(func(off, n int64) bool {
		n = min(n, size-off)
		switch last := len(out) - 1; {
		case n <= 0:
		case last >= 0 && out[last].Off+out[last].Len == off: // so that a hole isn't torn into pieces too short to count
			out[last].Len += n
		default:
			out = append(out, chunk.Range{Off: off, Len: n})
		}
		return true
	})
	return out, err
}

// splitHoles takes long holes out of the dirty ranges.
func splitHoles(snap Snapshot, size int64, dirty []chunk.Range) (data, holes []chunk.Range, err error) {
	for _, r := range dirty {
		pos, end := r.Off, r.Off+r.Len
		for pos < end {
			hole, hend, err := nextHole(snap, pos, end, size)
			if err != nil {
				return nil, nil, err
			}
			if hole > pos {
				data = append(data, chunk.Range{Off: pos, Len: hole - pos})
			}
			if hend > hole {
				holes = append(holes, chunk.Range{Off: hole, Len: hend - hole})
			}
			pos = hend
		}
	}
	return data, holes, nil
}

// nextHole finds the first hole of at least minHole, or of all that is left, from pos; both end when there is none.
func nextHole(snap Snapshot, pos, end, size int64) (from, to int64, err error) {
	for at := pos; at < end; {
		h, err := snap.NextHole(at)
		if err != nil {
			return 0, 0, err
		}
		if h >= end {
			break
		}
		d, err := snap.NextData(h)
		if err != nil {
			return 0, 0, err
		}
		d = min(max(d, h), end)
		if d-h >= minHole || (h == 0 && d == size) {
			return h, d, nil
		}
		at = max(d, at+1)
	}
	return end, end, nil
}

// boundaries are the offsets at which old extents begin or end, outside of holes, and those of the holes.
func boundaries(old []model.Extent, holes []chunk.Range, size int64) []int64 {
	var out []int64
	for _, x := range old {
		out = append(out, x.Off, x.Off+x.Len)
	}
	for _, h := range holes {
		out = append(out, h.Off, h.Off+h.Len)
	}
	slices.Sort(out)
	out = slices.Compact(out)
	return slices.DeleteFunc(out, func(b int64) bool {
		if b > size {
			return true
		}
		i, _ := slices.BinarySearchFunc(holes, b, func(h chunk.Range, b int64) int {
			if h.Off+h.Len <= b {
				return -1
			}
			if h.Off >= b {
				return 1
			}
			return 0
		})
		return i < len(holes) && holes[i].Off < b && b < holes[i].Off+holes[i].Len
	})
}

var _ io.ReaderAt = (*contextReaderAt)(nil)

// maxSize is beyond every file.
const maxSize = math.MaxInt64 >> 1
