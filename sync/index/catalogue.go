package index

import (
	"errors"
	"fmt"
	"slices"

	"github.com/syndtr/goleveldb/leveldb"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

// chunkTx is a chunk as a batch sees it.
type chunkTx struct {
	no      uint64
	c       model.Chunk
	dropped bool
}

// Chunk says where a chunk is; ok is false when the drive doesn't have it.
func (x *Index) Chunk(id model.ChunkID) (c model.Chunk, ok bool, err error) {
	e, err := x.readChunk(id)
	if errors.Is(err, ErrNotFound) || (err == nil && e.c.Len == 0) { // named by a record whose pack isn't known yet
		return c, false, nil
	}
	return e.c, err == nil, err
}

func (x *Index) readChunk(id model.ChunkID) (e chunkTx, err error) {
	val, err := x.db.Get(kChunk(id), nil)
	if errors.Is(err, leveldb.ErrNotFound) {
		return e, ErrNotFound
	}
	if err != nil {
		return e, x.wrap(err)
	}
	r := reader{p: val}
	if e.no = r.uint(); r.done() != nil {
		return e, x.damaged("chunk "+id.String(), errValue)
	}
	e.c, err = x.chunkByNumber(e.no)
	if err == nil && e.c.ID != id {
		err = x.damaged("chunk "+id.String(), errValue)
	}
	return e, err
}

func (x *Index) chunkByNumber(no uint64) (model.Chunk, error) {
	val, err := x.db.Get(kNumber(no), nil)
	if errors.Is(err, leveldb.ErrNotFound) {
		return model.Chunk{}, fmt.Errorf("%w: number %d", ErrUnknownChunk, no)
	}
	if err != nil {
		return model.Chunk{}, x.wrap(err)
	}
	c, err := parseChunk(val)
	if err != nil {
		err = x.damaged(fmt.Sprintf("chunk number %d", no), err)
	}
	return c, err
}

// Pack returns a pack. ErrNotFound when there is none.
func (x *Index) Pack(id model.PackID) (model.Pack, error) {
	p, _, err := x.packAndRev(id)
	return p, err
}

// packAndRev also returns the revision that put the pack.
func (x *Index) packAndRev(id model.PackID) (model.Pack, model.Rev, error) {
	val, err := x.db.Get(kPack(id), nil)
	if errors.Is(err, leveldb.ErrNotFound) {
		return model.Pack{}, 0, ErrNotFound
	}
	if err != nil {
		return model.Pack{}, 0, x.wrap(err)
	}
	p, rev, err := parsePack(val, id)
	if err != nil {
		err = x.damaged("pack "+id.String(), err)
	}
	return p, rev, err
}

// Packs calls fn for every pack behind after, in the order of their ids, until fn returns false.
func (x *Index) Packs(behind model.PackID, fn func(model.Pack) bool) error {
	it := x.iter([]byte{pPack})
	for ok := it.Seek(kPack(behind)); ok; ok = it.Next() {
		var id model.PackID
		copy(id[:], it.Key()[1:])
		if id == behind {
			continue
		}
		p, _, err := parsePack(it.Value(), id)
		if err != nil {
			return errors.Join(x.damaged("pack "+id.String(), err), x.end(it))
		}
		if !fn(p) {
			break
		}
	}
	return x.end(it)
}

// PackChunks calls fn for the chunks whose place is in a pack, in the order of their offsets, until fn returns false.
func (x *Index) PackChunks(id model.PackID, fn func(model.Chunk) bool) error {
	cs, err := x.packChunks(id)
	for _, c := range cs {
		if err != nil || !fn(c.c) {
			break
		}
	}
	return err
}

func (x *Index) packChunks(id model.PackID) (out []chunkTx, err error) {
	nos, err := x.packList(id)
	if err != nil {
		return nil, err
	}
	slices.Sort(nos)
	for _, no := range slices.Compact(nos) {
		c, err := x.chunkByNumber(no)
		if errors.Is(err, ErrUnknownChunk) {
			continue // dropped since
		}
		if err != nil {
			return nil, err
		}
		if c.Pack == id {
			out = append(out, chunkTx{no: no, c: c})
		}
	}
	slices.SortFunc(out, func(a, b chunkTx) int { return int(a.c.Off - b.c.Off) })
	return out, nil
}

// packList is the numbers of all chunks that were ever put into a pack.
func (x *Index) packList(id model.PackID) ([]uint64, error) {
	val, err := x.db.Get(kList(id), nil)
	if errors.Is(err, leveldb.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, x.wrap(err)
	}
	nos, err := parseList(val)
	if err != nil {
		err = x.damaged("list of pack "+id.String(), err)
	}
	return nos, err
}

// PutChunk says where a chunk is; one that is known moves.
func (b *Batch) PutChunk(c model.Chunk) {
	b.do(func(t *tx) error { return t.putChunk(c) })
}

func (t *tx) chunk(id model.ChunkID) (chunkTx, error) {
	if e, ok := t.chunks[id]; ok {
		if e.dropped {
			return e, ErrNotFound
		}
		return e, nil
	}
	return t.x.readChunk(id)
}

func (t *tx) setChunk(e chunkTx) {
	if t.chunks == nil {
		t.chunks = map[model.ChunkID]chunkTx{}
	}
	t.chunks[e.c.ID] = e
}

func (t *tx) putChunk(c model.Chunk) error {
	if c.ID == (model.ChunkID{}) || c.Len < 0 || c.Off < 0 {
		return fmt.Errorf("index: chunk %s of %d bytes at %d", c.ID, c.Len, c.Off)
	}
	e, err := t.chunk(c.ID)
	switch {
	case errors.Is(err, ErrNotFound):
		e.no = t.next.nextChunk
		t.next.nextChunk++
		t.next.stats.Chunks++
		t.lb.Put(kChunk(c.ID), appendUint(nil, e.no))
	case err != nil:
		return err
	case e.c == c:
		return nil
	}
	if c.Pack != (model.PackID{}) && (e.c.Pack != c.Pack || err != nil) {
		if t.lists == nil {
			t.lists = map[model.PackID][]uint64{}
		}
		t.lists[c.Pack] = append(t.lists[c.Pack], e.no)
	}
	t.lb.Put(kNumber(e.no), appendChunk(nil, &c))
	t.setChunk(chunkTx{no: e.no, c: c})
	return nil
}

func (t *tx) chunkNumber(id model.ChunkID) (uint64, error) {
	e, err := t.chunk(id)
	if errors.Is(err, ErrNotFound) {
		err = fmt.Errorf("%w: %s", ErrUnknownChunk, id)
	}
	return e.no, err
}

// DropChunk forgets a chunk. The caller knows that no extent of any revision names it.
func (b *Batch) DropChunk(id model.ChunkID) {
	b.do(func(t *tx) error {
		e, err := t.chunk(id)
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		if err == nil {
			t.dropChunk(e)
		}
		return err
	})
}

func (t *tx) dropChunk(e chunkTx) {
	t.lb.Delete(kChunk(e.c.ID))
	t.lb.Delete(kNumber(e.no))
	t.next.stats.Chunks--
	e.dropped = true
	t.setChunk(e)
}

// PutPack puts a pack, new or changed.
func (b *Batch) PutPack(p *model.Pack) {
	c := *p
	b.do(func(t *tx) error { return t.putPack(&c, t.rev) })
}

func (t *tx) putPack(p *model.Pack, rev model.Rev) error {
	if len(p.Shards) >= maxShards || p.K < 0 || p.K >= maxShards || p.M < 0 || p.M >= maxShards || p.ShardLen < 0 || p.PlainLen < 0 ||
		len(p.Header) > maxPackBytes || len(p.Tail) > maxPackBytes {
		return fmt.Errorf("index: pack %s of %d+%d shards is not valid", p.ID, p.K, p.M)
	}
	there, known := t.packs[p.ID]
	if !known {
		var err error
		if there, err = t.x.db.Has(kPack(p.ID), nil); err != nil {
			return t.x.wrap(err)
		}
	}
	if !there {
		t.next.stats.Packs++
	}
	t.notePack(p.ID, true)
	t.lb.Put(kPack(p.ID), appendPack(nil, p, rev))
	t.keys = append(t.keys, Key{Kind: KeyPack, Pack: p.ID})
	return nil
}

func (t *tx) notePack(id model.PackID, there bool) {
	if t.packs == nil {
		t.packs = map[model.PackID]bool{}
	}
	t.packs[id] = there
}

// DropPack forgets a pack and the chunks whose place is still in it. The caller knows that no extent of any revision names these.
func (b *Batch) DropPack(id model.PackID) {
	b.do(func(t *tx) error { return t.dropPack(id) })
}

func (t *tx) dropPack(id model.PackID) error {
	cs, err := t.x.packChunks(id)
	if err != nil {
		return err
	}
	for _, e := range cs {
		now, err := t.chunk(e.c.ID) // this batch may have moved it
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if now.c.Pack == id {
			t.dropChunk(now)
		}
	}
	there, known := t.packs[id]
	if !known {
		if there, err = t.x.db.Has(kPack(id), nil); err != nil {
			return t.x.wrap(err)
		}
	}
	if there {
		t.next.stats.Packs--
	}
	t.notePack(id, false)
	delete(t.lists, id)
	t.lb.Delete(kPack(id))
	t.lb.Delete(kList(id))
	t.keys = append(t.keys, Key{Kind: KeyDropPack, Pack: id})
	return nil
}

// finishLists adds the numbers of new chunks to the lists of their packs.
func (t *tx) finishLists() error {
	for id, nos := range t.lists {
		old, err := t.x.packList(id)
		if err != nil {
			return err
		}
		t.lb.Put(kList(id), appendList(nil, append(old, nos...)))
	}
	return nil
}
