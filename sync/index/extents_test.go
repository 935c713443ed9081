package index

import (
	"bytes"
	"encoding/binary"
	"testing"

	"pgregory.net/rapid"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

// chunkOf is a made-up chunk; byte i of it is told from every other byte by the number and i.
func chunkOf(n int) model.Chunk {
	var c model.Chunk
	binary.BigEndian.PutUint64(c.ID[:], uint64(n))
	c.ID[31] = 1
	c.Len, c.Pack[0] = 1<<20, byte(n%5+1)
	c.Off = int64(n) << 20
	return c
}

const fileSpan = 200

// byteAt names what a byte of the file is: chunk number and place in it, or 0.
type byteMap [fileSpan]uint64

func (m *byteMap) put(off, n int64, chunk int, skip int64) {
	for i := off; i < off+n; i++ {
		m[i] = 0
		if chunk > 0 {
			m[i] = uint64(chunk)<<32 | uint64(skip+i-off)
		}
	}
}

// readMap reads the extents of a view into a map and checks that they are gapless and in order.
func readMap(t fataler, v *View, ino model.Ino, off, n int64) (m byteMap) {
	pos := off
	err := v.Extents(ino, off, n, func(e model.Extent) bool {
		if e.Off != pos || e.Len <= 0 || e.Off+e.Len > off+n {
			t.Fatalf("extent %d+%d, want one at %d up to %d", e.Off, e.Len, pos, off+n)
		}
		pos += e.Len
		if !e.IsHole() {
			m.put(e.Off, e.Len, int(binary.BigEndian.Uint64(e.Chunk[:])), e.Skip)
		}
		return true
	})
	if err != nil || pos != off+n {
		t.Fatalf("extents end at %d, want %d: %v", pos, off+n, err)
	}
	return m
}

type fataler interface{ Fatalf(string, ...any) }

// Any sequence of puts and truncations reads, as of every revision, like a naive map of bytes; also after a restart, and in another
// index to which the records were applied in any order.
func TestExtentsAgainstByteMap(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := newRig(t)
		var m byteMap
		hist := map[model.Rev]byteMap{}
		nchunks := 0
		for range rapid.IntRange(1, 12).Draw(rt, "batches") {
			rev := r.commit(func(b *Batch) {
				for range rapid.IntRange(1, 3).Draw(rt, "ops") {
					if rapid.IntRange(0, 9).Draw(rt, "kind") == 0 {
						size := rapid.Int64Range(0, fileSpan).Draw(rt, "size")
						b.TruncateExtents(5, size)
						m.put(size, fileSpan-size, 0, 0)
						continue
					}
					off := rapid.Int64Range(0, fileSpan-1).Draw(rt, "off")
					var list []model.Extent
					for range rapid.IntRange(1, 4).Draw(rt, "extents") {
						if off >= fileSpan {
							break
						}
						e := model.Extent{Off: off, Len: rapid.Int64Range(1, min(40, fileSpan-off)).Draw(rt, "len")}
						n := 0
						if rapid.IntRange(0, 4).Draw(rt, "hole") > 0 {
							nchunks++
							n = nchunks
							c := chunkOf(n)
							b.PutChunk(c)
							e.Chunk, e.Skip = c.ID, rapid.Int64Range(0, 9).Draw(rt, "skip")
						}
						m.put(e.Off, e.Len, n, e.Skip)
						list = append(list, e)
						off += e.Len
					}
					b.PutExtents(5, list)
				}
			})
			hist[rev] = m
			if rapid.IntRange(0, 7).Draw(rt, "restart") == 0 {
				if _, err := r.x.Checkpoint(); err != nil {
					rt.Fatal(err)
				}
				r.kill()
			}
		}
		checkHist(rt, r.x, hist)
		checkHist(rt, applied(rt, t, r), hist)
	})
}

func checkHist(rt *rapid.T, x *Index, hist map[model.Rev]byteMap) {
	for rev, want := range hist {
		if got := readMap(rt, x.At(rev), 5, 0, fileSpan); got != want {
			rt.Fatalf("as of %d:\n got %v\nwant %v", rev, got, want)
		}
		a := rapid.Int64Range(0, fileSpan-1).Draw(rt, "from")
		n := rapid.Int64Range(0, fileSpan-a).Draw(rt, "n")
		got, part := readMap(rt, x.At(rev), 5, a, n), byteMap{}
		copy(part[a:a+n], want[a:a+n])
		if got != part {
			rt.Fatalf("as of %d, %d+%d:\n got %v\nwant %v", rev, a, n, got, part)
		}
	}
}

// applied publishes everything of r and applies its dump and its groups, shuffled and twice, to another index.
func applied(rt *rapid.T, t *testing.T, r *rig) *Index {
	var recs []model.Record
	var revs []model.Rev
	if err := r.x.Outbox(0, func(g Group) bool {
		got, err := r.x.Records(g)
		if err != nil {
			rt.Fatal(err)
		}
		recs, revs = append(recs, got...), append(revs, g.Rev)
		return true
	}); err != nil {
		rt.Fatal(err)
	}
	b := r.x.Begin()
	b.Local()
	b.Published(revs...)
	if _, err := b.Commit(); err != nil {
		rt.Fatal(err)
	}
	if err := r.x.Dump(func(rec model.Record) error { recs = append(recs, rec); return nil }); err != nil {
		rt.Fatal(err)
	}
	recs = rapid.Permutation(recs).Draw(rt, "order")
	other := newRig(t)
	for _, rec := range recs {
		b := other.x.Begin()
		b.Local()
		b.Apply(rec)
		if _, err := b.Commit(); err != nil {
			rt.Fatal(err)
		}
	}
	if got := other.x.Stats(); got.Outbox != 0 {
		rt.Fatal("applied records are in the outbox")
	}
	return other.x
}

func TestExtentsOfAHugeFile(t *testing.T) {
	r := newRig(t)
	const n = 100_000
	r.commit(func(b *Batch) {
		var list []model.Extent
		c := chunkOf(1)
		b.PutChunk(c)
		for i := range int64(n) {
			list = append(list, model.Extent{Off: i << 20, Len: 1 << 20, Chunk: c.ID})
		}
		b.PutExtents(5, list)
	})
	r.kill()
	var list []model.Extent
	if err := r.x.Now().Extents(5, 77_777<<20+5, 1<<20, func(e model.Extent) bool { list = append(list, e); return true }); err != nil || len(list) != 2 {
		t.Fatal(list, err)
	}
	before := r.j.End()
	r.commit(func(b *Batch) {
		b.PutExtents(5, []model.Extent{{Off: 50_000<<20 + 4096, Len: 4096, Chunk: chunkOf(1).ID}})
	})
	if d := r.j.End() - before; d > 600 {
		t.Fatalf("a small change wrote %d bytes", d)
	}
}

func TestExtentsAreChecked(t *testing.T) {
	r := newRig(t)
	for i, list := range [][]model.Extent{
		{{Off: 0, Len: 5, Chunk: chunkOf(9).ID}},
		{{Off: 0, Len: 5}, {Off: 6, Len: 5}},
		{{Off: -1, Len: 5}},
		{{Off: 0, Len: 0}},
	} {
		b := r.x.Begin()
		b.PutExtents(5, list)
		if _, err := b.Commit(); err == nil {
			t.Error("case", i)
		}
	}
}

func FuzzValues(f *testing.F) {
	n := staged(file(9, "name", 10), 3)
	n.Symlink, n.Rdev = "target", 7
	f.Add(appendInode(nil, n))
	f.Add(appendDirent(nil, &model.Dirent{Parent: 1, Ino: 9, Type: model.TypeDir}))
	f.Add(appendExtent(nil, extent{len: 5, chunk: 6, skip: 7}))
	f.Add(appendPack(nil, &model.Pack{K: 1, M: 1, Header: []byte("h"), Shards: make([]model.Shard, 2)}, 8))
	f.Add(appendKeys(nil, []Key{{Kind: KeyDirent, Ino: 1, Name: "x", Child: 4}, {Kind: KeyPack}}))
	c := chunkOf(4)
	f.Add(appendChunk(nil, &c))
	f.Add((&state{n: 4, rev: 5, nextChunk: 1}).encode())
	f.Fuzz(func(t *testing.T, p []byte) {
		same := func(what string, err error, again []byte) {
			if err == nil && !bytes.Equal(again, p) {
				t.Fatalf("%s: %x is read, but written as %x", what, p, again)
			}
		}
		in, err := parseInode(p, 9, 1)
		same("inode", err, appendInode(nil, &in))
		d := model.Dirent{Parent: 1}
		err = parseDirent(p, &d)
		same("dirent", err, appendDirent(nil, &d))
		e, err := parseExtent(p, 0)
		same("extent", err, appendExtent(nil, e))
		pk, rev, err := parsePack(p, model.PackID{})
		same("pack", err, appendPack(nil, &pk, rev))
		keys, err := parseKeys(p)
		same("keys", err, appendKeys(nil, keys))
		ch, err := parseChunk(p)
		same("chunk", err, appendChunk(nil, &ch))
		st, err := parseState(p)
		same("state", err, st.encode())
		if s, dump, err := parseBatch(p); err == nil {
			same("batch", nil, s.encodeBatch(nil, dump))
		}
	})
}
