package engine

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cloudcoin/cloudcoin/sync/index"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// indexOutbox is the outbox of an index up to the revision at which it was made.
type indexOutbox struct {
	x      *index.Index
	upTo   model.Rev
	staged []stagedIno // sorted by inode
}

// stagedIno is the lowest revision of an inode whose content is only staged.
type stagedIno struct {
	ino model.Ino
	rev model.Rev
}

// newIndexOutbox reads what is staged after upTo was fixed: a content that is staged later belongs to a later revision.
func newIndexOutbox(x *index.Index, upTo model.Rev) (*indexOutbox, error) {
	o := &indexOutbox{x: x, upTo: upTo}
	err := x.Staged(func(ino model.Ino, rev model.Rev, _ uint64) bool {
		o.staged = append(o.staged, stagedIno{ino, rev})
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("read what is staged: %w", err)
	}
	slices.SortFunc(o.staged, func(a, b stagedIno) int {
		if a.ino != b.ino {
			return int(min(1, max(-1, int64(a.ino)-int64(b.ino))))
		}
		return int(min(1, max(-1, int64(a.rev)-int64(b.rev))))
	})
	o.staged = slices.CompactFunc(o.staged, func(a, b stagedIno) bool { return a.ino == b.ino })
	return o, nil
}

func (o *indexOutbox) groups(fn func(g index.Group) bool) error {
	return o.x.Outbox(0, func(g index.Group) bool {
		if g.Rev > o.upTo {
			return false
		}
		return fn(g)
	})
}

func (o *indexOutbox) stagedSince(ino model.Ino) model.Rev {
	i, ok := slices.BinarySearchFunc(o.staged, ino, func(s stagedIno, ino model.Ino) int { return int(min(1, max(-1, int64(s.ino)-int64(ino)))) })
	if !ok {
		return model.MaxRev
	}
	return o.staged[i].rev
}

func (o *indexOutbox) inode(ino model.Ino, rev model.Rev) (there bool, next model.Rev, staged bool, err error) {
	err = o.x.InodeRevs(ino, func(n model.Inode) bool {
		if n.Rev <= rev {
			there = n.Rev == rev
			return false
		}
		next, staged = n.Rev, n.Content.Kind == model.ContentStaged
		return true
	})
	if there {
		return true, 0, false, err
	}
	return false, next, staged, err
}

func (o *indexOutbox) dirent(parent model.Ino, name string, rev model.Rev) (there bool, next model.Rev, err error) {
	err = o.x.DirentRevs(parent, name, func(d model.Dirent) bool {
		if d.Rev <= rev {
			there = d.Rev == rev
			return false
		}
		next = d.Rev
		return true
	})
	if there {
		return true, 0, err
	}
	return false, next, err
}

func (o *indexOutbox) gone(ino model.Ino, rev model.Rev) (bool, error) {
	n, err := o.x.At(rev).Inode(ino)
	if errors.Is(err, index.ErrNotFound) {
		return true, nil
	}
	return n.Nlink == 0, err
}
