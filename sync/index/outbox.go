package index

import (
	"errors"
	"time"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

// KeyKind tells what a Key names.
type KeyKind uint8

// Kinds of keys.
const (
	KeyInode KeyKind = iota + 1
	KeyDirent
	KeyXattr
	KeyExtents
	KeyPack
	KeyDropPack
)

// Key names one record that a group wrote.
type Key struct {
	Kind  KeyKind
	Ino   model.Ino // inode, xattr, extents; the parent of a dirent
	Name  string    // dirent, xattr
	Child model.Ino // dirent: the inode that the name got or lost
	Off   int64     // extents: entries from Off to End, both included, were written
	End   int64
	Pack  model.PackID
}

// Group is one batch that isn't published yet: it becomes visible to others whole or not at all.
type Group struct {
	Rev  model.Rev
	Keys []Key
}

// Time is when the group was made.
func (g Group) Time() time.Time { return g.Rev.Time() }

// Outbox calls fn for the groups behind a revision, oldest first, until fn returns false.
func (x *Index) Outbox(behind model.Rev, fn func(Group) bool) error {
	it := x.iter([]byte{pOutbox})
	for ok := it.Seek(kOutbox(behind + 1)); ok; ok = it.Next() {
		keys, err := parseKeys(it.Value())
		if err != nil || len(it.Key()) != 9 {
			return errors.Join(x.damaged("outbox", errValue), x.end(it))
		}
		if !fn(Group{Rev: model.Rev(be.Uint64(it.Key()[1:])), Keys: keys}) {
			break
		}
	}
	return x.end(it)
}

// Records reads what a group wrote, in the order of its keys, as it is at the group's revision (contents that were set in place
// since included). What was folded away since is absent. Packs, which have no revisions, are as they are now.
func (x *Index) Records(g Group) (out []model.Record, err error) {
	for i := range g.Keys {
		r := model.Record{Rev: g.Rev}
		ok, err := x.record(&g.Keys[i], &r)
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, r)
		}
	}
	return out, nil
}

func (x *Index) record(k *Key, r *model.Record) (ok bool, err error) {
	switch k.Kind {
	case KeyInode:
		n, err := x.inodeExactly(k.Ino, r.Rev)
		r.Inode = &n
		return err == nil, ignoreNotFound(err)
	case KeyDirent:
		d, err := x.readDirent(k.Ino, k.Name, r.Rev)
		r.Dirent = &d
		return d.Rev == r.Rev, err
	case KeyXattr:
		a, at, err := x.xattrAsOf(k.Ino, k.Name, r.Rev)
		r.Xattr = &a
		return err == nil && at == r.Rev, ignoreNotFound(err)
	case KeyExtents:
		list, err := x.extentEntries(k.Ino, r.Rev, k.Off, k.End)
		r.Extents = &model.Extents{Ino: k.Ino, List: list}
		return len(list) > 0, err
	case KeyPack:
		p, err := x.packRecord(k.Pack)
		r.Pack = p
		return err == nil, ignoreNotFound(err)
	case KeyDropPack:
		// A pack of the same id that was put again since wins.
		_, err := x.Pack(k.Pack)
		id := k.Pack
		r.DropPack = &id
		return errors.Is(err, ErrNotFound), ignoreNotFound(err)
	}
	return false, errValue
}

func (x *Index) packRecord(id model.PackID) (*model.PackRecord, error) {
	p, err := x.Pack(id)
	if err != nil {
		return nil, err
	}
	r := &model.PackRecord{Pack: p}
	err = x.PackChunks(id, func(c model.Chunk) bool { r.Chunks = append(r.Chunks, c); return true })
	return r, err
}

func ignoreNotFound(err error) error {
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}
