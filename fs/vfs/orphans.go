package vfs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/cloudcoin/cloudcoin/sync/index"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// orphansKey is the meta value of the index that lists the inodes without names that are open: uvarints, ascending. After a crash
// they are cleaned away.
const orphansKey = "vfs/orphans"

// orphans is the list in memory. Its mu comes after every live.mu and before the index's commit lock.
type orphans struct {
	mu  sync.Mutex
	set map[model.Ino]struct{}
}

// orphanChange is a change of the list that goes with a batch. done must be called after the commit, also when commit was.
type orphanChange struct {
	o   *orphans
	ino model.Ino
	add bool
}

// add puts ino on the list together with batch b.
func (o *orphans) add(b *index.Batch, ino model.Ino) orphanChange {
	o.mu.Lock()
	list := o.list()
	if _, ok := o.set[ino]; !ok {
		list = append(list, ino)
	}
	b.PutMeta(orphansKey, encodeInos(list))
	return orphanChange{o: o, ino: ino, add: true}
}

// remove takes l from the list together with batch b, when it is on it.
func (o *orphans) remove(b *index.Batch, l *live) orphanChange {
	if !l.orphan {
		return orphanChange{}
	}
	o.mu.Lock()
	list := slices.DeleteFunc(o.list(), func(i model.Ino) bool { return i == l.ino })
	b.PutMeta(orphansKey, encodeInos(list))
	return orphanChange{o: o, ino: l.ino}
}

func (o *orphans) list() []model.Ino {
	list := make([]model.Ino, 0, len(o.set)+1)
	for ino := range o.set {
		list = append(list, ino)
	}
	return list
}

// commit makes the change in memory: the batch was committed.
func (c *orphanChange) commit() {
	switch {
	case c.o == nil:
	case c.add:
		if c.o.set == nil {
			c.o.set = map[model.Ino]struct{}{}
		}
		c.o.set[c.ino] = struct{}{}
	default:
		delete(c.o.set, c.ino)
	}
}

func (c *orphanChange) done() {
	if c.o != nil {
		c.o.mu.Unlock()
		c.o = nil
	}
}

func encodeInos(list []model.Ino) []byte {
	slices.Sort(list)
	var b []byte
	for _, ino := range list {
		b = binary.AppendUvarint(b, uint64(ino))
	}
	return b
}

func decodeInos(b []byte) ([]model.Ino, error) {
	var list []model.Ino
	for len(b) > 0 {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, errors.New("list of open files without names is damaged")
		}
		list = append(list, model.Ino(v))
		b = b[n:]
	}
	return list, nil
}

// cleanOrphans forgets the files that were deleted while open when the program ended.
func (fs *FS) cleanOrphans() error {
	val, err := fs.x.Meta(orphansKey)
	if errors.Is(err, index.ErrNotFound) || err == nil && len(val) == 0 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the list of open files without names: %w", err)
	}
	list, err := decodeInos(val)
	if err != nil {
		return err
	}
	for _, ino := range list {
		if err := fs.cleanOrphan(ino); err != nil {
			return fmt.Errorf("clean away inode %d: %w", ino, err)
		}
	}
	b := fs.x.Begin()
	b.Local()
	b.PutMeta(orphansKey, nil)
	_, err = b.Commit()
	return err
}

func (fs *FS) cleanOrphan(ino model.Ino) error {
	rec, err := fs.x.Now().Inode(ino)
	if errors.Is(err, index.ErrNotFound) {
		return fs.st.Drop(ino)
	}
	if err != nil || rec.Nlink > 0 {
		return err
	}
	if fs.forgettable(&rec) {
		b := fs.x.Begin()
		b.ForgetInode(ino)
		if _, err := b.Commit(); err != nil {
			return err
		}
	}
	fs.dropContent(ino)
	return nil
}

// forgetOrphan ends an inode without names whose last handle was closed. Holds l.mu.
func (fs *FS) forgetOrphan(l *live) {
	rec, errno := fs.record(l.ino)
	if errno != 0 {
		return
	}
	b := fs.x.Begin()
	unlist := fs.orphans.remove(b, l)
	defer unlist.done()
	if fs.forgettable(&rec) {
		b.ForgetInode(l.ino)
	} else {
		b.Local()
	}
	if errno := fs.commit(b); errno != 0 {
		return // it stays on the list: cleaned away at the next start
	}
	unlist.commit()
	l.orphan, l.ahead = false, false
	fs.dropContent(l.ino)
}

// dropContent gives the local content of an inode without names back, unless a settled version of it waits to be uploaded.
func (fs *FS) dropContent(ino model.Ino) {
	waiting := false
	err := fs.x.InodeRevs(ino, func(rec model.Inode) bool {
		waiting = rec.Content.Kind == model.ContentStaged
		return !waiting
	})
	if err == nil && !waiting {
		err = fs.st.Drop(ino)
	}
	if err != nil {
		fs.log.Error("drop the content of a deleted file", "ino", ino, "err", err)
	}
}
