package index

import (
	"errors"
	"fmt"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

// InodeRevs calls fn for the revisions of an inode, newest first, until fn returns false.
func (x *Index) InodeRevs(ino model.Ino, fn func(model.Inode) bool) error {
	it := x.iter(inoPrefix(pInode, ino))
	for it.Next() {
		n, err := parseInode(it.Value(), ino, revOf(it.Key()))
		if err != nil {
			return errors.Join(x.damaged(fmt.Sprintf("inode %d", ino), err), x.end(it))
		}
		if !fn(n) {
			break
		}
	}
	return x.end(it)
}

// DirentRevs calls fn for the revisions of a name, newest first, removals (Ino 0) among them, until fn returns false.
func (x *Index) DirentRevs(parent model.Ino, name string, fn func(model.Dirent) bool) error {
	it := x.iter(x.direntPrefix(parent, name))
	for it.Next() {
		d := model.Dirent{Parent: parent, Name: name, Cookie: be.Uint64(it.Key()[9:]), Rev: revOf(it.Key())}
		if err := parseDirent(it.Value(), &d); err != nil {
			return errors.Join(x.damaged(fmt.Sprintf("name %q", name), err), x.end(it))
		}
		if !fn(d) {
			break
		}
	}
	return x.end(it)
}

// ReadDirAll calls fn for the newest record of every name that a folder ever had, removed ones (Ino 0) among them, until fn returns false.
func (x *Index) ReadDirAll(parent model.Ino, fn func(newest model.Dirent) bool) error {
	return x.eachName(parent, 0, model.MaxRev, fn)
}

// Staged calls fn for the inode revisions whose content is in the stage only, oldest first, until fn returns false.
func (x *Index) Staged(fn func(ino model.Ino, rev model.Rev, version uint64) bool) error {
	it := x.iter([]byte{pStaged})
	for it.Next() {
		k, r := it.Key(), reader{p: it.Value()}
		version := r.uint()
		if len(k) != 17 || r.done() != nil {
			return errors.Join(x.damaged("list of staged contents", errValue), x.end(it))
		}
		if !fn(model.Ino(be.Uint64(k[9:])), model.Rev(be.Uint64(k[1:])), version) {
			break
		}
	}
	return x.end(it)
}
