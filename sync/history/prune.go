package history

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/cloudcoin/cloudcoin/sync/index"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// Pruned says what Prune removed, or would remove.
type Pruned struct {
	Revisions int64 // of names and inodes
	Chunks    int64 // that nothing names any more
	Bytes     int64 // of these chunks
}

// Prune removes the revisions that the policy doesn't keep; with dryRun it only counts them. What is current, not stored or not published stays.
// The chunks that it counts are deleted from the providers by the engine afterwards. It can be stopped at any time.
func Prune(ctx context.Context, x *index.Index, p Policy, now time.Time, dryRun bool) (Pruned, error) {
	keep := func(rev, next model.Rev) bool { return p.Keeps(rev, next, now) }
	e := estimate{ctx: ctx, keep: keep, now: model.RevAt(now), cut: map[model.Ino][]model.Rev{}, kept: map[uint64]struct{}{}, lost: map[uint64]int64{}}
	if err := e.run(x); err != nil {
		return Pruned{}, fmt.Errorf("look for revisions to prune: %w", err)
	}
	done, err := x.Prune(ctx, keep, dryRun)
	out := Pruned{Revisions: done.Inodes + done.Dirents}
	for h, n := range e.lost {
		if _, ok := e.kept[h]; !ok {
			out.Chunks++
			out.Bytes += n
		}
	}
	if err != nil {
		return out, fmt.Errorf("prune: %w", err)
	}
	return out, nil
}

// estimate finds the chunks that only revisions name which will go. It remembers a few words for each inode that loses a revision and for
// each chunk that such an inode names.
type estimate struct {
	ctx  context.Context
	keep index.Retention
	now  model.Rev

	revs []model.Inode             // of the inode that is being read, newest first
	cut  map[model.Ino][]model.Rev // inodes that lose revisions: at which their extents are still read, sorted
	lost map[uint64]int64          // chunks, by the first bytes of their ids, that something names which goes: their length
	kept map[uint64]struct{}       // chunks that something names which stays
	last struct {
		ino model.Ino
		off int64
		rev model.Rev
	}
}

// run reads the published records twice: what loses revisions, then the chunks that are concerned.
func (e *estimate) run(x *index.Index) error {
	err := x.Dump(func(r model.Record) error {
		if r.Inode != nil {
			if len(e.revs) > 0 && e.revs[0].Ino != r.Inode.Ino {
				e.judge()
			}
			e.revs = append(e.revs, *r.Inode)
		}
		return e.ctx.Err()
	})
	e.judge()
	if err != nil || len(e.cut) == 0 {
		return err
	}
	lengths := map[uint64]int64{}
	return x.Dump(func(r model.Record) error {
		switch {
		case r.Pack != nil:
			for _, c := range r.Pack.Chunks {
				lengths[short(c.ID)] = c.Len
			}
		case r.Extents != nil:
			e.extents(&r, lengths)
		}
		return e.ctx.Err()
	})
}

// judge decides about the revisions of one inode, as index.Prune does.
func (e *estimate) judge() {
	revs := e.revs
	e.revs = e.revs[:0]
	if len(revs) == 0 {
		return
	}
	bases := []model.Rev{}
	add := func(n *model.Inode) {
		if n.Content.Kind != model.ContentNone {
			bases = append(bases, n.Content.Rev)
		}
	}
	kept := 1
	for i := 1; i < len(revs); i++ {
		if e.keep(revs[i].Rev, revs[i-1].Rev) {
			add(&revs[i])
			kept++
		}
	}
	gone := kept == 1 && revs[0].Nlink == 0 && !e.keep(revs[0].Rev, e.now+1)
	if kept == len(revs) && !gone {
		return
	}
	if !gone {
		add(&revs[0])
	}
	slices.Sort(bases)
	e.cut[revs[0].Ino] = bases
}

// extents sorts the chunks of one record into those that stay named and those that may not.
func (e *estimate) extents(r *model.Record, lengths map[uint64]int64) {
	shown, cut := e.cut[r.Extents.Ino]
	for _, x := range r.Extents.List {
		next := model.MaxRev
		if e.last.ino == r.Extents.Ino && e.last.off == x.Off {
			next = e.last.rev
		}
		e.last.ino, e.last.off, e.last.rev = r.Extents.Ino, x.Off, r.Rev
		if x.IsHole() || x.Len == 0 {
			continue
		}
		h := short(x.Chunk)
		i, _ := slices.BinarySearch(shown, r.Rev)
		if !cut || (i < len(shown) && shown[i] < next) {
			e.kept[h] = struct{}{}
		} else {
			e.lost[h] = lengths[h]
		}
	}
}

func short(id model.ChunkID) uint64 { return binary.LittleEndian.Uint64(id[:]) }
