package index

import (
	"errors"
	"fmt"
	"strings"

	"github.com/syndtr/goleveldb/leveldb"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

// Batch is a set of changes that happen at once. It belongs to one goroutine; nothing is visible before Commit, and it can be used
// once. A wrong argument makes Commit fail.
type Batch struct {
	x         *Index
	ops       []func(*tx) error
	local     bool
	published []model.Rev
	done      bool
}

// Begin starts a batch.
func (x *Index) Begin() *Batch { return &Batch{x: x} }

func (b *Batch) do(op func(*tx) error) { b.ops = append(b.ops, op) }

// Local keeps the batch out of the outbox: it says nothing that others have to learn.
func (b *Batch) Local() { b.local = true }

// PutInode makes n the newest revision of its inode. n.Rev and n.Content.Settled are ignored: a new revision isn't settled.
func (b *Batch) PutInode(n *model.Inode) {
	c := *n
	b.do(func(t *tx) error {
		if c.Ino == 0 || c.Size < 0 || len(c.Name) > maxName || len(c.Symlink) > maxSymlink {
			return fmt.Errorf("index: inode %d of %d bytes is not valid", c.Ino, c.Size)
		}
		in, err := t.inode(c.Ino)
		if err != nil {
			return err
		}
		c.Rev, c.Content.Settled = t.rev, false
		in.put, in.forget = &c, false
		return nil
	})
}

const (
	maxName    = 255
	maxSymlink = 4096
	maxXattr   = 64 << 10
)

// checkName accepts what a folder can hold.
func checkName(name string, slash bool) error {
	if name == "" || len(name) > maxName || strings.IndexByte(name, 0) >= 0 || (!slash && strings.IndexByte(name, '/') >= 0) {
		return fmt.Errorf("%w: %q", ErrBadName, name)
	}
	return nil
}

// PutDirent gives child a name in parent, in the place of what had it before. typ is the child's S_IFMT bits.
func (b *Batch) PutDirent(parent model.Ino, name string, child model.Ino, typ uint32) {
	b.dirent(model.Dirent{Parent: parent, Name: name, Ino: child, Type: typ & model.TypeMask})
}

// RemoveDirent takes a name away. A name that isn't there changes nothing.
func (b *Batch) RemoveDirent(parent model.Ino, name string) {
	b.dirent(model.Dirent{Parent: parent, Name: name})
}

func (b *Batch) dirent(d model.Dirent) {
	b.do(func(t *tx) error {
		if err := checkName(d.Name, false); err != nil {
			return err
		}
		e, err := t.dirent(d.Parent, d.Name)
		if err != nil {
			return err
		}
		d := d
		d.Rev, d.Cookie = t.rev, e.old.Cookie
		e.put = &d
		return nil
	})
}

// SetXattr sets an extended attribute, at most 64 KiB.
func (b *Batch) SetXattr(ino model.Ino, name string, value []byte) {
	b.xattr(model.Xattr{Ino: ino, Name: name, Value: append([]byte{}, value...)})
}

// RemoveXattr takes an extended attribute away.
func (b *Batch) RemoveXattr(ino model.Ino, name string) {
	b.xattr(model.Xattr{Ino: ino, Name: name, Removed: true})
}

func (b *Batch) xattr(a model.Xattr) {
	b.do(func(t *tx) error {
		if err := checkName(a.Name, true); err != nil {
			return err
		}
		if len(a.Value) > maxXattr {
			return fmt.Errorf("index: attribute %q of %d bytes", a.Name, len(a.Value))
		}
		return t.putXattr(a)
	})
}

// SetContent changes where the bytes of an inode are, of the revision rev in place (it stays in the outbox if it is there), or with rev
// 0 by a new revision. What was settled stays settled. A revision that isn't there, for it was folded away, is left alone.
func (b *Batch) SetContent(ino model.Ino, rev model.Rev, c model.Content) {
	b.do(func(t *tx) error { return t.setContent(ino, rev, c) })
}

// Settle keeps the newest revision of an inode from being folded away.
func (b *Batch) Settle(ino model.Ino) {
	b.do(func(t *tx) error {
		in, err := t.inode(ino)
		switch {
		case err != nil:
			return err
		case in.put != nil:
			in.put.Content.Settled = true
			return nil
		case in.old.Ino == 0:
			return fmt.Errorf("settle inode %d: %w", ino, ErrNotFound)
		}
		c := in.old.Content
		c.Settled = true
		return t.setContent(ino, in.old.Rev, c)
	})
}

// PutExtents says where the bytes from the first extent's offset to the last one's end are. The extents follow each other without gaps; holes are
// among them as such. Chunks must be in the catalogue, or put by this batch.
func (b *Batch) PutExtents(ino model.Ino, list []model.Extent) {
	list = append([]model.Extent(nil), list...)
	b.do(func(t *tx) error { return t.putExtents(ino, list) })
}

// TruncateExtents makes everything from size on a hole.
func (b *Batch) TruncateExtents(ino model.Ino, size int64) {
	b.do(func(t *tx) error {
		if size < 0 {
			return fmt.Errorf("index: truncate extents to %d", size)
		}
		return t.extents(ino).clear(t.x, size, 1<<62)
	})
}

// ForgetInode removes an inode with everything that hangs on its number (not its names), as if it had never been. It is for inodes that nobody
// else learned of.
func (b *Batch) ForgetInode(ino model.Ino) {
	b.do(func(t *tx) error { return t.forgetInode(ino) })
}

// PutMeta sets a value of the caller's. Keys that begin with a dot are the index's own.
func (b *Batch) PutMeta(key string, val []byte) {
	val = append([]byte{}, val...)
	b.do(func(t *tx) error { t.lb.Put(kMeta(key), val); return nil })
}

// Published takes groups out of the outbox.
func (b *Batch) Published(revs ...model.Rev) { b.published = append(b.published, revs...) }

// Commit makes the changes happen, in the order in which they were asked for, and returns their revision. They are visible on return, and
// survive a killed process; Sync makes them survive a power cut. On an error nothing happened.
func (b *Batch) Commit() (model.Rev, error) {
	if b.done {
		return 0, errors.New("index: a batch was committed twice")
	}
	b.done = true
	x := b.x
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case x.failed != nil:
		return 0, x.failed
	case !x.ready:
		return 0, errNotReady
	}
	t := &tx{x: x, local: b.local, next: x.state}
	t.rev = max(model.RevAt(x.opt.Clock()), x.state.rev+1)
	if t.rev > model.MaxRev-1 {
		return 0, errors.New("index: the clock is beyond every revision")
	}
	t.next.rev = t.rev
	for _, r := range b.published {
		if err := t.publish(r); err != nil {
			return 0, err
		}
	}
	for _, op := range b.ops {
		if err := op(t); err != nil {
			return 0, err
		}
	}
	if err := t.finish(); err != nil {
		return 0, err
	}
	return t.rev, t.commit()
}

// tx is a batch while it is committed. The commit lock is held.
type tx struct {
	x     *Index
	rev   model.Rev
	local bool
	next  state // counters after the batch
	lb    leveldb.Batch

	inodes   []*inodeTx
	dirents  []*direntTx
	exts     []*extentTx
	inoAt    map[model.Ino]*inodeTx
	nameAt   map[direntKey]*direntTx
	chunks   map[model.ChunkID]chunkTx
	lists    map[model.PackID][]uint64
	packs    map[model.PackID]bool
	unqueued map[model.Rev]bool
	keys     []Key
}

// inodeTx is what a batch does to one inode.
type inodeTx struct {
	ino     model.Ino
	old     model.Inode  // newest before the batch, with changes in place; Ino 0: none
	was     model.Inode  // newest before the batch
	put     *model.Inode // new revision
	forget  bool
	applied bool // put came with a record: no folding, no outbox
	moved   bool // old was changed in place
}

func (t *tx) inode(ino model.Ino) (*inodeTx, error) {
	if in := t.inoAt[ino]; in != nil {
		return in, nil
	}
	old, err := t.x.newestInode(ino)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, err
	}
	in := &inodeTx{ino: ino, old: old, was: old}
	if t.inoAt == nil {
		t.inoAt = make(map[model.Ino]*inodeTx, 4)
	}
	t.inoAt[ino] = in
	t.inodes = append(t.inodes, in)
	return in, nil
}

// direntTx is what a batch does to one name.
type direntTx struct {
	old     model.Dirent
	put     *model.Dirent
	applied bool // it came with a record: no folding, no outbox
	gone    bool // its last record is deleted already
}

func (t *tx) dirent(parent model.Ino, name string) (*direntTx, error) {
	key := direntKey{parent, name}
	if e := t.nameAt[key]; e != nil {
		return e, nil
	}
	old, err := t.x.direntAsOf(parent, name, model.MaxRev)
	if err != nil {
		return nil, err
	}
	e := &direntTx{old: old}
	if t.nameAt == nil {
		t.nameAt = make(map[direntKey]*direntTx, 2)
	}
	t.nameAt[key] = e
	t.dirents = append(t.dirents, e)
	return e, nil
}

func (t *tx) extents(ino model.Ino) *extentTx {
	for _, e := range t.exts {
		if e.ino == ino {
			return e
		}
	}
	e := &extentTx{ino: ino}
	t.exts = append(t.exts, e)
	return e
}

// unpublished tells whether the group of a revision is in the outbox, and nobody is publishing it just now.
func (t *tx) unpublished(r model.Rev) (bool, error) {
	if t.x.held(r) {
		return false, nil
	}
	return t.queued(r)
}

// unpublishedInode is unpublished for an inode record. One whose content waits to be stored can't be among what is being published, so it isn't held:
// it would wait for ever, because its content is never made final once a newer record has it.
func (t *tx) unpublishedInode(n *model.Inode) (bool, error) {
	if waits(n) {
		return t.queued(n.Rev)
	}
	return t.unpublished(n.Rev)
}

// waits tells whether the content of a record isn't final and not stored.
func waits(n *model.Inode) bool { return n.Content.Kind == model.ContentStaged && !n.Content.Settled }

func (t *tx) queued(r model.Rev) (bool, error) {
	if r == 0 || t.unqueued[r] || t.next.stats.Outbox == 0 {
		return false, nil
	}
	ok, err := t.x.db.Has(kOutbox(r), nil)
	return ok, t.x.wrap(err)
}

// publish takes a group out of the outbox.
func (t *tx) publish(r model.Rev) error {
	if ok, err := t.queued(r); err != nil || !ok {
		return err
	}
	if t.unqueued == nil {
		t.unqueued = map[model.Rev]bool{}
	}
	t.unqueued[r] = true
	t.next.stats.Outbox--
	t.lb.Delete(kOutbox(r))
	return nil
}
