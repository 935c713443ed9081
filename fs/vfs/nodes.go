package vfs

import (
	"sync"
	"syscall"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

// Nodes of the table begin here.
const (
	firstTableNode NodeID = 1 << 63
	controlNode           = firstTableNode     // .ccdrive
	atNode                = firstTableNode + 1 // .ccdrive/at
	firstFreeNode         = firstTableNode + 16
)

// kind tells what a node stands for.
type kind uint8

const (
	kindLive    kind = iota // an inode as it is now
	kindStale               // an inode whose content was replaced since the kernel got this node
	kindView                // an inode as of a revision
	kindControl             // .ccdrive
	kindAt                  // .ccdrive/at
)

// place is what a node means.
type place struct {
	kind kind
	ino  model.Ino
	rev  model.Rev // kindView
}

// nodeKey finds the node of a view or of a replaced file again, so that the kernel gets the same one while it holds it.
type nodeKey struct {
	ino   model.Ino
	rev   model.Rev // of a view; 0: live
	epoch uint32    // of a live one: how often its content was replaced
}

type tableNode struct {
	key  nodeKey
	refs uint64
}

// nodes is the table of nodes that aren't inode numbers, and of the inodes whose number is not their node any more.
type nodes struct {
	mu       sync.Mutex
	next     NodeID
	byID     map[NodeID]*tableNode
	byKey    map[nodeKey]NodeID
	replaced map[model.Ino]uint32
	old      map[NodeID]*live // open files behind stale nodes
}

func newNodes() *nodes {
	return &nodes{
		next: firstFreeNode, byID: map[NodeID]*tableNode{}, byKey: map[nodeKey]NodeID{},
		replaced: map[model.Ino]uint32{}, old: map[NodeID]*live{},
	}
}

// ref gives the node of an inode as of rev (0: live) and counts a reference.
func (t *nodes) ref(ino model.Ino, rev model.Rev) NodeID {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := nodeKey{ino: ino, rev: rev}
	if rev == 0 {
		if key.epoch = t.replaced[ino]; key.epoch == 0 {
			return NodeID(ino)
		}
	}
	id, ok := t.byKey[key]
	if !ok {
		id = t.next
		t.next++
		t.byKey[key] = id
		t.byID[id] = &tableNode{key: key}
	}
	t.byID[id].refs++
	return id
}

// peek gives the node that the kernel knows for the live inode, without counting; 0 when it can't know one.
func (t *nodes) peek(ino model.Ino) NodeID {
	t.mu.Lock()
	defer t.mu.Unlock()
	epoch := t.replaced[ino]
	if epoch == 0 {
		return NodeID(ino)
	}
	return t.byKey[nodeKey{ino: ino, epoch: epoch}]
}

// current is the node of a live folder, for calls from inside. Folders are never replaced.
func (t *nodes) current(dir model.Ino) NodeID { return NodeID(dir) }

func (t *nodes) forget(id NodeID, n uint64) {
	if id < firstFreeNode {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.byID[id]
	if e == nil {
		return
	}
	if e.refs > n {
		e.refs -= n
		return
	}
	delete(t.byID, id)
	delete(t.byKey, e.key)
}

// replace gives ino another node from now on, and remembers the open state behind the one that the kernel holds.
func (t *nodes) replace(ino model.Ino, l *live) {
	t.mu.Lock()
	defer t.mu.Unlock()
	epoch := t.replaced[ino]
	if l != nil {
		if epoch == 0 {
			t.old[NodeID(ino)] = l
		} else if id, ok := t.byKey[nodeKey{ino: ino, epoch: epoch}]; ok {
			t.old[id] = l
		}
	}
	t.replaced[ino] = epoch + 1
}

// closed drops the open state behind stale nodes.
func (t *nodes) closed(l *live) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, o := range t.old {
		if o == l {
			delete(t.old, id)
		}
	}
}

// stale is the open state behind a stale node; nil when nothing is open there.
func (t *nodes) stale(id NodeID) *live {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.old[id]
}

func (t *nodes) place(id NodeID) (place, syscall.Errno) {
	switch {
	case id == controlNode:
		return place{kind: kindControl}, 0
	case id == atNode:
		return place{kind: kindAt}, 0
	case id == 0:
		return place{}, syscall.ESTALE
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	key := nodeKey{ino: model.Ino(id)}
	if id >= firstTableNode {
		e := t.byID[id]
		if e == nil {
			return place{}, syscall.ESTALE
		}
		if key = e.key; key.rev != 0 {
			return place{kind: kindView, ino: key.ino, rev: key.rev}, 0
		}
	}
	if t.replaced[key.ino] != key.epoch {
		return place{kind: kindStale, ino: key.ino}, 0
	}
	return place{kind: kindLive, ino: key.ino}, 0
}
