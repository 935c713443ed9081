package stage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
)

// File is the open content of an inode. All its methods may be called concurrently; those that change the content go one after the other.
type File struct {
	n *node
}

// Size of the content in bytes.
func (f *File) Size() int64 {
	f.n.mu.RLock()
	defer f.n.mu.RUnlock()
	return f.n.size
}

// Version of the uppermost layer: what Freeze, Snapshot and Stored speak of. 0 when nothing was written here.
func (f *File) Version() uint64 {
	f.n.mu.RLock()
	defer f.n.mu.RUnlock()
	return f.n.version()
}

// Dirty tells whether the newest content isn't stored yet.
func (f *File) Dirty() bool {
	f.n.mu.RLock()
	defer f.n.mu.RUnlock()
	return f.n.dirty()
}

// SetAttr sets the times of the content, in nanoseconds since 1970. They ride along in the next record, so that fsync needs no index batch.
func (f *File) SetAttr(mtime, ctime int64) {
	n := f.n
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.mtime != mtime || n.ctime != ctime {
		n.mtime, n.ctime, n.attrNew = mtime, ctime, true
	}
}

// Attr is the newest known size and times; after replay what the journal knew. The times are 0 when the stage never heard of them.
func (f *File) Attr() (size, mtime, ctime int64) {
	f.n.mu.RLock()
	defer f.n.mu.RUnlock()
	return f.n.size, f.n.mtime, f.n.ctime
}

// SetPath notes where in the drive the file was seen last, for Salvage.
func (f *File) SetPath(path string) {
	n := f.n
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.path != path {
		n.path, n.attrNew, n.pathSeg = path, true, 0
	}
}

// SetBase gives the file a base that holds the newest stored content. What is clean may be evicted from then on also while the file is open.
func (f *File) SetBase(base Base) {
	f.n.mu.Lock()
	defer f.n.mu.Unlock()
	f.n.base, f.n.baseNew = base, true
}

// Reserve tells whether n more bytes fit: nil or an error that wraps ENOSPC.
func (f *File) Reserve(n int64) error {
	if err := f.n.s.reserve(n); err != nil {
		return err
	}
	f.n.s.dirtyBytes.Add(-n)
	return nil
}

// Freeze makes the newest version final: the next change starts another one. It takes no I/O but one short record.
// For a file without dirty content it gives the version of what is there.
func (f *File) Freeze() (version uint64, err error) {
	n := f.n
	n.wmu.Lock()
	defer n.wmu.Unlock()
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.freeze()
}

func (n *node) freeze() (uint64, error) {
	l := n.top()
	if l == nil || l.clean || l.frozen {
		return n.version(), nil
	}
	if err := n.note(); err != nil {
		return 0, err
	}
	if _, err := n.record(kindFreeze, n.header(l), n.attrNew); err != nil {
		return 0, err
	}
	l.frozen, l.size, l.mtime, l.ctime = true, n.size, n.mtime, n.ctime
	return l.version, nil
}

// Backing is the layer file that alone holds the whole content at the same offsets, when there is one, for reads by others. It stays owned by the stage
// and valid until Close. What is read from it isn't compared with the checksums.
func (f *File) Backing() (*os.File, bool) {
	n := f.n
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.top()
	if l == nil || l.inline || l.frozen {
		return nil, false
	}
	if l.hole.n > 0 || l.present.next(0, (n.size+BlockSize-1)/BlockSize, false)*BlockSize < n.size {
		return nil, false
	}
	b, err := l.open(false)
	return b, err == nil
}

// Close ends the use of the File. Nothing is synced.
func (f *File) Close() error {
	n := f.n
	if n == nil {
		return os.ErrClosed
	}
	f.n = nil
	n.mu.Lock()
	if n.opens--; n.opens == 0 {
		n.base = nil
	}
	n.mu.Unlock()
	return n.s.release(n)
}

// Seek finds the next data (SeekData) or the next hole (SeekHole) at or after off, exact to the block; the end of the file counts as a hole.
// ENXIO when there is none.
func (f *File) Seek(ctx context.Context, off int64, whence int) (int64, error) {
	if whence != SeekData && whence != SeekHole {
		return 0, syscall.EINVAL
	}
	n := f.n
	n.mu.RLock()
	defer n.mu.RUnlock()
	if off < 0 || off >= n.size {
		return 0, syscall.ENXIO
	}
	var pos int64
	var err error
	if whence == SeekData {
		pos, err = n.nextData(off)
	} else {
		pos, err = n.nextHole(off)
	}
	if err != nil {
		return 0, err
	}
	return pos, ctx.Err()
}

// kindAt tells whether the byte at off is data or in a hole, exact to the byte, and how far that goes.
func (n *node) kindAt(off int64) (isData bool, end int64, err error) {
	src := find(n.layers, off, n.size)
	if src.st != data || src.l != nil {
		return src.st == data, src.end, nil
	}
	if n.base == nil {
		return false, src.end, nil
	}
	d, err := n.base.NextData(off)
	switch {
	case errors.Is(err, syscall.ENXIO):
		return false, src.end, nil
	case err != nil:
		return false, 0, fmt.Errorf("seek in stored content: %w", err)
	case d > off:
		return false, min(d, src.end), nil
	}
	h, err := n.base.NextHole(off)
	switch {
	case errors.Is(err, syscall.ENXIO):
		return true, src.end, nil
	case err != nil:
		return false, 0, fmt.Errorf("seek in stored content: %w", err)
	}
	return true, max(min(h, src.end), off+1), nil
}

// nextData is the first byte at or after off in a block that has data.
func (n *node) nextData(off int64) (int64, error) {
	for at := blockFloor(off); at < n.size; {
		isData, end, err := n.kindAt(at)
		if err != nil {
			return 0, err
		}
		if isData {
			return max(off, blockFloor(at)), nil
		}
		at = end
	}
	return 0, syscall.ENXIO
}

// nextHole is the first byte at or after off in a block that has no data at all; the size when there is none.
func (n *node) nextHole(off int64) (int64, error) {
	for b := blockFloor(off); b < n.size; {
		at, blockEnd := b, min(b+BlockSize, n.size)
		for at < blockEnd {
			isData, end, err := n.kindAt(at)
			if err != nil {
				return 0, err
			}
			at = end
			if isData {
				blockEnd = -1
			}
		}
		if blockEnd >= 0 {
			return max(off, b), nil
		}
		b = blockCeil(at)
	}
	return n.size, nil
}

// Unsynced tells whether a power cut could take some of the content although all of the journal is durable.
func (f *File) Unsynced() bool {
	f.n.mu.RLock()
	defer f.n.mu.RUnlock()
	return f.n.unsyncedBytes() > 0
}
