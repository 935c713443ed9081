package engine

import (
	"errors"
	"fmt"

	"github.com/cloudcoin/cloudcoin/sync/index"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// Unpublished tells whether a content of the inode is stored at providers while no head that is on enough leases says where: it must stay on this
// machine too, since after a recovery elsewhere nobody else would know of its packs. It is said before Contents.Stored is called, and taken back when the
// change is out of the outbox. It never waits.
func (e *Engine) Unpublished(ino model.Ino) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, ok := e.unpublished[ino]
	return ok
}

// UnpublishedInos lists the inodes of which Unpublished is true.
func (e *Engine) UnpublishedInos() []model.Ino {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := make([]model.Ino, 0, len(e.unpublished))
	for ino := range e.unpublished {
		out = append(out, ino)
	}
	return out
}

// keepLocal notes that a content is stored and unpublished up to a revision.
func (e *Engine) keepLocal(ino model.Ino, rev model.Rev) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.unpublished[ino] = max(e.unpublished[ino], rev)
}

// loadUnpublished finds what a run before has stored and not published.
func (e *Engine) loadUnpublished() error {
	var inner error
	err := e.cfg.Index.Outbox(0, func(g index.Group) bool {
		for i := range g.Keys {
			if g.Keys[i].Kind != index.KeyInode {
				continue
			}
			n, err := e.cfg.Index.At(g.Rev).Inode(g.Keys[i].Ino)
			if err == nil && n.Rev == g.Rev && n.Content.Kind == model.ContentStored && n.IsRegular() {
				e.unpublished[n.Ino] = g.Rev
			} else if err != nil && !errors.Is(err, index.ErrNotFound) {
				inner = err
				return false
			}
		}
		return true
	})
	if err = errors.Join(err, inner); err != nil {
		return fmt.Errorf("look for what is stored and not published: %w", err)
	}
	return nil
}

// releasePublished forgets the contents that are out of the outbox, up to the revision at which they were stored.
func (e *Engine) releasePublished() error {
	e.mu.Lock()
	kept := make(map[model.Ino]model.Rev, len(e.unpublished))
	last := model.Rev(0)
	for ino, rev := range e.unpublished {
		kept[ino] = rev
		last = max(last, rev)
	}
	e.mu.Unlock()
	if len(kept) == 0 {
		return nil
	}
	waits := map[model.Ino]bool{}
	err := e.cfg.Index.Outbox(0, func(g index.Group) bool {
		for i := range g.Keys {
			k := &g.Keys[i]
			if (k.Kind == index.KeyInode || k.Kind == index.KeyExtents) && g.Rev <= kept[k.Ino] {
				waits[k.Ino] = true
			}
		}
		return g.Rev < last
	})
	if err != nil {
		return fmt.Errorf("look for what isn't published: %w", err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for ino, rev := range kept {
		if !waits[ino] && e.unpublished[ino] == rev { // not stored anew meanwhile
			delete(e.unpublished, ino)
		}
	}
	return nil
}
