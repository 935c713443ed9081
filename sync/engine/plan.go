package engine

import (
	"errors"
	"fmt"
	"hash/maphash"

	"github.com/cloudcoin/cloudcoin/sync/index"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// outbox is what the plan of a publication is made from. The index implements it; tests do too.
type outbox interface {
	// groups calls fn for each unpublished group in the order of revisions, up to the revision at which the plan was begun.
	groups(fn func(g index.Group) bool) error
	// stagedSince is the lowest revision of ino whose content is only staged; MaxRev when there is none.
	stagedSince(ino model.Ino) model.Rev
	// inode tells whether the inode record of exactly rev is there. If not, next is the revision of the first one after rev
	// (0: none) and staged whether its content is only staged.
	inode(ino model.Ino, rev model.Rev) (there bool, next model.Rev, staged bool, err error)
	// dirent does the same for a name.
	dirent(parent model.Ino, name string, rev model.Rev) (there bool, next model.Rev, err error)
	// gone tells whether the inode has no link as of rev.
	gone(ino model.Ino, rev model.Rev) (bool, error)
}

// chosen says which groups may be published.
type chosen struct {
	out    map[model.Rev]struct{} // groups that stay
	folded map[model.Rev]int      // how many records of a group that goes were folded into later ones
	n      int                    // groups that go
}

func (c *chosen) goes(r model.Rev) bool { _, out := c.out[r]; return !out }

// plan chooses the groups that may be published now: all but those that depend on a content that isn't stored, and those that depend
// on these. docs/drive.md, "Order of publishing", has the rule and its reasons.
//
// A record that was folded into a later group needs that group to go too. Whether it does is only known at the end, so the walk is repeated
// with one more set of groups held back until nothing changes; nearly always the first walk is the last.
func plan(o outbox, upTo model.Rev) (*chosen, error) {
	held := map[model.Rev]bool{}
	for {
		w := walk{o: o, seed: maphash.MakeSeed(), held: held, blocked: map[uint64]struct{}{}, later: map[model.Ino]model.Rev{}}
		w.out, w.folded = map[model.Rev]struct{}{}, map[model.Rev]int{}
		err := o.groups(w.group)
		if err = errors.Join(err, w.err); err != nil {
			return nil, fmt.Errorf("plan a publication: %w", err)
		}
		again := false
		for _, n := range w.needs {
			if n.on > upTo || !w.goes(n.on) {
				held[n.rev] = true
				again = true
			}
		}
		if !again {
			return &w.chosen, nil
		}
	}
}

// walk is one pass over the outbox.
type walk struct {
	chosen
	o       outbox
	seed    maphash.Seed
	held    map[model.Rev]bool      // blocked by an earlier pass
	blocked map[uint64]struct{}     // hashes of blocked keys; two keys with one hash only block more
	later   map[model.Ino]model.Rev // inodes of which a record that goes was folded into that revision
	needs   []need
	err     error
}

// need is a group that goes only if another goes too.
type need struct{ rev, on model.Rev }

func (w *walk) group(g index.Group) bool {
	needs, blocked, err := w.judge(g)
	switch {
	case err != nil:
		w.err = err
		return false
	case blocked:
		w.block(g)
		return true
	}
	w.n++
	w.needs = append(w.needs, needs...)
	return true
}

// judge tells whether a group is blocked, and what it needs otherwise.
func (w *walk) judge(g index.Group) (needs []need, blocked bool, err error) {
	if blocked, err = w.isBlocked(g); blocked || err != nil {
		return nil, blocked, err
	}
	folded := 0
	for _, k := range g.Keys {
		var there, staged bool
		var next model.Rev
		switch {
		case k.Kind == index.KeyInode && !isParent(g, k.Ino):
			there, next, staged, err = w.o.inode(k.Ino, g.Rev)
			if !there && next != 0 {
				w.later[k.Ino] = next
			}
		case k.Kind == index.KeyDirent:
			if on := w.later[k.Child]; on > g.Rev {
				needs = append(needs, need{g.Rev, on})
			}
			there, next, err = w.o.dirent(k.Ino, k.Name, g.Rev)
		default:
			continue
		}
		if err != nil || staged {
			return nil, staged, err
		}
		if !there {
			folded++
		}
		if !there && next != 0 {
			needs = append(needs, need{g.Rev, next})
		}
	}
	if folded > 0 {
		w.folded[g.Rev] = folded
	}
	return needs, false, nil
}

func (w *walk) isBlocked(g index.Group) (bool, error) {
	if w.held[g.Rev] {
		return true, nil
	}
	for _, k := range g.Keys {
		switch k.Kind {
		case index.KeyInode, index.KeyXattr:
			if isParent(g, k.Ino) {
				continue // times and link count of a folder: a later record of it says the same and more
			}
			if w.has(inodeKey(k.Ino)) || w.o.stagedSince(k.Ino) <= g.Rev {
				return true, nil
			}
			if k.Kind == index.KeyInode && w.has(insideKey(k.Ino)) {
				// A name inside this folder waits. The folder may change but not go, or what is published under that name would be out of reach.
				gone, err := w.o.gone(k.Ino, g.Rev)
				if gone || err != nil {
					return gone, err
				}
			}
		case index.KeyDirent:
			if w.has(direntKey(k.Ino, k.Name)) || w.has(inodeKey(k.Ino)) {
				return true, nil
			}
			if k.Child != 0 && (w.has(inodeKey(k.Child)) || w.o.stagedSince(k.Child) <= g.Rev) {
				return true, nil
			}
		}
	}
	return false, nil
}

func (w *walk) block(g index.Group) {
	w.out[g.Rev] = struct{}{}
	for _, k := range g.Keys {
		switch k.Kind {
		case index.KeyInode:
			if !isParent(g, k.Ino) {
				w.add(inodeKey(k.Ino))
			}
		case index.KeyDirent:
			w.add(direntKey(k.Ino, k.Name))
			w.add(insideKey(k.Ino))
			if k.Child != 0 {
				w.add(inodeKey(k.Child))
			}
		}
	}
}

// isParent tells whether the group changes a name in the folder ino.
func isParent(g index.Group, ino model.Ino) bool {
	for _, k := range g.Keys {
		if k.Kind == index.KeyDirent && k.Ino == ino {
			return true
		}
	}
	return false
}

// planKey is what a blocked group blocks.
type planKey struct {
	kind byte // i: inode, d: name, p: there is a blocked name in the folder
	ino  model.Ino
	name string
}

func inodeKey(ino model.Ino) planKey               { return planKey{'i', ino, ""} }
func insideKey(ino model.Ino) planKey              { return planKey{'p', ino, ""} }
func direntKey(ino model.Ino, name string) planKey { return planKey{'d', ino, name} }

func (w *walk) add(k planKey)      { w.blocked[maphash.Comparable(w.seed, k)] = struct{}{} }
func (w *walk) has(k planKey) bool { _, ok := w.blocked[maphash.Comparable(w.seed, k)]; return ok }
