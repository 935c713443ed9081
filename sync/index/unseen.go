package index

import (
	"errors"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

// Unseen tells whether an inode can be forgotten without a trace: all of it is in the outbox still, and it never rested.
func (x *Index) Unseen(ino model.Ino) (bool, error) {
	n, err := x.newestInode(ino)
	if err != nil {
		return false, err
	}
	if x.held(n.Rev) && !waits(&n) || n.Content.Settled || n.Content.Kind == model.ContentStored {
		return false, nil
	}
	if queued, err := x.db.Has(kOutbox(n.Rev), nil); err != nil || !queued {
		return false, x.wrap(err)
	}
	_, err = x.inodeAt(ino, n.Rev-1)
	if errors.Is(err, ErrNotFound) {
		return true, nil
	}
	return false, err
}
