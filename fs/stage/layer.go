package stage

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/bits"
	"os"
	"path/filepath"
	"sort"
	"sync"

	"github.com/cloudcoin/cloudcoin/sync/journal"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// piece is a stretch of a small content: bytes of one journal record, or whole blocks of zeros.
type piece struct {
	off, n int64
	zero   bool
	ref    journal.Ref
	pos    int64 // of the first byte inside the record's body
}

func (p *piece) end() int64 { return p.off + p.n }

// layer is what was written to a file between two moments at which its version was frozen. The node's lock guards it.
type layer struct {
	ino     model.Ino
	version uint64 // 0: the layer holds only what was fetched from the base
	id      uint64 // names the file: the version, or a number of its own with fillBit
	clean   bool   // stored at providers, or fetched from there: may be evicted
	frozen  bool
	inline  bool
	floor   int64 // what lies below is visible only before this offset
	// size and times of the version, once it is frozen.
	size, mtime, ctime int64
	snaps              int // open snapshots

	pieces []piece // inline: sorted, without overlap
	old    []piece // converted from inline: the journal is needed until the file is synced

	path      string // "" while inline
	f         *os.File
	sums      sumFile // open when f is
	log       *slog.Logger
	summed    bool // there is a file of sums, as long as the file itself has to be
	sealed    bool // the map was told that layer and sums are final and durable
	dirSynced bool
	present   blockset // blocks that this layer decides
	hole      blockset // those of them that are zeros, not in the file
	unsynced  blockset // in the file, but not yet durable
	unnoted   blockset // of the unsynced, those that no record names yet
	touched   map[int64]struct{}
	needSync  bool  // the file was written since it was last synced
	syncErr   error // a sync failed: the kernel tells that once and forgets, so the file never counts as synced again
	slack     bool  // the file may hold blocks that don't count any more
	redo      []redo
	lost      bool // replay: blocks were noted, but a power cut may have taken them
}

// redo is a change of a layer file that has to be made again after replay.
type redo struct {
	pieces []piece
	blocks bool  // fill up the blocks around the pieces with zeros
	zeroAt int64 // without pieces: zeros from here to the end of the block
}

// fillBit marks the ids of layers without a version.
const fillBit = 1 << 63

type state uint8

const (
	absent state = iota
	hole
	data
)

// at tells what the layer says about the byte at off, and how far that goes (at most limit).
func (l *layer) at(off, limit int64) (st state, p *piece, end int64) {
	if l.inline {
		i := sort.Search(len(l.pieces), func(i int) bool { return l.pieces[i].end() > off })
		if i == len(l.pieces) {
			return absent, nil, limit
		}
		p = &l.pieces[i]
		switch {
		case p.off > off:
			return absent, nil, min(limit, p.off)
		case p.zero:
			return hole, p, min(limit, p.end())
		}
		return data, p, min(limit, p.end())
	}
	b, last := off/BlockSize, (limit+BlockSize-1)/BlockSize
	if !l.present.has(b) {
		return absent, nil, min(limit, l.present.next(b, last, true)*BlockSize)
	}
	e := l.present.next(b, last, false)
	isHole := l.hole.has(b)
	e = l.hole.next(b, e, !isHole)
	if isHole {
		return hole, nil, min(limit, e*BlockSize)
	}
	return data, nil, min(limit, e*BlockSize)
}

// bytes is the local space that the layer's contents take.
func (l *layer) bytes() (n int64) {
	for i := range l.pieces {
		if !l.pieces[i].zero {
			n += l.pieces[i].n
		}
	}
	return n + (l.present.n-l.hole.n)*BlockSize
}

func (l *layer) touch(from, to int64) {
	if l.touched == nil {
		l.touched = make(map[int64]struct{})
	}
	for k := from / leafBlocks; k*leafBlocks < to; k++ {
		l.touched[k] = struct{}{}
	}
}

// addData notes that the blocks [from, to) are in the file and tells how many were not.
func (l *layer) addData(from, to int64) int64 {
	added := l.present.add(from, to) + l.hole.remove(from, to)
	l.touch(from, to)
	return added
}

// addHole notes that the blocks [from, to) are zeros and tells how many blocks of data went.
func (l *layer) addHole(from, to int64) int64 {
	was := l.present.n - l.hole.n
	l.present.add(from, to)
	l.hole.add(from, to)
	l.unsynced.remove(from, to)
	l.unnoted.remove(from, to)
	l.touch(from, to)
	gone := was - (l.present.n - l.hole.n)
	l.slack = l.slack || gone > 0
	return gone
}

// cut forgets all blocks from block b on and tells how many blocks of data went.
func (l *layer) cut(b int64) int64 {
	was := l.present.n - l.hole.n
	if last := l.present.last(); last >= b {
		for _, k := range l.present.order {
			if (k+1)*leafBlocks > b {
				l.touch(k*leafBlocks, k*leafBlocks+1)
			}
		}
		for _, s := range [...]*blockset{&l.present, &l.hole, &l.unsynced, &l.unnoted} {
			s.remove(b, last+1)
		}
	}
	gone := was - (l.present.n - l.hole.n)
	l.slack = l.slack || gone > 0
	return gone
}

// dataRuns calls fn for the runs of blocks of set that are in the file.
func (l *layer) dataRuns(set *blockset, fn func(a, b int64) bool) {
	set.runs(0, set.last()+1, func(a, b int64) bool {
		for a < b {
			a = l.hole.next(a, b, false)
			e := l.hole.next(a, b, true)
			if a < e && !fn(a, e) {
				return false
			}
			a = e
		}
		return true
	})
}

// lastData is the highest block that must be in the file, -1 when none.
func (l *layer) lastData() int64 {
	for i := len(l.present.order) - 1; i >= 0; i-- {
		k := l.present.order[i]
		in, out := l.present.leaves[k], l.hole.leaves[k]
		for w := int64(leafWords - 1); w >= 0; w-- {
			v := in[w]
			if out != nil {
				v &^= out[w]
			}
			if v != 0 {
				return k*leafBlocks + w*64 + 63 - int64(bits.LeadingZeros64(v))
			}
		}
	}
	return -1
}

// open opens the layer's file. With create it may be missing. A file that is shorter than what it must hold is damage.
func (l *layer) open(create bool) (*os.File, error) {
	if l.f != nil {
		return l.f, nil
	}
	flags := os.O_RDWR
	if create && l.lastData() < 0 {
		flags |= os.O_CREATE
	}
	f, err := os.OpenFile(l.path, flags, 0o600)
	if errors.Is(err, fs.ErrNotExist) && flags&os.O_CREATE != 0 {
		if err = os.MkdirAll(filepath.Dir(l.path), 0o700); err == nil {
			f, err = os.OpenFile(l.path, flags, 0o600)
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &journal.DamageError{File: l.path, Why: "the file is missing"}
	}
	if err != nil {
		return nil, fmt.Errorf("open layer: %w", err)
	}
	st, err := f.Stat()
	if err == nil && st.Size() < (l.lastData()+1)*BlockSize {
		err = &journal.DamageError{File: l.path, Off: st.Size(), Why: fmt.Sprintf("the file was cut short: block %d has to be in it", l.lastData())}
	}
	if err == nil {
		err = l.openSums()
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	l.f = f
	return f, nil
}

// closeFile gives the descriptor back; the layer opens it again when it is needed.
func (l *layer) closeFile() error {
	var err error
	for _, f := range l.takeFiles() {
		err = errors.Join(err, f.Close())
	}
	return err
}

// takeFiles takes the descriptors out of the layer.
func (l *layer) takeFiles() (files []*os.File) {
	for _, f := range [...]**os.File{&l.f, &l.sums.f} {
		if *f != nil {
			files = append(files, *f)
			*f = nil
		}
	}
	return files
}

// readFile reads from the layer's file and compares with the sums; the bytes must be there. The error for a block that isn't what was written is a badBlock.
func (l *layer) readFile(p []byte, off int64) error {
	for len(p) > 0 {
		if off%BlockSize == 0 && len(p) >= BlockSize {
			k := len(p) &^ (BlockSize - 1)
			if err := l.readBlocks(p[:k], off); err != nil {
				return err
			}
			p, off = p[k:], off+int64(k)
			continue
		}
		if err := l.readPart(&p, &off); err != nil {
			return err
		}
	}
	return nil
}

var blockBufs = sync.Pool{New: func() any { return new([BlockSize]byte) }}

// readPart reads what p has of the block at off, and moves both on.
func (l *layer) readPart(p *[]byte, off *int64) error {
	buf := blockBufs.Get().(*[BlockSize]byte)
	defer blockBufs.Put(buf)
	if err := l.readBlocks(buf[:], blockFloor(*off)); err != nil {
		return err
	}
	k := copy(*p, buf[*off%BlockSize:])
	*p, *off = (*p)[k:], *off+int64(k)
	return nil
}

// readBlocks reads whole blocks.
func (l *layer) readBlocks(p []byte, off int64) error {
	f := l.f
	if f == nil {
		return errors.New("layer file is not open")
	}
	if n, err := f.ReadAt(p, off); n < len(p) {
		if err == io.EOF {
			return &journal.DamageError{File: l.path, Off: off + int64(n), Why: "the file was cut short"}
		}
		return fmt.Errorf("read layer %s: %w", l.path, err)
	}
	return l.verify(p, off/BlockSize)
}

// insertPiece lays p over the pieces and returns what of them went out of sight.
func (l *layer) insertPiece(p piece) (gone []piece) {
	gone = l.cutPieces(p.off, p.end())
	i := sort.Search(len(l.pieces), func(i int) bool { return l.pieces[i].off >= p.end() })
	l.pieces = append(l.pieces, piece{})
	copy(l.pieces[i+1:], l.pieces[i:])
	l.pieces[i] = p
	return gone
}

// cutPieces takes the bytes [from, to) out of the pieces and returns what was cut out.
func (l *layer) cutPieces(from, to int64) (gone []piece) {
	i := sort.Search(len(l.pieces), func(i int) bool { return l.pieces[i].end() > from })
	if i == len(l.pieces) || l.pieces[i].off >= to {
		return nil
	}
	var keep []piece
	j := i
	for ; j < len(l.pieces) && l.pieces[j].off < to; j++ {
		p := l.pieces[j]
		out := p.slice(max(from, p.off), min(to, p.end()))
		gone = append(gone, out)
		if p.off < from {
			keep = append(keep, p.slice(p.off, from))
		}
		if p.end() > to {
			keep = append(keep, p.slice(to, p.end()))
		}
	}
	l.pieces = append(l.pieces[:i:i], append(keep, l.pieces[j:]...)...)
	return gone
}

func (p piece) slice(from, to int64) piece {
	if !p.zero {
		p.pos += from - p.off
	}
	p.off, p.n = from, to-from
	return p
}
