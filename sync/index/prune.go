package index

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/syndtr/goleveldb/leveldb/iterator"
	"github.com/syndtr/goleveldb/leveldb/util"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

// Retention tells whether the revision of an inode or name that was the current one from rev until next is kept.
type Retention func(rev, next model.Rev) bool

// Pruned counts the records that Prune removed, or would.
type Pruned struct{ Inodes, Dirents, Xattrs, Extents int64 }

// pruneBatch is how many keys are deleted by one batch.
const pruneBatch = 2000

// Prune removes revisions that keep doesn't want. What is current stays, and what isn't published or not stored. An inode without
// links goes as a whole when keep wants none of its revisions and Options.Busy doesn't name it. Attributes and extents stay as
// long as a kept revision of their inode shows them. With dryRun nothing is removed. It ends early, with the context's error, between two batches.
func (x *Index) Prune(ctx context.Context, keep Retention, dryRun bool) (Pruned, error) {
	snap, err := x.db.GetSnapshot()
	if err != nil {
		return Pruned{}, x.wrap(err)
	}
	defer snap.Release()
	p := &pruner{x: x, ctx: ctx, keep: keep, dry: dryRun, now: x.LastRev() + 1}
	p.iter = func(prefix []byte) iterator.Iterator {
		return snap.NewIterator(&util.Range{Start: prefix, Limit: after(prefix)}, nil)
	}
	p.d = dump{x: x, iter: p.iter}
	err = p.d.each(pOutbox, func(k, _ []byte) error {
		p.d.pending = append(p.d.pending, model.Rev(be.Uint64(k[1:])))
		return nil
	})
	if err == nil {
		err = p.inodes()
	}
	if err == nil {
		err = p.dirents()
	}
	if err == nil {
		err = p.flush()
	}
	return p.done, err
}

type pruner struct {
	x    *Index
	ctx  context.Context
	keep Retention
	dry  bool
	now  model.Rev
	d    dump
	iter func([]byte) iterator.Iterator
	done Pruned
	dead [][]byte
}

// drop marks a key for deletion.
func (p *pruner) drop(k []byte, n *int64) error {
	*n++
	if p.dry {
		return nil
	}
	if p.dead = append(p.dead, append([]byte(nil), k...)); len(p.dead) < pruneBatch {
		return nil
	}
	return p.flush()
}

func (p *pruner) flush() error {
	if err := p.ctx.Err(); err != nil {
		return err
	}
	if len(p.dead) == 0 {
		return nil
	}
	dead := p.dead
	p.dead = nil
	b := p.x.Begin()
	b.Local()
	b.do(func(t *tx) error {
		for _, k := range dead {
			t.lb.Delete(k)
		}
		return nil
	})
	_, err := b.Commit()
	return err
}

// inodes walks over all inodes, one at a time.
func (p *pruner) inodes() error {
	var revs []model.Inode // of one inode, newest first
	done := func() error {
		if len(revs) == 0 {
			return nil
		}
		err := p.inode(revs)
		revs = revs[:0]
		return err
	}
	err := p.d.each(pInode, func(k, v []byte) error {
		ino := model.Ino(be.Uint64(k[1:]))
		if len(revs) > 0 && revs[0].Ino != ino {
			if err := done(); err != nil {
				return err
			}
		}
		n, err := parseInode(v, ino, revOf(k))
		if err != nil {
			return p.x.damaged("inode", err)
		}
		revs = append(revs, n)
		return nil
	})
	return errors.Join(err, done())
}

func (p *pruner) inode(revs []model.Inode) error {
	newest := &revs[0]
	var kept []model.Rev // at which the inode's attributes are read
	var base []model.Rev // at which its extents are read
	keep := func(n *model.Inode) {
		kept = append(kept, n.Rev)
		if n.Content.Kind != model.ContentNone {
			base = append(base, n.Content.Rev)
		}
	}
	keep(newest)
	var drop []*model.Inode
	for i := 1; i < len(revs); i++ {
		n := &revs[i]
		if !p.d.published(n.Rev) || n.Content.Kind == model.ContentStaged || p.keep(n.Rev, revs[i-1].Rev) {
			keep(n)
		} else {
			drop = append(drop, n)
		}
	}
	if len(kept) == 1 && p.gone(newest) {
		return p.forget(newest)
	}
	for _, n := range drop {
		if err := p.drop(kInode(n.Ino, n.Rev), &p.done.Inodes); err != nil {
			return err
		}
	}
	if err := p.versions(inoPrefix(pXattr, newest.Ino), kept, &p.done.Xattrs); err != nil {
		return err
	}
	return p.versions(inoPrefix(pExtent, newest.Ino), base, &p.done.Extents)
}

// gone tells whether nothing of an inode is wanted any more.
func (p *pruner) gone(n *model.Inode) bool {
	return n.Nlink == 0 && p.d.published(n.Rev) && n.Content.Kind != model.ContentStaged && !p.keep(n.Rev, p.now) &&
		(p.x.opt.Busy == nil || !p.x.opt.Busy(n.Ino))
}

// forget removes an inode as a whole, unless it was changed since.
func (p *pruner) forget(n *model.Inode) error {
	p.done.Inodes++
	if p.dry {
		return nil
	}
	b := p.x.Begin()
	b.Local()
	b.do(func(t *tx) error {
		in, err := t.inode(n.Ino)
		if err != nil || in.old.Rev != n.Rev {
			return err
		}
		return t.forgetInode(n.Ino)
	})
	_, err := b.Commit()
	return err
}

// versions removes the versions of attributes or extents that none of the revisions in shown sees, and marks of absence under which nothing
// is left. The newest version stays: it may be what comes next.
func (p *pruner) versions(prefix []byte, shown []model.Rev, n *int64) error {
	slices.Sort(shown)
	it := p.iter(prefix)
	var last []byte    // key without revision
	var next model.Rev // revision of the version after this one; MaxRev for the newest
	var mark []byte    // newest version, when it is a mark of absence
	left := false      // some older version stays
	closeKey := func() error {
		if mark == nil || left {
			return nil
		}
		return p.drop(mark, n)
	}
	var err error
	for err == nil && it.Next() {
		k, r := it.Key(), revOf(it.Key())
		if !slices.Equal(last, k[:len(k)-revLen]) {
			err = closeKey()
			last, next, mark, left = append(last[:0], k[:len(k)-revLen]...), model.MaxRev, nil, false
		}
		absent := len(it.Value()) == 1 && it.Value()[0] == 0
		switch {
		case err != nil:
		case next == model.MaxRev && absent && p.d.published(r):
			mark = append([]byte(nil), k...)
		case next == model.MaxRev || !p.d.published(r) || sees(shown, r, next):
			left = true
		default:
			err = p.drop(k, n)
		}
		next = r
	}
	if err == nil {
		err = closeKey()
	}
	return errors.Join(err, p.x.end(it))
}

// sees tells whether one of the sorted revisions lies in [from, until).
func sees(shown []model.Rev, from, until model.Rev) bool {
	i, _ := slices.BinarySearch(shown, from)
	return i < len(shown) && shown[i] < until
}

// dirents walks over all names.
func (p *pruner) dirents() error {
	var last []byte
	var next model.Rev
	var mark []byte // newest record, when it is a removal that may go
	left := false
	closeName := func() error {
		if mark == nil || left {
			return nil
		}
		return p.dropName(mark)
	}
	err := p.d.each(pDirent, func(k, v []byte) error {
		r := revOf(k)
		if !slices.Equal(last, k[:len(k)-revLen]) {
			if err := closeName(); err != nil {
				return err
			}
			last, next, mark, left = append(last[:0], k[:len(k)-revLen]...), model.MaxRev, nil, false
		}
		newest, removed := next == model.MaxRev, len(v) == 1 && v[0] == 0
		until := next
		if newest {
			until = p.now
		}
		next = r
		switch {
		case newest && removed && p.d.published(r) && !p.keep(r, until):
			mark = append([]byte(nil), k...)
		case newest || !p.d.published(r) || p.keep(r, until):
			left = true
		default:
			return p.drop(k, &p.done.Dirents)
		}
		return nil
	})
	return errors.Join(err, closeName())
}

// dropName removes the mark that a name was removed, unless the name came back since.
func (p *pruner) dropName(k []byte) error {
	p.done.Dirents++
	if p.dry {
		return nil
	}
	parent, name := model.Ino(be.Uint64(k[1:])), string(k[direntMin:len(k)-revLen-1])
	b := p.x.Begin()
	b.Local()
	b.do(func(t *tx) error {
		e, err := t.dirent(parent, name)
		if err != nil || e.old.Rev != revOf(k) {
			return err
		}
		t.lb.Delete(k)
		e.put, e.gone = &model.Dirent{Parent: parent, Name: name, Cookie: e.old.Cookie}, true
		return nil
	})
	_, err := b.Commit()
	return err
}

// LiveChunks calls fn for every chunk of the catalogue and tells whether an extent of any revision names it. Its memory is a bit for each
// chunk number ever given.
func (x *Index) LiveChunks(ctx context.Context, fn func(c model.Chunk, live bool) error) error {
	snap, err := x.db.GetSnapshot()
	if err != nil {
		return x.wrap(err)
	}
	defer snap.Release()
	x.mu.Lock()
	chunks := x.state.nextChunk // at least as many as the snapshot knows
	x.mu.Unlock()
	d := dump{x: x, iter: func(p []byte) iterator.Iterator {
		return snap.NewIterator(&util.Range{Start: p, Limit: after(p)}, nil)
	}}
	var live bitset
	n := 0
	check := func() error {
		if n++; n%1024 == 0 {
			return ctx.Err()
		}
		return nil
	}
	err = d.each(pExtent, func(k, v []byte) error {
		e, err := parseExtent(v, int64(be.Uint64(k[9:])))
		if err != nil {
			return x.damaged("extent", err)
		}
		if e.chunk >= chunks {
			return x.damaged("extent", fmt.Errorf("chunk number %d was never given", e.chunk))
		}
		live.set(e.chunk)
		return check()
	})
	if err != nil {
		return err
	}
	return d.each(pNumber, func(k, v []byte) error {
		c, err := parseChunk(v)
		if err != nil {
			return x.damaged("chunk", err)
		}
		if err := check(); err != nil {
			return err
		}
		return fn(c, live.has(be.Uint64(k[1:])))
	})
}

type bitset []uint64

func (b *bitset) set(n uint64) {
	for uint64(len(*b)) <= n/64 {
		*b = append(*b, 0)
	}
	(*b)[n/64] |= 1 << (n % 64)
}

func (b bitset) has(n uint64) bool { return n/64 < uint64(len(b)) && b[n/64]&(1<<(n%64)) != 0 }
