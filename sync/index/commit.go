package index

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

// count adds an inode, as the newest of its number, to the counters; by is 1 or -1.
func (s *Stats) count(n *model.Inode, by int64) {
	if n.Ino == 0 || n.Nlink == 0 {
		return
	}
	s.Inodes += by
	if !n.IsRegular() {
		return
	}
	s.Files += by
	s.Bytes += by * n.Size
	if n.Content.Kind == model.ContentStaged {
		s.StagedFiles += by
		s.StagedBytes += by * n.Size
	}
}

// writeInode puts a record under its own revision, and keeps the list of staged contents.
func (t *tx) writeInode(n *model.Inode) {
	t.lb.Put(kInode(n.Ino, n.Rev), appendInode(make([]byte, 0, 96), n))
	if n.Content.Kind == model.ContentStaged {
		t.lb.Put(kStaged(n.Rev, n.Ino), appendUint(nil, n.Content.Version))
	}
}

// dropInode removes one revision's record.
func (t *tx) dropInode(n *model.Inode) {
	t.lb.Delete(kInode(n.Ino, n.Rev))
	if n.Content.Kind == model.ContentStaged {
		t.lb.Delete(kStaged(n.Rev, n.Ino))
	}
}

func (t *tx) setContent(ino model.Ino, rev model.Rev, c model.Content) error {
	in, err := t.inode(ino)
	if err != nil {
		return err
	}
	if rev == 0 {
		if in.put == nil {
			if in.old.Ino == 0 {
				return fmt.Errorf("content of inode %d: %w", ino, ErrNotFound)
			}
			n := in.old
			n.Rev = t.rev
			n.Content.Settled = false
			in.put = &n
		}
		c.Settled = c.Settled || in.put.Content.Settled
		in.put.Content = c
		return nil
	}
	n := in.old
	if n.Ino == 0 || n.Rev != rev {
		if n, err = t.x.inodeExactly(ino, rev); err != nil {
			if errors.Is(err, ErrNotFound) {
				return nil
			}
			return err
		}
	}
	c.Settled = c.Settled || n.Content.Settled
	if n.Content.Kind == model.ContentStaged {
		t.lb.Delete(kStaged(n.Rev, ino))
	}
	n.Content = c
	t.writeInode(&n)
	if in.old.Rev == rev {
		in.old, in.moved = n, true
	}
	return nil
}

// foldable tells whether names and attributes that an inode had at an unpublished revision need not be kept: it is no folder, it
// never rested, and nothing of it is stored.
func (t *tx) foldable(ino model.Ino) (bool, error) {
	in, err := t.inode(ino)
	if err != nil {
		return false, err
	}
	n := &in.old
	if n.Ino == 0 {
		return true, nil
	}
	if n.IsDir() || n.Content.Settled || n.Content.Kind == model.ContentStored {
		return false, nil
	}
	if ok, err := t.unpublishedInode(n); err != nil || !ok {
		return false, err
	}
	_, err = t.x.inodeAt(ino, n.Rev-1)
	if errors.Is(err, ErrNotFound) {
		return true, nil
	}
	return false, err
}

// finish turns what was collected into writes of the batch.
func (t *tx) finish() error {
	for _, e := range t.dirents {
		if err := t.finishDirent(e); err != nil {
			return err
		}
	}
	for i := 0; i < len(t.inodes); i++ {
		if err := t.finishInode(t.inodes[i]); err != nil {
			return err
		}
	}
	for _, e := range t.exts {
		t.finishExtents(e)
	}
	if err := t.finishLists(); err != nil {
		return err
	}
	if !t.local && len(t.keys) > 0 {
		t.lb.Put(kOutbox(t.rev), appendKeys(nil, t.keys))
		t.next.stats.Outbox++
	}
	return nil
}

func (t *tx) finishInode(in *inodeTx) error {
	if in.put == nil && !in.moved && !in.forget {
		return nil
	}
	t.next.stats.count(&in.was, -1)
	if in.put == nil {
		if !in.forget {
			t.next.stats.count(&in.old, 1)
		}
		return nil
	}
	if in.old.Ino != 0 && !in.forget && !t.local && !in.applied && !in.old.Content.Settled {
		fold, err := t.unpublishedInode(&in.old)
		if err != nil {
			return err
		}
		if fold {
			t.dropInode(&in.old)
		}
	}
	t.writeInode(in.put)
	t.next.stats.count(in.put, 1)
	if !in.applied {
		t.keys = append(t.keys, Key{Kind: KeyInode, Ino: in.ino})
	}
	return nil
}

func (t *tx) finishDirent(e *direntTx) error {
	d, old := e.put, &e.old
	if e.gone {
		return nil
	}
	if d == nil || (d.Ino == 0 && old.Ino == 0 && !e.applied) {
		e.put = nil
		return nil
	}
	prefix := t.x.direntPrefix(d.Parent, d.Name)
	if old.Ino != 0 && !t.local && !e.applied {
		fold, err := t.foldDirent(old, prefix)
		if err != nil {
			return err
		}
		if fold && d.Ino == 0 {
			only, err := t.onlyOne(prefix, old.Rev)
			if err != nil {
				return err
			}
			if only { // nobody ever saw the name: it needs no tombstone
				d.Rev = 0
				return nil
			}
		}
	}
	t.lb.Put(appendRev(prefix, d.Rev), appendDirent(nil, d))
	if !e.applied {
		child := d.Ino
		if child == 0 {
			child = old.Ino
		}
		t.keys = append(t.keys, Key{Kind: KeyDirent, Ino: d.Parent, Name: d.Name, Child: child})
	}
	return nil
}

// foldDirent removes the newest revision of a name if it may go.
func (t *tx) foldDirent(old *model.Dirent, prefix []byte) (bool, error) {
	ok, err := t.foldable(old.Ino)
	if err != nil || !ok {
		return false, err
	}
	child, err := t.inode(old.Ino)
	if err != nil {
		return false, err
	}
	// The group of a name goes only when its child's content is stored: nobody publishes this one.
	unpublished := t.unpublished
	if waits(&child.old) {
		unpublished = t.queued
	}
	if ok, err = unpublished(old.Rev); err != nil || !ok {
		return false, err
	}
	t.lb.Delete(appendRev(bytes.Clone(prefix), old.Rev))
	return true, nil
}

// onlyOne tells whether a key has no revision before rev.
func (t *tx) onlyOne(prefix []byte, rev model.Rev) (bool, error) {
	err := t.x.first(prefix, appendRev(bytes.Clone(prefix), rev-1), func(_, _ []byte) error { return nil })
	if errors.Is(err, ErrNotFound) {
		return true, nil
	}
	return false, err
}

func (t *tx) putXattr(a model.Xattr) error {
	_, at, err := t.x.xattrAsOf(a.Ino, a.Name, model.MaxRev)
	none := errors.Is(err, ErrNotFound)
	if err != nil && !none {
		return err
	}
	prefix := xattrPrefix(a.Ino, a.Name)
	key := Key{Kind: KeyXattr, Ino: a.Ino, Name: a.Name}
	if !none && !t.local {
		fold, err := t.unpublished(at)
		if err == nil && fold {
			fold, err = t.foldable(a.Ino)
		}
		if err != nil {
			return err
		}
		if fold {
			t.lb.Delete(appendRev(bytes.Clone(prefix), at))
			if none, err = t.onlyOne(prefix, at); err != nil {
				return err
			}
		}
	}
	if a.Removed && none {
		// A removal of what nobody saw leaves nothing; but this batch may have set it before.
		t.lb.Delete(appendRev(prefix, t.rev))
		return nil
	}
	t.lb.Put(appendRev(prefix, t.rev), appendXattr(nil, &a))
	t.keys = append(t.keys, key)
	return nil
}

func appendXattr(p []byte, a *model.Xattr) []byte {
	if a.Removed {
		return append(p, 0)
	}
	return append(append(p, 1), a.Value...)
}

func (t *tx) putExtents(ino model.Ino, list []model.Extent) error {
	if len(list) == 0 {
		return nil
	}
	a, b := list[0].Off, list[0].Off
	for _, e := range list {
		if e.Off != b || e.Len <= 0 || e.Skip < 0 || e.Off > 1<<62-e.Len || e.Off < 0 || (!e.IsHole() && e.Len > MaxExtent) {
			return fmt.Errorf("index: extent of %d bytes at %d behind %d", e.Len, e.Off, b)
		}
		b += e.Len
	}
	x := t.extents(ino)
	if err := x.clear(t.x, a, b); err != nil {
		return err
	}
	for _, e := range list {
		if e.IsHole() {
			continue
		}
		no, err := t.chunkNumber(e.Chunk)
		if err != nil {
			return fmt.Errorf("inode %d at %d: %w", ino, e.Off, err)
		}
		x.set(extent{off: e.Off, len: e.Len, chunk: no, skip: e.Skip})
	}
	return nil
}

func (t *tx) finishExtents(e *extentTx) {
	if len(e.changed) == 0 {
		return
	}
	for _, c := range e.changed {
		t.lb.Put(kExtent(e.ino, c.off, t.rev), appendExtent(nil, c))
	}
	t.keys = append(t.keys, Key{Kind: KeyExtents, Ino: e.ino, Off: e.changed[0].off, End: e.changed[len(e.changed)-1].off})
}

// forgetInode deletes all that begins with the inode's number.
func (t *tx) forgetInode(ino model.Ino) error {
	in, err := t.inode(ino)
	if err != nil {
		return err
	}
	in.put, in.forget, in.moved = nil, true, false
	for _, p := range []byte{pInode, pXattr, pExtent} {
		it := t.x.iter(inoPrefix(p, ino))
		for it.Next() {
			t.lb.Delete(it.Key())
			if p == pInode {
				t.lb.Delete(kStaged(revOf(it.Key()), ino))
			}
		}
		if err := t.x.end(it); err != nil {
			return err
		}
	}
	return nil
}
