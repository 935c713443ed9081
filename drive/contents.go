package drive

import (
	"math"
	"sort"
	"syscall"

	"github.com/cloudcoin/cloudcoin/fs/stage"
	"github.com/cloudcoin/cloudcoin/fs/vfs"
	"github.com/cloudcoin/cloudcoin/sync/engine"
	"github.com/cloudcoin/cloudcoin/sync/fetch"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// remote is the stored content as tree and stage ask for it.
type remote struct{ r *fetch.Reader }

func (r remote) Base(ino model.Ino, rev model.Rev) stage.Base { return base{r.r.Base(ino, rev)} }

// base is the content of one revision that is stored.
type base struct{ *fetch.Base }

// NextData answers ENXIO where there is none, as lseek(2) does.
func (b base) NextData(off int64) (int64, error) {
	at, err := b.Base.NextData(off)
	if err == nil && at == math.MaxInt64 {
		err = syscall.ENXIO
	}
	return at, err
}

// stored is the newest stored content of an inode, for the stage.
func (d *Drive) stored(ino model.Ino) (stage.Base, error) {
	return vfs.StoredBase(d.index, remote{d.fetch}, ino)
}

// contents is the stage as the engine reads it.
type contents struct{ d *Drive }

var _ engine.Contents = contents{}

func (c contents) Snapshot(ino model.Ino, version uint64, rev model.Rev) (engine.Snapshot, error) {
	below := c.d.fetch.Base(ino, rev)
	s, err := c.d.stage.Snapshot(ino, version, base{below})
	if err != nil {
		return nil, err
	}
	sn := &snapshot{Snapshot: s, size: s.Size(), base: below}
	s.DirtyRanges(func(off, n int64, hole bool) bool {
		sn.dirty = append(sn.dirty, dirtyRun{off, off + n, hole})
		return true
	})
	return sn, nil
}

func (c contents) Stored(ino model.Ino, version uint64, _ model.Rev) error {
	return c.d.stage.Stored(ino, version)
}

// dirtyRun is a run of bytes that the stage has over the base.
type dirtyRun struct {
	off, end int64
	hole     bool
}

// snapshot is one frozen version: the stage's runs over the base. One goroutine at a time looks for holes.
type snapshot struct {
	*stage.Snapshot
	size  int64
	base  holes
	dirty []dirtyRun // in order, apart from each other or touching

	// The newest answers of all and of the base, for data and for holes. A file that was written at ten thousand places is asked about
	// between any two of them, and mostly has no hole at all: without them each question would walk to the end of the file.
	all, below [2]found
}

// holes tells where data and holes of a base are; beyond every file when there is none.
type holes interface {
	NextData(off int64) (int64, error)
	NextHole(off int64) (int64, error)
}

// found is an answer: what was looked for from off from on begins at at. So it does from any offset between the two.
type found struct {
	known    bool
	from, at int64
}

func (f *found) get(off int64, look func(off int64) (int64, error)) (int64, error) {
	if f.known && f.from <= off && off <= f.at {
		return f.at, nil
	}
	at, err := look(off)
	if err == nil {
		*f = found{true, off, at}
	}
	return at, err
}

func (s *snapshot) DirtyRanges(fn func(off, n int64) bool) error {
	for _, r := range s.dirty {
		if !fn(r.off, r.end-r.off) {
			break
		}
	}
	return nil
}

func (s *snapshot) NextData(off int64) (int64, error) {
	return s.all[0].get(off, func(off int64) (int64, error) { return s.next(off, false) })
}

func (s *snapshot) NextHole(off int64) (int64, error) {
	return s.all[1].get(off, func(off int64) (int64, error) { return s.next(off, true) })
}

// next finds the first byte from off on that is in a hole, or that is data; Size when there is none.
func (s *snapshot) next(off int64, hole bool) (int64, error) {
	first := sort.Search(len(s.dirty), func(i int) bool { return s.dirty[i].end > off })
	for _, r := range s.dirty[first:] {
		if off < r.off { // between runs all is as in the base
			at, err := s.under(off, hole)
			if err != nil || at < r.off {
				return min(at, s.size), err
			}
			off = r.off
		}
		if r.hole == hole {
			return off, nil
		}
		off = r.end
	}
	at, err := s.under(off, hole)
	return min(at, s.size), err
}

// under is next in the base.
func (s *snapshot) under(off int64, hole bool) (int64, error) {
	if hole {
		return s.below[1].get(off, s.base.NextHole)
	}
	return s.below[0].get(off, s.base.NextData)
}
