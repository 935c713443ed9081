package index

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/syndtr/goleveldb/leveldb/iterator"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

// MaxExtent is the longest extent in bytes; it bounds how far before an offset the one that covers it can begin.
const MaxExtent = 16 << 20

// Extents calls fn for the extents that cover exactly [off, off+n) of an inode's content as of the view's revision, in order and without gaps,
// until fn returns false. What nothing is stored for is a hole. Extents at the borders are cut.
func (v *View) Extents(ino model.Ino, off, n int64, fn func(model.Extent) bool) error {
	if off < 0 || n < 0 || off > 1<<62-n {
		return fmt.Errorf("index: extents of %d bytes at %d", n, off)
	}
	pos, end, stop := off, off+n, false
	var failed error
	err := v.x.liveExtents(ino, off, end, v.rev, func(e extent) bool {
		if pos < e.off {
			stop = !fn(model.Extent{Off: pos, Len: e.off - pos})
		}
		if stop || e.chunk == 0 {
			pos = max(pos, e.off)
			return !stop
		}
		c, err := v.x.chunkByNumber(e.chunk)
		if err != nil {
			failed = fmt.Errorf("inode %d at %d: %w", ino, e.off, err)
			return false
		}
		from, to := max(e.off, off), min(e.end(), end)
		stop = !fn(model.Extent{Off: from, Len: to - from, Chunk: c.ID, Skip: e.skip + from - e.off})
		pos = to
		return !stop
	})
	if err = errors.Join(failed, err); err != nil || stop {
		return err
	}
	if pos < end {
		fn(model.Extent{Off: pos, Len: end - pos})
	}
	return nil
}

// liveExtents shows the extents as of rev that overlap [a, b), whole and in order.
func (x *Index) liveExtents(ino model.Ino, a, b int64, rev model.Rev, fn func(extent) bool) error {
	if a >= b {
		return nil
	}
	prefix := inoPrefix(pExtent, ino)
	it := x.iter(prefix)
	defer it.Release()
	w := extentWalk{x: x, it: it, ino: ino, rev: rev}
	e, ok, err := w.covering(a)
	if err != nil {
		return err
	}
	if ok && e.end() > a && !fn(e) {
		return nil
	}
	from := a
	if ok {
		from = max(a, e.off+1)
	}
	for off, more := w.seek(from); more && off < b; off, more = w.next(off) {
		e, ok, err := w.at(off)
		if err != nil {
			return err
		}
		if ok && e.len > 0 && !fn(e) {
			return nil
		}
	}
	return x.wrap(it.Error())
}

// extentWalk goes over the offsets of an inode's extents.
type extentWalk struct {
	x   *Index
	it  iterator.Iterator
	ino model.Ino
	rev model.Rev
}

func (w *extentWalk) key() int64 { return int64(be.Uint64(w.it.Key()[9:])) }

// seek goes to the first offset at or behind off.
func (w *extentWalk) seek(off int64) (int64, bool) {
	if !w.it.Seek(kExtent(w.ino, off, revMask)) {
		return 0, false
	}
	return w.key(), true
}

// next goes to the next offset; mostly it is a step or two away.
func (w *extentWalk) next(off int64) (int64, bool) {
	for range 4 {
		if w.it.Valid() && w.key() > off {
			return w.key(), true
		}
		if !w.it.Next() {
			return 0, false
		}
	}
	return w.seek(off + 1)
}

// at reads the extent at off as of the revision; the iterator stands on one of its keys, the newest of those not looked at.
func (w *extentWalk) at(off int64) (extent, bool, error) {
	if revOf(w.it.Key()) > w.rev && (!w.it.Seek(kExtent(w.ino, off, w.rev)) || w.key() != off) {
		return extent{}, false, w.x.wrap(w.it.Error())
	}
	e, err := parseExtent(w.it.Value(), off)
	if err != nil {
		return e, false, w.x.damaged(fmt.Sprintf("extent of inode %d at %d", w.ino, off), err)
	}
	return e, true, nil
}

// covering finds the last extent that begins at or before off, as far back as one can reach.
func (w *extentWalk) covering(off int64) (e extent, ok bool, err error) {
	found := w.it.Seek(kExtent(w.ino, off, 0)) // the oldest possible key at off
	switch {
	case found && w.key() == off: // revision 0 itself
	case found:
		found = w.it.Prev()
	default:
		found = w.it.Last()
	}
	for found {
		o := w.key()
		if o <= off-MaxExtent {
			return e, false, nil
		}
		if w.it.Seek(kExtent(w.ino, o, w.rev)) && w.key() == o {
			if e, err = parseExtent(w.it.Value(), o); err != nil {
				return e, false, w.x.damaged(fmt.Sprintf("extent of inode %d at %d", w.ino, o), err)
			}
			if e.len > 0 {
				return e, true, nil
			}
		}
		w.it.Seek(kExtent(w.ino, o, revMask)) // its newest key; it exists
		found = w.it.Prev()
	}
	return e, false, w.x.wrap(w.it.Error())
}

// extentTx collects the changes of a batch to one inode's extents: at most one for each offset, sorted.
type extentTx struct {
	ino     model.Ino
	changed []extent
}

func (t *extentTx) find(off int64) (int, bool) {
	return slices.BinarySearchFunc(t.changed, off, func(e extent, o int64) int {
		switch {
		case e.off < o:
			return -1
		case e.off > o:
			return 1
		}
		return 0
	})
}

func (t *extentTx) set(e extent) {
	i, ok := t.find(e.off)
	if ok {
		t.changed[i] = e
		return
	}
	t.changed = slices.Insert(t.changed, i, e)
}

// live is liveExtents with the changes of the batch over it.
func (t *extentTx) live(x *Index, a, b int64) (out []extent, err error) {
	err = x.liveExtents(t.ino, a, b, model.MaxRev, func(e extent) bool {
		if _, changed := t.find(e.off); !changed {
			out = append(out, e)
		}
		return true
	})
	i, _ := t.find(max(0, a-MaxExtent))
	for ; i < len(t.changed) && t.changed[i].off < b; i++ {
		if e := t.changed[i]; e.len > 0 && e.end() > a {
			out = append(out, e)
		}
	}
	return out, err
}

// clear makes [a, b) a hole, cutting what reaches over its borders.
func (t *extentTx) clear(x *Index, a, b int64) error {
	old, err := t.live(x, a, b)
	if err != nil {
		return err
	}
	for _, e := range old {
		if e.off < a {
			t.set(extent{off: e.off, len: a - e.off, chunk: e.chunk, skip: e.skip})
		} else {
			t.set(extent{off: e.off})
		}
		if e.end() > b {
			t.set(extent{off: b, len: e.end() - b, chunk: e.chunk, skip: e.skip + b - e.off})
		}
	}
	return nil
}

// Extents as records: the entries that one revision wrote between two offsets, both included.
func (x *Index) extentEntries(ino model.Ino, rev model.Rev, from, to int64) (list []model.Extent, err error) {
	prefix := inoPrefix(pExtent, ino)
	it := x.iter(prefix)
	for ok := it.Seek(kExtent(ino, from, revMask)); ok; ok = it.Next() {
		k := it.Key()
		off := int64(be.Uint64(k[9:]))
		if off > to {
			break
		}
		if revOf(k) != rev {
			continue
		}
		e, err := x.modelExtent(it.Value(), off)
		if err != nil {
			return nil, errors.Join(err, x.end(it))
		}
		list = append(list, e)
	}
	return list, x.end(it)
}

func (x *Index) modelExtent(val []byte, off int64) (model.Extent, error) {
	e, err := parseExtent(bytes.Clone(val), off)
	if err != nil {
		return model.Extent{}, x.damaged("extent", err)
	}
	out := model.Extent{Off: e.off, Len: e.len, Skip: e.skip}
	if e.chunk != 0 {
		c, err := x.chunkByNumber(e.chunk)
		if err != nil {
			return out, err
		}
		out.Chunk = c.ID
	}
	return out, nil
}
