package stage

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"sync"

	"github.com/cloudcoin/cloudcoin/sync/journal"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// InlineLimit is the size in bytes up to which contents live in the journal.
const InlineLimit = 64 << 10

// node is the local content of one inode, in memory as long as it is open or was used lately.
//
// Locks, outermost first: wmu (one writer), syncMu (one fsync), mu (the fields). Stage.mu and the locks of segments, cache and journal are taken inside.
type node struct {
	s   *Stage
	ino model.Ino

	refs int           // guarded by Stage.mu
	idle *list.Element // guarded by Stage.mu; set while refs is 0

	wmu    sync.Mutex
	syncMu sync.Mutex

	mu           sync.RWMutex
	loadErr      error
	opens        int // Files
	base         Base
	size         int64
	mtime, ctime int64
	path         string
	layers       []*layer    // lowest first
	small        *cacheEntry // the whole base, as far as it is visible; below all layers
	gen          uint64      // grows when what lies below a block may have changed
	cuts         uint64      // grows when blocks were taken away
	lsn          journal.LSN // after the newest record
	attrNew      bool        // times or path changed since the newest record
	pathSeg      uint64      // segment of the newest record that carries the path
	changed      bool        // since it was saved
	detached     bool        // dropped or replaced while open: nothing is recorded any more
	saved        savedShare
	baseNew      bool     // base is what was stored last, not older: clean layers aren't needed over it
	merged       []*layer // were merged into others; their files go when that is saved
	snapshots    map[*Snapshot]struct{}
}

// top is the uppermost layer, nil when there is none.
func (n *node) top() *layer {
	if len(n.layers) == 0 {
		return nil
	}
	return n.layers[len(n.layers)-1]
}

func (n *node) version() uint64 {
	if l := n.top(); l != nil {
		return l.version
	}
	return 0
}

func (n *node) dirty() bool {
	l := n.top()
	return l != nil && !l.clean
}

// byID finds the layer of a file.
func (n *node) byID(id uint64) *layer {
	for _, l := range n.layers {
		if l.id == id {
			return l
		}
	}
	return nil
}

// layer finds a version.
func (n *node) layer(version uint64) *layer {
	for i := len(n.layers) - 1; i >= 0; i-- {
		if n.layers[i].version == version {
			return n.layers[i]
		}
	}
	return nil
}

// source says where a run of bytes comes from.
type source struct {
	off, end int64
	st       state
	l        *layer // nil: the base
	p        *piece
}

// find tells where the byte at off of a stack comes from, and how far that goes.
func find(layers []*layer, off, limit int64) source {
	end := limit
	for i := len(layers) - 1; i >= 0; i-- {
		l := layers[i]
		st, p, e := l.at(off, end)
		if st != absent {
			return source{off, e, st, l, p}
		}
		end = e
		if off >= l.floor {
			return source{off, end, hole, nil, nil}
		}
		end = min(end, l.floor)
	}
	return source{off, end, data, nil, nil}
}

// baseEnd is how much of the base is visible.
func baseEnd(layers []*layer, size int64) int64 {
	end := size
	if len(layers) > 0 {
		end = math.MaxInt64
	}
	for _, l := range layers {
		end = min(end, l.floor)
	}
	return end
}

// readPiece reads bytes of a small content out of the journal.
func (s *Stage) readPiece(p *piece, b []byte, off int64) error {
	if err := s.j.ReadAt(b, p.ref, p.pos+off-p.off); err != nil {
		return fmt.Errorf("small content: %w", err)
	}
	return nil
}

// readLocal fills p from one source that isn't the base.
func (n *node) readLocal(src source, p []byte) error {
	switch {
	case src.st == hole:
		clear(p)
		return nil
	case src.l.inline:
		return n.s.readPiece(src.p, p, src.off)
	}
	return src.l.readFile(p, src.off)
}

// openFiles opens the files of the layers: readers can use them then under the read lock alone. A clean layer whose file is damaged is given up,
// with all that is clean, when the base can stand in.
func (n *node) openFiles() error {
	err := n.openLayers(n.layers)
	if err == nil || !isGone(err) {
		return err
	}
	for _, l := range n.layers {
		if _, lerr := l.open(false); lerr != nil && l.lastData() >= 0 && (!l.clean || l.snaps > 0) {
			return n.s.damaged(n.ino, err)
		}
	}
	if berr := n.newBase(); berr != nil && !n.baseNew {
		return n.s.damaged(n.ino, err)
	}
	n.s.log.Warn("cached content is damaged and fetched again", "inode", uint64(n.ino), "error", err)
	if _, rerr := n.record(kindEvict, header{ino: n.ino}, false); rerr != nil {
		return errors.Join(err, rerr)
	}
	n.discardClean()
	return n.openLayers(n.layers)
}

func (n *node) openLayers(layers []*layer) error {
	for _, l := range layers {
		if !l.inline && l.f == nil && l.present.n > l.hole.n {
			if _, err := l.open(false); err != nil {
				return err
			}
		}
	}
	return nil
}

func missing(layers []*layer) bool {
	for _, l := range layers {
		if !l.inline && l.f == nil && l.present.n > l.hole.n {
			return true
		}
	}
	return false
}

// header is the state of the content for a record about layer l.
func (n *node) header(l *layer) header {
	h := header{ino: n.ino, size: n.size, mtime: n.mtime, ctime: n.ctime}
	if l != nil {
		h.version, h.floor = l.version, l.floor
		if l.inline {
			h.flags |= flagInline
		}
	}
	return h
}

// record appends a record about the node. With a path it says where the file was seen last.
func (n *node) record(kind journal.Kind, h header, withPath bool, parts ...[]byte) (journal.Ref, error) {
	if n.detached {
		return journal.Ref{}, nil
	}
	if withPath {
		h.path = n.path
	}
	var buf [headerLen + 256]byte
	all := append(make([][]byte, 0, 4), h.append(buf[:0]))
	ref, err := n.s.j.Append(kind, append(all, parts...)...)
	if err != nil {
		return ref, fmt.Errorf("record content of inode %d: %w", n.ino, err)
	}
	n.lsn, n.changed = ref.LSN, true
	if withPath {
		n.pathSeg, n.attrNew = ref.Segment, false
	}
	return ref, nil
}

// layerPath is where the file of a layer is.
func (s *Stage) layerPath(ino model.Ino, version uint64) string {
	return filepath.Join(s.dir, "layers", fmt.Sprintf("%02x", uint8(ino)), fmt.Sprintf("%016x.%016x", uint64(ino), version))
}

func (s *Stage) newLayer(ino model.Ino, version uint64, inline bool, floor int64) *layer {
	l := &layer{ino: ino, version: version, id: version, inline: inline, floor: floor, log: s.log}
	if !inline {
		l.path = s.layerPath(ino, version)
	}
	return l
}

// newFill makes a layer for what is fetched from the base.
func (s *Stage) newFill(ino model.Ino, id uint64, floor int64) *layer {
	return &layer{ino: ino, id: id, clean: true, frozen: true, floor: floor, path: s.layerPath(ino, id), log: s.log}
}

// pushLayer gives the file a new top layer.
func (n *node) pushLayer(inline bool) *layer {
	v := n.s.nextVersion(n.version())
	l := n.s.newLayer(n.ino, v, inline, n.size)
	n.layers = append(n.layers, l)
	n.gen++
	return l
}

// nextVersion gives a version above after that was never given before, also not before a power cut: what was noted of any is in the journal, behind it.
func (s *Stage) nextVersion(after uint64) uint64 {
	for {
		was := s.versions.Load()
		v := max(after, uint64(s.j.End()), was) + 1
		if s.versions.CompareAndSwap(was, v) {
			return v
		}
	}
}

// writable is the layer that takes changes, made when there is none. made tells that it is new and must go when the change fails.
func (n *node) writable(inline bool) (l *layer, made bool) {
	if l = n.top(); l != nil && !l.frozen && !l.clean {
		return l, false
	}
	return n.pushLayer(inline && !n.detached), true
}

func (n *node) popLayer(l *layer) {
	if n.top() != l {
		return
	}
	n.layers = n.layers[:len(n.layers)-1]
	n.gen++
	if l.f != nil {
		n.s.unlink(n.lsn, l)
	}
}

// fetch reads from the base. The caller holds no lock of the node's fields.
func (n *node) fetch(ctx context.Context, base Base, p []byte, off int64) error {
	if base == nil {
		clear(p)
		return nil
	}
	if err := base.ReadAt(ctx, p, off); err != nil {
		return fmt.Errorf("read stored content of inode %d: %w", n.ino, err)
	}
	return nil
}

// damaged notes damage of local files, so that it is told once, and gives the error back.
func (s *Stage) damaged(ino model.Ino, err error) error {
	if isGone(err) {
		s.noteDamage(ino, err)
	}
	return err
}

func (s *Stage) noteDamage(ino model.Ino, err error) {
	s.mu.Lock()
	_, known := s.damage[ino]
	s.damage[ino] = err
	s.mu.Unlock()
	if !known {
		s.log.Error("local content is damaged", "inode", uint64(ino), "error", err)
	}
}
