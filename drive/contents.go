package drive

import (
	"math"
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
	sn := &snapshot{Snapshot: s, base: below}
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

// snapshot is one frozen version: the stage's runs over the base.
type snapshot struct {
	*stage.Snapshot
	base  *fetch.Base
	dirty []dirtyRun // in order, apart from each other or touching
}

func (s *snapshot) DirtyRanges(fn func(off, n int64) bool) error {
	for _, r := range s.dirty {
		if !fn(r.off, r.end-r.off) {
			break
		}
	}
	return nil
}

func (s *snapshot) NextData(off int64) (int64, error) { return s.next(off, false) }

func (s *snapshot) NextHole(off int64) (int64, error) { return s.next(off, true) }

// next finds the first byte from off on that is in a hole, or that is data; Size when there is none.
func (s *snapshot) next(off int64, hole bool) (int64, error) {
	for _, r := range s.dirty {
		if r.end <= off {
			continue
		}
		if off < r.off { // between runs all is as in the base
			at, err := s.below(off, hole)
			if err != nil || at < r.off {
				return min(at, s.Size()), err
			}
			off = r.off
		}
		if r.hole == hole {
			return off, nil
		}
		off = r.end
	}
	at, err := s.below(off, hole)
	return min(at, s.Size()), err
}

func (s *snapshot) below(off int64, hole bool) (int64, error) {
	if hole {
		return s.base.NextHole(off)
	}
	return s.base.NextData(off)
}
