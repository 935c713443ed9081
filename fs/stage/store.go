package stage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/filter"
	lopt "github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/util"

	"github.com/cloudcoin/cloudcoin/sync/journal"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// Keys of the map: a letter and big-endian numbers.
const (
	keyNode    = 'n' // ino → node
	keyBlocks  = 'b' // ino version leaf → present and hole words
	keyDirty   = 'd' // ino → nothing: the node has dirty content
	keySegment = 's' // segment → bytes, dirty bytes, unix time of the newest
	keyMeta    = 'm' // format and totals
	keyClosed  = 'c' // there when the stage was closed with everything saved
	keyBatch   = 'q' // batch number → nothing, of the newest batches: a gap is damage
)

const (
	mapFormat   = 1
	batchesKept = 20_000
)

var errMap = errors.New("malformed entry of the stage's map")

// savedShare is what the map holds of a node.
type savedShare struct {
	exists, dirtyKey bool
	files            []uint64 // ids of layers with block keys
	segs             map[uint64]share
	clean, dirty     int64
}

// book is what the map's entries sum up to.
type book struct {
	segs         map[uint64]share
	clean, dirty int64
	batch        uint64 // number of the newest batch
}

func key(kind byte, nums ...uint64) []byte {
	k := append(make([]byte, 0, 1+8*len(nums)), kind)
	for _, v := range nums {
		k = binary.BigEndian.AppendUint64(k, v)
	}
	return k
}

// openMap opens the leveldb and takes over its sums.
func (s *Stage) openMap() error {
	dir := filepath.Join(s.dir, "map")
	db, err := leveldb.OpenFile(dir, &lopt.Options{
		Filter:                 filter.NewBloomFilter(10),
		WriteBuffer:            2 << 20,
		BlockCacheCapacity:     4 << 20,
		OpenFilesCacheCapacity: 32,
		Strict:                 lopt.DefaultStrict,
	})
	if err != nil {
		return &journal.DamageError{File: dir, Why: err.Error()}
	}
	s.db = db
	if err := s.readBook(); err != nil {
		return errors.Join(err, db.Close())
	}
	return nil
}

func (s *Stage) readBook() error {
	bad := func(why string) error {
		return &journal.DamageError{File: filepath.Join(s.dir, "map"), Why: why}
	}
	b := book{segs: make(map[uint64]share)}
	var err error
	if s.closedWell, err = s.db.Has([]byte{keyClosed}, nil); err != nil {
		return bad(err.Error())
	}
	v, err := s.db.Get([]byte{keyMeta}, nil)
	switch {
	case errors.Is(err, leveldb.ErrNotFound):
		s.book = b
		return nil
	case err != nil:
		return bad(err.Error())
	case len(v) != 25 || v[0] != mapFormat:
		return bad("unknown format")
	}
	b.clean, b.dirty = int64(binary.BigEndian.Uint64(v[1:])), int64(binary.BigEndian.Uint64(v[9:]))
	b.batch = binary.BigEndian.Uint64(v[17:])
	there := make(map[uint64]bool)
	for _, seg := range s.j.Segments() {
		there[seg.Number] = true
	}
	it := s.db.NewIterator(util.BytesPrefix([]byte{keySegment}), nil)
	for it.Next() {
		k, v := it.Key(), it.Value()
		if len(k) != 9 || len(v) != 24 {
			it.Release()
			return bad("malformed segment entry")
		}
		seg := binary.BigEndian.Uint64(k[1:])
		sh := share{
			bytes: int64(binary.BigEndian.Uint64(v)), dirty: int64(binary.BigEndian.Uint64(v[8:])),
			last: int64(binary.BigEndian.Uint64(v[16:])),
		}
		b.segs[seg] = sh
		if there[seg] || len(there) == 0 {
			s.segs.adopt(seg, sh)
		} else {
			s.log.Error("a segment of the journal with small contents is missing", "segment", seg, "bytes", sh.bytes, "not stored", sh.dirty)
		}
	}
	it.Release()
	if err := it.Error(); err != nil {
		return bad(err.Error())
	}
	first, n, last := uint64(0), uint64(0), uint64(0)
	it = s.db.NewIterator(util.BytesPrefix([]byte{keyBatch}), nil)
	for it.Next() {
		last = binary.BigEndian.Uint64(it.Key()[1:])
		if n++; n == 1 {
			first = last
		}
	}
	it.Release()
	if err := it.Error(); err != nil {
		return bad(err.Error())
	}
	if n > 0 && (last-first+1 != n || last != b.batch) {
		return bad(fmt.Sprintf("%d batches are missing", b.batch-first+1-n))
	}
	s.book = b
	s.cleanBytes.Store(b.clean)
	s.dirtyBytes.Store(b.dirty)
	return s.checkMark(b.batch)
}

// noteOpen and noteClosed tell the next process whether everything was saved at the end of this one.
func (s *Stage) noteOpen() error {
	if !s.closedWell {
		return nil
	}
	return s.db.Delete([]byte{keyClosed}, &lopt.WriteOptions{Sync: true})
}

func (s *Stage) noteClosed() error {
	return s.db.Put([]byte{keyClosed}, nil, &lopt.WriteOptions{Sync: true})
}

// load reads the node from the map. The caller holds its lock.
func (n *node) load() error {
	v, err := n.s.db.Get(key(keyNode, uint64(n.ino)), nil)
	if errors.Is(err, leveldb.ErrNotFound) {
		return nil
	}
	if err == nil {
		err = n.decode(v)
	}
	if err == nil {
		for _, l := range n.layers {
			if !l.inline {
				if err = n.loadBlocks(l); err != nil {
					break
				}
				n.saved.files = append(n.saved.files, l.id)
			}
		}
	}
	if err != nil {
		return &journal.DamageError{File: filepath.Join(n.s.dir, "map"), Why: fmt.Sprintf("inode %d: %v", n.ino, err)}
	}
	n.saved.exists = true
	n.sumUp(&n.saved)
	if n.s.ready.Load() {
		n.checkGone()
	}
	return nil
}

// sumUp fills in what the node's content takes.
func (n *node) sumUp(v *savedShare) {
	v.segs = make(map[uint64]share)
	v.clean, v.dirty = 0, 0
	for _, l := range n.layers {
		if l.clean {
			v.clean += l.bytes()
		} else {
			v.dirty += l.bytes()
		}
		for i := range l.pieces {
			p := &l.pieces[i]
			if p.zero {
				continue
			}
			if l.clean && !n.s.segs.has(p.ref.Segment) {
				v.clean -= p.n // went with its segment
				continue
			}
			sh := v.segs[p.ref.Segment]
			sh.bytes += p.n
			if !l.clean {
				sh.dirty += p.n
			}
			v.segs[p.ref.Segment] = sh
		}
	}
	v.dirtyKey = n.dirty()
}

func (n *node) loadBlocks(l *layer) error {
	prefix := key(keyBlocks, uint64(n.ino), l.id)
	it := n.s.db.NewIterator(util.BytesPrefix(prefix), nil)
	defer it.Release()
	for it.Next() {
		k, v := it.Key(), it.Value()
		if len(k) != len(prefix)+8 {
			return errMap
		}
		no := int64(binary.BigEndian.Uint64(k[len(prefix):]))
		if no < 0 || no > maxBlock/leafBlocks {
			return errMap
		}
		rest, err := l.present.setLeaf(no, v)
		if err == nil {
			rest, err = l.hole.setLeaf(no, rest)
		}
		if err != nil || len(rest) != 0 {
			return errMap
		}
	}
	return it.Error()
}

// setLeaf reads a leaf: a count of words, then the words.
func (s *blockset) setLeaf(no int64, v []byte) (rest []byte, err error) {
	if len(v) < 1 || v[0] > leafWords || len(v) < 1+8*int(v[0]) {
		return nil, errMap
	}
	words := int64(v[0])
	v = v[1:]
	for w := int64(0); w < words; w++ {
		bits := binary.LittleEndian.Uint64(v)
		v = v[8:]
		for b := int64(0); b < 64; {
			if bits>>uint(b)&1 == 0 {
				b++
				continue
			}
			e := b
			for e < 64 && bits>>uint(e)&1 == 1 {
				e++
			}
			at := no*leafBlocks + w*64
			s.add(at+b, at+e)
			b = e
		}
	}
	return v, nil
}

func (s *blockset) appendLeaf(b []byte, no int64) []byte {
	l := s.leaves[no]
	if l == nil {
		return append(b, 0)
	}
	words := leafWords
	for words > 0 && l[words-1] == 0 {
		words--
	}
	b = append(b, byte(words))
	for _, w := range l[:words] {
		b = binary.LittleEndian.AppendUint64(b, w)
	}
	return b
}

const (
	nodeClean = 1 << iota
	nodeFrozen
	nodeInline
	nodeSummed
)

// encode is the node as the map holds it, without blocks.
func (n *node) encode() []byte {
	b := []byte{mapFormat}
	u := func(vs ...uint64) {
		for _, v := range vs {
			b = binary.AppendUvarint(b, v)
		}
	}
	i := func(vs ...int64) {
		for _, v := range vs {
			b = binary.AppendVarint(b, v)
		}
	}
	u(uint64(n.lsn), uint64(n.size), uint64(len(n.path)))
	b = append(b, n.path...)
	i(n.mtime, n.ctime)
	if n.small == nil {
		u(0)
	} else {
		u(1, n.small.seg, uint64(n.small.off), uint64(n.small.n), uint64(n.small.crc))
	}
	u(uint64(len(n.layers)))
	for _, l := range n.layers {
		var flags uint64
		if l.clean {
			flags |= nodeClean
		}
		if l.frozen {
			flags |= nodeFrozen
		}
		if l.inline {
			flags |= nodeInline
		} else if l.summed {
			flags |= nodeSummed
			l.sealed = l.frozen
		}
		u(l.version, l.id, flags, uint64(l.floor), uint64(l.size))
		i(l.mtime, l.ctime)
		if !l.inline {
			continue
		}
		u(uint64(len(l.pieces)))
		for k := range l.pieces {
			p := &l.pieces[k]
			u(uint64(p.off), uint64(p.n))
			if p.zero {
				u(0)
			} else {
				u(1, p.ref.Segment, uint64(p.ref.Off), uint64(p.ref.Len), uint64(p.ref.LSN), uint64(p.pos))
			}
		}
	}
	return b
}

// decode reads what encode wrote.
func (n *node) decode(b []byte) error {
	if len(b) == 0 || b[0] != mapFormat {
		return errMap
	}
	d := decoder{b: b[1:]}
	n.lsn, n.size = journal.LSN(d.u()), d.pos()
	n.path = string(d.take(int(min(d.u(), maxPath+1))))
	n.mtime, n.ctime = d.i(), d.i()
	if d.u() == 1 {
		n.small = &cacheEntry{seg: d.u(), off: d.pos(), n: d.pos(), crc: uint32(d.u())}
	}
	for k := d.u(); k > 0 && !d.bad; k-- {
		version, id, flags := d.u(), d.u(), d.u()
		l := n.s.newLayer(n.ino, version, flags&nodeInline != 0, 0)
		if version == 0 {
			l = n.s.newFill(n.ino, id, 0)
		}
		d.bad = d.bad || l.id != id
		l.clean, l.frozen = flags&nodeClean != 0, flags&nodeFrozen != 0
		l.summed = flags&nodeSummed != 0
		l.sealed = l.summed && l.frozen
		l.floor, l.size, l.mtime, l.ctime = d.pos(), d.pos(), d.i(), d.i()
		n.layers = append(n.layers, l)
		if !l.inline {
			continue
		}
		for m := d.u(); m > 0 && !d.bad; m-- {
			p := piece{off: d.pos(), n: d.pos()}
			if p.zero = d.u() == 0; !p.zero {
				p.ref = journal.Ref{Segment: d.u(), Off: d.pos(), Len: d.pos(), LSN: journal.LSN(d.u())}
				p.pos = d.pos()
			}
			if k := len(l.pieces); p.n <= 0 || p.off > 1<<62 || p.n > 1<<62 || k > 0 && p.off < l.pieces[k-1].end() {
				d.bad = true
			}
			l.pieces = append(l.pieces, p)
		}
	}
	if d.bad || len(d.b) != 0 {
		return errMap
	}
	return nil
}

type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) u() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) i() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

// pos reads a number that is not negative as an int64.
func (d *decoder) pos() int64 {
	v := int64(d.u())
	d.bad = d.bad || v < 0
	return v
}

func (d *decoder) take(n int) []byte {
	if n > len(d.b) || n > maxPath {
		d.bad, d.b = true, nil
		return nil
	}
	v := d.b[:n]
	d.b = d.b[n:]
	return v
}

// dirtyInos lists the inodes that may have dirty content: those of the map and those in memory.
func (s *Stage) dirtyInos() ([]model.Ino, error) {
	seen := make(map[model.Ino]struct{})
	for _, n := range s.inMemory() {
		seen[n.ino] = struct{}{}
	}
	it := s.db.NewIterator(util.BytesPrefix([]byte{keyDirty}), nil)
	defer it.Release()
	for it.Next() {
		if k := it.Key(); len(k) == 9 {
			seen[model.Ino(binary.BigEndian.Uint64(k[1:]))] = struct{}{}
		}
	}
	all := make([]model.Ino, 0, len(seen))
	for ino := range seen {
		all = append(all, ino)
	}
	return all, it.Error()
}
