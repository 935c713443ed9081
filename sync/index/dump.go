package index

import (
	"bytes"
	"errors"
	"slices"

	"github.com/syndtr/goleveldb/leveldb/iterator"
	"github.com/syndtr/goleveldb/leveldb/util"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

// dumpExtents is how many entries one record of a dump holds at most.
const dumpExtents = 1000

// Dump calls fn for every record that is published, as of one moment: packs with their chunks first, then everything else. Applied to an
// empty index they give the published part of this one.
func (x *Index) Dump(fn func(model.Record) error) error {
	snap, err := x.db.GetSnapshot()
	if err != nil {
		return x.wrap(err)
	}
	defer snap.Release()
	d := dump{x: x, fn: fn, iter: func(p []byte) iterator.Iterator {
		return snap.NewIterator(&util.Range{Start: p, Limit: after(p)}, nil)
	}}
	if err := d.each(pOutbox, func(k, _ []byte) error {
		d.pending = append(d.pending, model.Rev(be.Uint64(k[1:])))
		return nil
	}); err != nil {
		return err
	}
	for _, step := range []func() error{d.packs, d.inodes, d.dirents, d.xattrs, d.extents} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

type dump struct {
	x       *Index
	fn      func(model.Record) error
	pending []model.Rev // in the outbox, sorted
	iter    func(prefix []byte) iterator.Iterator
}

// published tells whether a revision is out of the outbox.
func (d *dump) published(r model.Rev) bool {
	_, found := slices.BinarySearch(d.pending, r)
	return !found
}

// each walks over the keys of one kind.
func (d *dump) each(prefix byte, fn func(k, v []byte) error) error {
	it := d.iter([]byte{prefix})
	for it.Next() {
		if err := fn(it.Key(), it.Value()); err != nil {
			return errors.Join(err, d.x.end(it))
		}
	}
	return d.x.end(it)
}

func (d *dump) packs() error {
	return d.each(pPack, func(k, v []byte) error {
		var id model.PackID
		copy(id[:], k[1:])
		p, rev, err := parsePack(v, id)
		if err != nil {
			return d.x.damaged("pack "+id.String(), err)
		}
		r := model.PackRecord{Pack: p}
		if err := d.x.PackChunks(id, func(c model.Chunk) bool { r.Chunks = append(r.Chunks, c); return true }); err != nil {
			return err
		}
		return d.fn(model.Record{Rev: rev, Pack: &r})
	})
}

func (d *dump) inodes() error {
	return d.each(pInode, func(k, v []byte) error {
		rev := revOf(k)
		if !d.published(rev) {
			return nil
		}
		n, err := parseInode(v, model.Ino(be.Uint64(k[1:])), rev)
		if err != nil {
			return d.x.damaged("inode", err)
		}
		if n.Content.Kind == model.ContentStaged {
			return nil
		}
		return d.fn(model.Record{Rev: rev, Inode: &n})
	})
}

func (d *dump) dirents() error {
	return d.each(pDirent, func(k, v []byte) error {
		rev := revOf(k)
		if !d.published(rev) {
			return nil
		}
		e := model.Dirent{
			Parent: model.Ino(be.Uint64(k[1:])), Cookie: be.Uint64(k[9:]), Rev: rev,
			Name: string(k[direntMin : len(k)-revLen-1]),
		}
		if err := parseDirent(v, &e); err != nil {
			return d.x.damaged("name", err)
		}
		return d.fn(model.Record{Rev: rev, Dirent: &e})
	})
}

func (d *dump) xattrs() error {
	return d.each(pXattr, func(k, v []byte) error {
		rev := revOf(k)
		if !d.published(rev) {
			return nil
		}
		a, err := parseXattr(v, model.Ino(be.Uint64(k[1:])), string(k[9:len(k)-revLen-1]))
		if err != nil {
			return d.x.damaged("attribute", err)
		}
		return d.fn(model.Record{Rev: rev, Xattr: &a})
	})
}

// extents joins neighbouring entries of one inode and revision.
func (d *dump) extents() error {
	var r model.Record
	flush := func() error {
		if r.Extents == nil {
			return nil
		}
		err := d.fn(r)
		r = model.Record{}
		return err
	}
	err := d.each(pExtent, func(k, v []byte) error {
		rev, ino := revOf(k), model.Ino(be.Uint64(k[1:]))
		if !d.published(rev) {
			return nil
		}
		e, err := d.x.modelExtent(bytes.Clone(v), int64(be.Uint64(k[9:])))
		if err != nil {
			return err
		}
		if r.Extents != nil && (r.Rev != rev || r.Extents.Ino != ino || len(r.Extents.List) >= dumpExtents) {
			if err := flush(); err != nil {
				return err
			}
		}
		if r.Extents == nil {
			r = model.Record{Rev: rev, Extents: &model.Extents{Ino: ino}}
		}
		r.Extents.List = append(r.Extents.List, e)
		return nil
	})
	return errors.Join(err, flush())
}
