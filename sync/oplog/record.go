package oplog

import (
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

// ErrStaged is returned when a record names content that only the stage of this device has: no log ever does.
var ErrStaged = errors.New("the content isn't stored")

// kinds of records on the wire.
const (
	recInode = iota + 1
	recDirent
	recXattr
	recExtents
	recPack
	recDropPack
	recForget
)

// A record is [kind, revision, body].
type wireRecordOut struct {
	_    struct{} `cbor:",toarray"`
	Kind uint64
	Rev  uint64
	Body any
}

type wireRecordIn struct {
	_    struct{} `cbor:",toarray"`
	Kind uint64
	Rev  uint64
	Body cbor.RawMessage
}

type wireInode struct {
	_                          struct{} `cbor:",toarray"`
	Ino                        uint64
	Mode, Nlink, UID, GID      uint32
	Rdev                       uint64
	Size                       int64
	Atime, Mtime, Ctime, Btime int64
	Parent                     uint64
	Name, Symlink              []byte
	HasXattr                   bool
	Content                    uint8
	ContentRev                 uint64
}

type wireDirent struct {
	_      struct{} `cbor:",toarray"`
	Parent uint64
	Name   []byte
	Ino    uint64
	Type   uint32
}

type wireXattr struct {
	_       struct{} `cbor:",toarray"`
	Ino     uint64
	Name    []byte
	Value   []byte
	Removed bool
}

type wireExtents struct {
	_    struct{} `cbor:",toarray"`
	Ino  uint64
	List []wireExtent
}

type wireExtent struct {
	_     struct{} `cbor:",toarray"`
	Off   int64
	Len   int64
	Chunk []byte // empty: a hole
	Skip  int64
}

type wirePackRecord struct {
	_      struct{} `cbor:",toarray"`
	Pack   wirePack
	Chunks []wireChunk
}

type wireChunk struct {
	_   struct{} `cbor:",toarray"`
	ID  []byte
	Len int64
	Off int64
}

type wireForget struct {
	_   struct{} `cbor:",toarray"`
	Ino uint64
	Of  uint64
}

func toWireRecord(r *model.Record) (wireRecordOut, error) {
	w := wireRecordOut{Rev: uint64(r.Rev)}
	switch {
	case r.Inode != nil:
		n := r.Inode
		if n.Content.Kind == model.ContentStaged {
			return w, fmt.Errorf("inode %d as of %d: %w", n.Ino, r.Rev, ErrStaged)
		}
		w.Kind, w.Body = recInode, wireInode{
			Ino: uint64(n.Ino), Mode: n.Mode, Nlink: n.Nlink, UID: n.UID, GID: n.GID, Rdev: n.Rdev, Size: n.Size, Atime: n.Atime, Mtime: n.Mtime,
			Ctime: n.Ctime, Btime: n.Btime, Parent: uint64(n.Parent), Name: []byte(n.Name), Symlink: []byte(n.Symlink), HasXattr: n.HasXattr,
			Content: uint8(n.Content.Kind), ContentRev: uint64(n.Content.Rev),
		}
	case r.Dirent != nil:
		d := r.Dirent
		w.Kind, w.Body = recDirent, wireDirent{Parent: uint64(d.Parent), Name: []byte(d.Name), Ino: uint64(d.Ino), Type: d.Type}
	case r.Xattr != nil:
		a := r.Xattr
		w.Kind, w.Body = recXattr, wireXattr{Ino: uint64(a.Ino), Name: []byte(a.Name), Value: nonNil(a.Value), Removed: a.Removed}
	case r.Extents != nil:
		w.Kind, w.Body = recExtents, toWireExtents(r.Extents)
	case r.Pack != nil:
		w.Kind, w.Body = recPack, toWirePackRecord(r.Pack)
	case r.DropPack != nil:
		w.Kind, w.Body = recDropPack, r.DropPack[:]
	case r.Forget != nil:
		w.Kind, w.Body = recForget, wireForget{Ino: uint64(r.Forget.Ino), Of: uint64(r.Forget.Of)}
	default:
		return w, errors.New("encode record: it is empty")
	}
	return w, nil
}

func toWireExtents(x *model.Extents) wireExtents {
	w := wireExtents{Ino: uint64(x.Ino), List: make([]wireExtent, len(x.List))}
	for i := range x.List {
		e := &x.List[i]
		w.List[i] = wireExtent{Off: e.Off, Len: e.Len, Skip: e.Skip, Chunk: []byte{}}
		if !e.IsHole() {
			w.List[i].Chunk = e.Chunk[:]
		}
	}
	return w
}

func toWirePackRecord(p *model.PackRecord) wirePackRecord {
	w := wirePackRecord{Pack: toWirePack(&p.Pack), Chunks: make([]wireChunk, len(p.Chunks))}
	for i := range p.Chunks {
		c := &p.Chunks[i]
		w.Chunks[i] = wireChunk{ID: c.ID[:], Len: c.Len, Off: c.Off}
	}
	return w
}

func (w *wireRecordIn) record() (model.Record, error) {
	var f fixed
	r := model.Record{Rev: f.rev(w.Rev)}
	switch w.Kind {
	case recInode:
		r.Inode = w.inode(&f)
	case recDirent:
		var d wireDirent
		f.decode(w.Body, &d)
		r.Dirent = &model.Dirent{Parent: model.Ino(d.Parent), Name: string(d.Name), Ino: model.Ino(d.Ino), Type: d.Type, Rev: r.Rev}
	case recXattr:
		var a wireXattr
		f.decode(w.Body, &a)
		r.Xattr = &model.Xattr{Ino: model.Ino(a.Ino), Name: string(a.Name), Value: empty(a.Value), Removed: a.Removed}
	case recExtents:
		r.Extents = w.extents(&f)
	case recPack:
		r.Pack = w.pack(&f)
	case recDropPack:
		var b []byte
		f.decode(w.Body, &b)
		r.DropPack = new(model.PackID)
		f.copy("pack id", r.DropPack[:], b)
	case recForget:
		var g wireForget
		f.decode(w.Body, &g)
		r.Forget = &model.Forget{Ino: model.Ino(g.Ino), Of: f.rev(g.Of)}
	default:
		f.fail("record of kind %d: a newer version of this program wrote it", w.Kind)
	}
	return r, f.err
}

func (f *fixed) decode(b []byte, v any) {
	if err := decode(b, v); err != nil && f.err == nil {
		f.err = err
	}
}

func (w *wireRecordIn) inode(f *fixed) *model.Inode {
	var n wireInode
	f.decode(w.Body, &n)
	if n.Content != uint8(model.ContentNone) && n.Content != uint8(model.ContentStored) {
		f.fail("inode with content of kind %d", n.Content)
	}
	return &model.Inode{
		Ino: model.Ino(n.Ino), Rev: model.Rev(w.Rev), Mode: n.Mode, Nlink: n.Nlink, UID: n.UID, GID: n.GID, Rdev: n.Rdev, Size: f.length("file", n.Size),
		Atime: n.Atime, Mtime: n.Mtime, Ctime: n.Ctime, Btime: n.Btime, Parent: model.Ino(n.Parent), Name: string(n.Name), Symlink: string(n.Symlink),
		HasXattr: n.HasXattr, Content: model.Content{Kind: model.ContentKind(n.Content), Rev: f.rev(n.ContentRev)},
	}
}

func (w *wireRecordIn) extents(f *fixed) *model.Extents {
	var x wireExtents
	f.decode(w.Body, &x)
	out := &model.Extents{Ino: model.Ino(x.Ino), List: make([]model.Extent, len(x.List))}
	for i := range x.List {
		e := &x.List[i]
		out.List[i] = model.Extent{Off: f.length("offset", e.Off), Len: f.length("extent", e.Len), Skip: f.length("skip", e.Skip)}
		if len(e.Chunk) != 0 {
			f.copy("chunk id", out.List[i].Chunk[:], e.Chunk)
		}
	}
	return out
}

func (w *wireRecordIn) pack(f *fixed) *model.PackRecord {
	var p wirePackRecord
	f.decode(w.Body, &p)
	out := &model.PackRecord{Pack: p.Pack.pack(f), Chunks: make([]model.Chunk, len(p.Chunks))}
	for i := range p.Chunks {
		c := &p.Chunks[i]
		out.Chunks[i] = model.Chunk{Len: f.length("chunk", c.Len), Off: f.length("chunk offset", c.Off), Pack: out.Pack.ID}
		f.copy("chunk id", out.Chunks[i].ID[:], c.ID)
		if c.Off+c.Len > out.Pack.PlainLen {
			f.fail("chunk at %d of %d bytes in a pack of %d", c.Off, c.Len, out.Pack.PlainLen)
		}
	}
	return out
}
