package index

import (
	"encoding/binary"
	"errors"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

var errValue = errors.New("a value of the index is not well-formed")

// Bits of an inode record's first byte.
const (
	fKind    = 0x03 // content kind
	fXattr   = 0x04
	fSettled = 0x08
	fSymlink = 0x10
	fRdev    = 0x20
)

func zig(v int64) uint64   { return uint64(v<<1) ^ uint64(v>>63) }
func unzig(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }

func appendUint(p []byte, vs ...uint64) []byte {
	for _, v := range vs {
		p = binary.AppendUvarint(p, v)
	}
	return p
}

func appendBytes[T ~[]byte | ~string](p []byte, b T) []byte {
	return append(binary.AppendUvarint(p, uint64(len(b))), b...)
}

// reader takes values apart; after the first error everything is zero.
type reader struct {
	p   []byte
	bad bool
}

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.p)
	if n <= 0 || (n > 1 && r.p[n-1] == 0) { // shortest form only
		r.fail()
		return 0
	}
	r.p = r.p[n:]
	return v
}

// below reads a number that is at most limit.
func (r *reader) below(limit uint64) uint64 {
	v := r.uint()
	if v > limit {
		r.fail()
		return 0
	}
	return v
}

func (r *reader) int() int64 { return unzig(r.uint()) }
func (r *reader) fail()      { r.p, r.bad = nil, true }

// take returns the next n bytes, not copied.
func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.p) {
		r.fail()
		return make([]byte, min(max(n, 0), 64))
	}
	b := r.p[:n:n]
	r.p = r.p[n:]
	return b
}

func (r *reader) byte() byte {
	if len(r.p) == 0 {
		r.fail()
		return 0
	}
	b := r.p[0]
	r.p = r.p[1:]
	return b
}

func (r *reader) bytes() []byte {
	n := r.uint()
	if n > uint64(len(r.p)) {
		r.fail()
		return nil
	}
	return r.take(int(n))
}

// done is an error unless everything was well-formed and used up.
func (r *reader) done() error {
	if r.bad || len(r.p) != 0 {
		return errValue
	}
	return nil
}

func appendInode(p []byte, n *model.Inode) []byte {
	f := byte(n.Content.Kind) & fKind
	set := func(bit byte, on bool) {
		if on {
			f |= bit
		}
	}
	set(fXattr, n.HasXattr)
	set(fSettled, n.Content.Settled)
	set(fSymlink, n.Symlink != "")
	set(fRdev, n.Rdev != 0)
	p = append(p, f)
	p = appendUint(p, uint64(n.Mode), uint64(n.Nlink), uint64(n.UID), uint64(n.GID), uint64(n.Size))
	p = appendUint(p, zig(n.Mtime), zig(n.Ctime-n.Mtime), zig(n.Atime-n.Mtime), zig(n.Btime-n.Mtime))
	p = appendUint(p, zig(int64(n.Parent-n.Ino)))
	p = appendBytes(p, n.Name)
	if f&fSymlink != 0 {
		p = appendBytes(p, n.Symlink)
	}
	if f&fRdev != 0 {
		p = appendUint(p, n.Rdev)
	}
	if n.Content.Kind != model.ContentNone {
		p = appendUint(p, uint64(n.Content.Rev))
	}
	if n.Content.Kind == model.ContentStaged {
		p = appendUint(p, n.Content.Version)
	}
	return p
}

func parseInode(p []byte, ino model.Ino, rev model.Rev) (n model.Inode, err error) {
	r := reader{p: p}
	f := r.byte()
	const u32 = 1<<32 - 1
	n = model.Inode{
		Ino: ino, Rev: rev, Mode: uint32(r.below(u32)), Nlink: uint32(r.below(u32)),
		UID: uint32(r.below(u32)), GID: uint32(r.below(u32)), Size: int64(r.below(1<<63 - 1)),
	}
	n.Mtime = r.int()
	n.Ctime, n.Atime, n.Btime = n.Mtime+r.int(), n.Mtime+r.int(), n.Mtime+r.int()
	n.Parent = ino + model.Ino(r.int())
	n.Name = string(r.bytes())
	n.HasXattr = f&fXattr != 0
	if f&fSymlink != 0 {
		n.Symlink = string(r.bytes())
	}
	if f&fRdev != 0 {
		n.Rdev = r.uint()
	}
	n.Content.Kind, n.Content.Settled = model.ContentKind(f&fKind), f&fSettled != 0
	if n.Content.Kind != model.ContentNone {
		n.Content.Rev = model.Rev(r.below(uint64(model.MaxRev)))
	}
	if n.Content.Kind == model.ContentStaged {
		n.Content.Version = r.uint()
	}
	if f&^(fKind|fXattr|fSettled|fSymlink|fRdev) != 0 || n.Content.Kind > model.ContentStored ||
		(f&fSymlink != 0) != (n.Symlink != "") || (f&fRdev != 0) != (n.Rdev != 0) {
		return n, errValue
	}
	return n, r.done()
}

// appendDirent writes the child and its type; a removed name is a single zero byte.
func appendDirent(p []byte, d *model.Dirent) []byte {
	if d.Ino == 0 {
		return append(p, 0)
	}
	return appendUint(append(p, byte(d.Type>>12)|0x80), zig(int64(d.Ino-d.Parent)))
}

func parseDirent(p []byte, d *model.Dirent) error {
	r := reader{p: p}
	t := r.byte()
	if t == 0 {
		d.Ino, d.Type = 0, 0
		return r.done()
	}
	d.Type = uint32(t&0x0f) << 12
	d.Ino = d.Parent + model.Ino(r.int())
	if t&0xf0 != 0x80 || d.Ino == 0 {
		return errValue
	}
	return r.done()
}

// extent is an extent as it is kept: with the number of its chunk.
type extent struct {
	off, len int64
	chunk    uint64 // 0: a hole
	skip     int64
}

func (e extent) end() int64 { return e.off + e.len }

func appendExtent(p []byte, e extent) []byte {
	if e.len == 0 {
		return append(p, 0)
	}
	return appendUint(p, uint64(e.len), e.chunk, uint64(e.skip))
}

func parseExtent(p []byte, off int64) (e extent, err error) {
	r := reader{p: p}
	e = extent{off: off, len: int64(r.below(MaxExtent))}
	if e.len != 0 {
		e.chunk, e.skip = r.uint(), int64(r.below(1<<40))
	}
	if off < 0 || off > 1<<62 {
		return e, errValue
	}
	return e, r.done()
}

func appendChunk(p []byte, c *model.Chunk) []byte {
	p = append(append(p, c.ID[:]...), c.Pack[:]...)
	return appendUint(p, uint64(c.Len), uint64(c.Off))
}

func parseChunk(p []byte) (c model.Chunk, err error) {
	r := reader{p: p}
	copy(c.ID[:], r.take(32))
	copy(c.Pack[:], r.take(16))
	c.Len, c.Off = int64(r.below(1<<40)), int64(r.below(1<<62))
	return c, r.done()
}

const (
	packV1       = 1
	maxShards    = 256
	maxPackBytes = 1 << 20 // of an age header or last block
)

// appendPack writes a pack and the revision that put it.
func appendPack(p []byte, k *model.Pack, rev model.Rev) []byte {
	p = append(p, packV1, byte(k.Kind))
	p = appendUint(p, uint64(rev))
	p = appendUint(p, uint64(k.K), uint64(k.M), uint64(k.ShardLen), uint64(k.PlainLen))
	p = appendBytes(appendBytes(p, k.Header), k.Tail)
	p = appendUint(p, uint64(len(k.Shards)))
	for _, s := range k.Shards {
		p = append(append(append(p, s.ID[:]...), s.Lease[:]...), byte(s.State))
	}
	return p
}

func parsePack(p []byte, id model.PackID) (k model.Pack, rev model.Rev, err error) {
	r := reader{p: p}
	if r.byte() != packV1 {
		return k, 0, errValue
	}
	k = model.Pack{ID: id, Kind: model.PackKind(r.byte())}
	rev = model.Rev(r.below(uint64(model.MaxRev)))
	k.K, k.M = int(r.below(maxShards)), int(r.below(maxShards))
	k.ShardLen, k.PlainLen = int64(r.below(1<<40)), int64(r.below(1<<50))
	k.Header, k.Tail = clone(r.bytes()), clone(r.bytes())
	n := int(r.below(maxShards))
	if r.bad || n*49 != len(r.p) || len(k.Header) > maxPackBytes || len(k.Tail) > maxPackBytes {
		return k, 0, errValue
	}
	for range n {
		var s model.Shard
		copy(s.ID[:], r.take(32))
		copy(s.Lease[:], r.take(16))
		s.State = model.ShardState(r.byte())
		k.Shards = append(k.Shards, s)
	}
	return k, rev, r.done()
}

func clone(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return append([]byte(nil), b...)
}

// appendList adds the numbers of a pack's chunks, each as the distance to the one before.
func appendList(p []byte, nos []uint64) []byte {
	var prev uint64
	for _, n := range nos {
		p = appendUint(p, zig(int64(n-prev)))
		prev = n
	}
	return p
}

func parseList(p []byte) (nos []uint64, err error) {
	r := reader{p: p}
	var prev uint64
	for len(r.p) > 0 {
		prev += uint64(r.int())
		nos = append(nos, prev)
	}
	return nos, r.done()
}

func appendKeys(p []byte, keys []Key) []byte {
	for i := range keys {
		k := &keys[i]
		p = append(p, byte(k.Kind))
		switch k.Kind {
		case KeyInode:
			p = appendUint(p, uint64(k.Ino))
		case KeyDirent:
			p = appendBytes(appendUint(p, uint64(k.Ino), uint64(k.Child)), k.Name)
		case KeyXattr:
			p = appendBytes(appendUint(p, uint64(k.Ino)), k.Name)
		case KeyExtents:
			p = appendUint(p, uint64(k.Ino), uint64(k.Off), uint64(k.End))
		case KeyPack, KeyDropPack:
			p = append(p, k.Pack[:]...)
		}
	}
	return p
}

func parseKeys(p []byte) (keys []Key, err error) {
	r := reader{p: p}
	for len(r.p) > 0 {
		k := Key{Kind: KeyKind(r.byte())}
		switch k.Kind {
		case KeyInode:
			k.Ino = model.Ino(r.uint())
		case KeyDirent:
			k.Ino, k.Child = model.Ino(r.uint()), model.Ino(r.uint())
			k.Name = string(r.bytes())
		case KeyXattr:
			k.Ino = model.Ino(r.uint())
			k.Name = string(r.bytes())
		case KeyExtents:
			k.Ino, k.Off, k.End = model.Ino(r.uint()), int64(r.below(1<<62)), int64(r.below(1<<62))
		case KeyPack, KeyDropPack:
			copy(k.Pack[:], r.take(16))
		default:
			return nil, errValue
		}
		keys = append(keys, k)
	}
	return keys, r.done()
}
