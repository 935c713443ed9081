package index

import (
	"errors"
	"fmt"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

// Apply takes over a record of a published log or checkpoint under its own revision. It goes past the outbox and folds nothing. Applying a record
// twice, or revisions of one thing in another order, gives the same; only a pack must not come after the record that dropped it.
func (b *Batch) Apply(r model.Record) {
	b.do(func(t *tx) error {
		if r.Rev == 0 || r.Rev >= model.MaxRev {
			return fmt.Errorf("index: a record of revision %d", r.Rev)
		}
		keys := len(t.keys)
		if err := t.apply(&r); err != nil {
			return fmt.Errorf("apply a record of revision %d: %w", r.Rev, err)
		}
		t.keys = t.keys[:keys]
		t.next.rev = max(t.next.rev, r.Rev)
		return nil
	})
}

func (t *tx) apply(r *model.Record) error {
	switch {
	case r.Inode != nil:
		return t.applyInode(*r.Inode, r.Rev)
	case r.Dirent != nil:
		return t.applyDirent(*r.Dirent, r.Rev)
	case r.Xattr != nil:
		if err := checkName(r.Xattr.Name, true); err != nil {
			return err
		}
		t.lb.Put(appendRev(xattrPrefix(r.Xattr.Ino, r.Xattr.Name), r.Rev), appendXattr(nil, r.Xattr))
		return nil
	case r.Extents != nil:
		return t.applyExtents(r.Extents, r.Rev)
	case r.Pack != nil:
		return t.applyPack(r.Pack, r.Rev)
	case r.DropPack != nil:
		return t.dropPack(*r.DropPack)
	case r.Forget != nil:
		return t.applyForget(r.Forget)
	}
	return errors.New("an empty record")
}

func (t *tx) applyInode(n model.Inode, rev model.Rev) error {
	if n.Ino == 0 || n.Size < 0 || len(n.Name) > maxName || len(n.Symlink) > maxSymlink {
		return fmt.Errorf("inode %d is not valid", n.Ino)
	}
	n.Rev = rev
	in, err := t.inode(n.Ino)
	if err != nil {
		return err
	}
	newest := in.old.Rev
	if in.put != nil {
		newest = in.put.Rev
	}
	switch {
	case rev > newest:
		if in.put != nil {
			t.writeInode(in.put)
		}
		in.put, in.applied, in.forget = &n, true, false
	case in.put != nil && rev == in.put.Rev:
		in.put = &n
	case rev == in.old.Rev:
		if in.old.Content.Kind == model.ContentStaged {
			t.lb.Delete(kStaged(rev, n.Ino))
		}
		in.old, in.moved = n, true
		t.writeInode(&n)
	default:
		t.writeInode(&n)
	}
	return nil
}

func (t *tx) applyDirent(d model.Dirent, rev model.Rev) error {
	if err := checkName(d.Name, false); err != nil {
		return err
	}
	e, err := t.dirent(d.Parent, d.Name)
	if err != nil {
		return err
	}
	d.Rev, d.Cookie = rev, e.old.Cookie
	d.Type &= model.TypeMask
	write := func(d *model.Dirent) {
		t.lb.Put(appendRev(t.x.direntPrefix(d.Parent, d.Name), d.Rev), appendDirent(nil, d))
	}
	newest := e.old.Rev
	if e.put != nil {
		newest = e.put.Rev
	}
	if rev < newest {
		write(&d)
		return nil
	}
	if e.put != nil {
		write(e.put)
	}
	e.put, e.applied = &d, true
	return nil
}

func (t *tx) applyExtents(x *model.Extents, rev model.Rev) error {
	for _, m := range x.List {
		if m.Off < 0 || m.Off > 1<<62 || m.Len < 0 || m.Len > MaxExtent || m.Skip < 0 {
			return fmt.Errorf("extent of %d bytes at %d", m.Len, m.Off)
		}
		e := extent{off: m.Off, len: m.Len, skip: m.Skip}
		if m.Len > 0 && !m.IsHole() {
			c, err := t.chunk(m.Chunk)
			if errors.Is(err, ErrNotFound) { // its pack comes later
				if err = t.putChunk(model.Chunk{ID: m.Chunk}); err == nil {
					c, err = t.chunk(m.Chunk)
				}
			}
			if err != nil {
				return err
			}
			e.chunk = c.no
		}
		t.lb.Put(kExtent(x.Ino, e.off, rev), appendExtent(nil, e))
	}
	return nil
}

func (t *tx) applyPack(p *model.PackRecord, rev model.Rev) error {
	_, was, err := t.x.packAndRev(p.Pack.ID)
	if err == nil && was > rev {
		return nil // known as it was later
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	if err := t.putPack(&p.Pack, rev); err != nil {
		return err
	}
	for _, c := range p.Chunks {
		c.Pack = p.Pack.ID
		if err := t.putChunk(c); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) applyForget(f *model.Forget) error {
	if f.Of == 0 {
		return t.forgetInode(f.Ino)
	}
	in, err := t.inode(f.Ino)
	if err != nil || in.old.Rev == f.Of {
		return err // the newest stays
	}
	t.lb.Delete(kInode(f.Ino, f.Of))
	t.lb.Delete(kStaged(f.Of, f.Ino))
	return nil
}
