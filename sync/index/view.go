package index

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/iterator"
	"github.com/syndtr/goleveldb/leveldb/util"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

// View is the drive as of a revision. It is cheap and safe for concurrent use.
type View struct {
	x   *Index
	rev model.Rev
}

// Now is the drive as it is at the moment of each call.
func (x *Index) Now() *View { return &View{x, model.MaxRev} }

// At is the drive as of rev.
func (x *Index) At(rev model.Rev) *View { return &View{x, min(rev, model.MaxRev)} }

// Rev is the view's revision, MaxRev for Now.
func (v *View) Rev() model.Rev { return v.rev }

func (x *Index) iter(prefix []byte) iterator.Iterator {
	return x.db.NewIterator(&util.Range{Start: prefix, Limit: after(prefix)}, nil)
}

// end releases an iterator and tells how it ended.
func (x *Index) end(it iterator.Iterator) error {
	err := it.Error()
	it.Release()
	return x.wrap(err)
}

// first finds the first key from k on within prefix and shows it to fn.
func (x *Index) first(prefix, k []byte, fn func(key, val []byte) error) error {
	it := x.db.NewIterator(&util.Range{Start: k, Limit: after(prefix)}, nil)
	found := it.First()
	var err error
	if found {
		err = fn(it.Key(), it.Value())
	}
	if e := x.end(it); e != nil {
		return e
	}
	if !found {
		return ErrNotFound
	}
	return err
}

// Inode returns an inode's attributes. ErrNotFound when there was none. When they were folded away, but the inode was there at the view's
// revision, its oldest ones.
func (v *View) Inode(ino model.Ino) (model.Inode, error) {
	if v.rev == model.MaxRev {
		return v.x.newestInode(ino)
	}
	n, err := v.x.inodeAt(ino, v.rev)
	if errors.Is(err, ErrNotFound) {
		return v.x.eldest(ino, v.rev)
	}
	return n, err
}

// eldest is the oldest record that is left of an inode that was there at rev already: what it was then was folded away.
func (x *Index) eldest(ino model.Ino, rev model.Rev) (n model.Inode, err error) {
	it := x.iter(inoPrefix(pInode, ino))
	found := it.Last()
	if found {
		if n, err = parseInode(it.Value(), ino, revOf(it.Key())); err != nil {
			err = x.damaged(fmt.Sprintf("inode %d", ino), err)
		}
	}
	if e := x.end(it); e != nil {
		return n, e
	}
	if err == nil && (!found || n.Nlink == 0 || model.RevAt(time.Unix(0, n.Btime)) > rev) {
		return model.Inode{}, ErrNotFound
	}
	return n, err
}

// newestInode goes through the cache. A cached inode without number stands for one that doesn't exist.
func (x *Index) newestInode(ino model.Ino) (model.Inode, error) {
	n, ticket, ok := x.inodes.get(ino)
	if !ok {
		var err error
		n, err = x.inodeAt(ino, model.MaxRev)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return n, err
		}
		if cacheable(&n) {
			x.inodes.fill(ino, n, ticket)
		}
	}
	if n.Ino == 0 {
		return n, ErrNotFound
	}
	return n, nil
}

// cacheable keeps long link targets out of the cache, so that its memory is bounded.
func cacheable(n *model.Inode) bool { return len(n.Symlink) <= 512 }

func (x *Index) inodeAt(ino model.Ino, rev model.Rev) (n model.Inode, err error) {
	err = x.first(inoPrefix(pInode, ino), kInode(ino, rev), func(k, val []byte) error {
		if n, err = parseInode(val, ino, revOf(k)); err != nil {
			return x.damaged(fmt.Sprintf("inode %d", ino), err)
		}
		return nil
	})
	return n, err
}

// inodeExactly returns the record of one revision.
func (x *Index) inodeExactly(ino model.Ino, rev model.Rev) (model.Inode, error) {
	val, err := x.db.Get(kInode(ino, rev), nil)
	if errors.Is(err, leveldb.ErrNotFound) {
		return model.Inode{}, ErrNotFound
	}
	if err != nil {
		return model.Inode{}, x.wrap(err)
	}
	n, err := parseInode(val, ino, rev)
	if err != nil {
		return n, x.damaged(fmt.Sprintf("inode %d", ino), err)
	}
	return n, nil
}

// Lookup finds a name in a folder. ErrNotFound when it wasn't there.
func (v *View) Lookup(parent model.Ino, name string) (model.Dirent, error) {
	d, err := v.x.direntAsOf(parent, name, v.rev)
	if err == nil && d.Ino == 0 {
		err = ErrNotFound
	}
	return d, err
}

// direntAsOf returns the record of a name, which may say that it was removed (Ino 0, Rev set). With Rev 0 too the name never was.
func (x *Index) direntAsOf(parent model.Ino, name string, rev model.Rev) (model.Dirent, error) {
	if rev != model.MaxRev {
		return x.readDirent(parent, name, rev)
	}
	key := direntKey{parent, name}
	d, ticket, ok := x.dirents.get(key)
	if ok {
		return d, nil
	}
	d, err := x.readDirent(parent, name, rev)
	if err == nil {
		x.dirents.fill(key, d, ticket)
	}
	return d, err
}

func (x *Index) readDirent(parent model.Ino, name string, rev model.Rev) (model.Dirent, error) {
	d := model.Dirent{Parent: parent, Name: name, Cookie: x.cookie(name)}
	prefix := x.direntPrefix(parent, name)
	err := x.first(prefix, appendRev(bytes.Clone(prefix), rev), func(k, val []byte) error {
		d.Rev = revOf(k)
		if err := parseDirent(val, &d); err != nil {
			return x.damaged(fmt.Sprintf("name %q", name), err)
		}
		return nil
	})
	if errors.Is(err, ErrNotFound) {
		err = nil
	}
	return d, err
}

// ReadDir calls fn for the names of a folder whose cookie is above after, in the order of cookies, until fn returns false.
func (v *View) ReadDir(parent model.Ino, after uint64, fn func(model.Dirent) bool) error {
	return v.x.eachName(parent, after, v.rev, func(d model.Dirent) bool { return d.Ino == 0 || fn(d) })
}

// eachName shows the newest record of each name at or before rev, removed ones too.
func (x *Index) eachName(parent model.Ino, cookie uint64, rev model.Rev, fn func(model.Dirent) bool) error {
	prefix := inoPrefix(pDirent, parent)
	if cookie >= 1<<63 {
		return nil
	}
	it := x.db.NewIterator(&util.Range{Start: be.AppendUint64(bytes.Clone(prefix), cookie+1), Limit: after(prefix)}, nil)
	var name []byte // the last name that was shown, as its key without revision
	for it.Next() {
		k := it.Key()
		if len(k) < direntMin+1+revLen {
			return errors.Join(x.damaged("a name's key", errValue), x.end(it))
		}
		r := revOf(k)
		if r > rev || (name != nil && bytes.Equal(name, k[:len(k)-revLen])) {
			continue
		}
		name = append(name[:0], k[:len(k)-revLen]...)
		d := model.Dirent{Parent: parent, Name: string(name[direntMin : len(name)-1]), Cookie: be.Uint64(k[9:]), Rev: r}
		if err := parseDirent(it.Value(), &d); err != nil {
			return errors.Join(x.damaged(fmt.Sprintf("name %q", d.Name), err), x.end(it))
		}
		if !fn(d) {
			break
		}
	}
	return x.end(it)
}

// ReadDirPlus is ReadDir with the attributes of each child. A name whose inode doesn't exist is left out.
func (v *View) ReadDirPlus(parent model.Ino, after uint64, fn func(model.Dirent, model.Inode) bool) error {
	var it iterator.Iterator // over inodes, made when the cache lacks one
	var failed error
	err := v.ReadDir(parent, after, func(d model.Dirent) bool {
		n, ok, err := v.plus(d.Ino, &it)
		if err != nil {
			failed = err
			return false
		}
		return !ok || fn(d, n)
	})
	if it != nil {
		err = errors.Join(err, v.x.end(it))
	}
	return errors.Join(failed, err)
}

// plus finds an inode for a listing: in the cache, else by one iterator for the whole listing.
func (v *View) plus(ino model.Ino, it *iterator.Iterator) (n model.Inode, ok bool, err error) {
	if v.rev == model.MaxRev {
		if n, _, ok = v.x.inodes.get(ino); ok {
			return n, n.Ino != 0, nil
		}
	}
	if *it == nil {
		*it = v.x.iter([]byte{pInode})
	}
	k := kInode(ino, v.rev)
	if !(*it).Seek(k) || !bytes.HasPrefix((*it).Key(), k[:9]) {
		if v.rev == model.MaxRev {
			return n, false, nil
		}
		n, err = v.x.eldest(ino, v.rev)
		return n, err == nil, ignoreNotFound(err)
	}
	if n, err = parseInode((*it).Value(), ino, revOf((*it).Key())); err != nil {
		return n, false, v.x.damaged(fmt.Sprintf("inode %d", ino), err)
	}
	return n, true, nil
}

// IsEmpty tells whether a folder has no names.
func (v *View) IsEmpty(parent model.Ino) (bool, error) {
	empty := true
	err := v.ReadDir(parent, 0, func(model.Dirent) bool { empty = false; return false })
	return empty, err
}

// Xattr returns the value of an extended attribute.
func (v *View) Xattr(ino model.Ino, name string) ([]byte, error) {
	a, _, err := v.x.xattrAsOf(ino, name, v.rev)
	if err == nil && a.Removed {
		err = ErrNotFound
	}
	return a.Value, err
}

// xattrAsOf returns an attribute and the revision that set or removed it.
func (x *Index) xattrAsOf(ino model.Ino, name string, rev model.Rev) (a model.Xattr, at model.Rev, err error) {
	prefix := xattrPrefix(ino, name)
	err = x.first(prefix, appendRev(bytes.Clone(prefix), rev), func(k, val []byte) error {
		at = revOf(k)
		a, err = parseXattr(val, ino, name)
		return err
	})
	return a, at, err
}

func parseXattr(val []byte, ino model.Ino, name string) (model.Xattr, error) {
	a := model.Xattr{Ino: ino, Name: name}
	switch {
	case len(val) == 1 && val[0] == 0:
		a.Removed = true
	case len(val) > 0 && val[0] == 1:
		a.Value = append([]byte{}, val[1:]...)
	default:
		return a, errValue
	}
	return a, nil
}

// Xattrs lists the names of an inode's extended attributes.
func (v *View) Xattrs(ino model.Ino) ([]string, error) {
	var names []string
	it := v.x.iter(inoPrefix(pXattr, ino))
	var last []byte
	for it.Next() {
		k := it.Key()
		name := k[9 : len(k)-revLen-1]
		if revOf(k) > v.rev || (last != nil && bytes.Equal(name, last)) {
			continue
		}
		last = append(last[:0], name...)
		if len(it.Value()) > 0 && it.Value()[0] == 1 {
			names = append(names, string(name))
		}
	}
	return names, v.x.end(it)
}

// Path is the way from the root to an inode by its last known links, for messages: "/a/b". It doesn't follow hard links.
func (v *View) Path(ino model.Ino) (string, error) {
	var names []string
	for depth := 0; ino != model.RootIno; depth++ {
		n, err := v.Inode(ino)
		if err != nil {
			return "", err
		}
		if depth > 4096 || n.Parent == ino || n.Parent == 0 {
			return "", fmt.Errorf("%w: inode %d has no way to the root", ErrNotFound, ino)
		}
		names = append(names, n.Name)
		ino = n.Parent
	}
	var b strings.Builder
	for i := len(names) - 1; i >= 0; i-- {
		b.WriteByte('/')
		b.WriteString(names[i])
	}
	if b.Len() == 0 {
		return "/", nil
	}
	return b.String(), nil
}
