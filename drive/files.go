package drive

import (
	"context"
	"fmt"

	"github.com/cloudcoin/cloudcoin/sync/history"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// all is more than there can be.
const all = 1 << 62

// Evict drops cached copies of everything that is stored.
func (d *Drive) Evict() (Evicted, error) {
	freed, err := d.stage.Evict(all)
	if err == nil && d.stage.Usage().Cached > 0 { // small contents in the journal's running segment
		if err = d.journal.Roll(); err == nil {
			var more int64
			more, err = d.stage.Evict(all)
			freed += more
		}
	}
	if err == nil {
		err = d.checkpoint() // gives the room of the journal's segments back
	}
	if err != nil {
		return Evicted{}, fmt.Errorf("evict: %w", err)
	}
	return Evicted{Freed: freed, Kept: d.stage.Usage().Dirty}, nil
}

// EvictPath drops the cached copies of a file, or of everything under a folder.
func (d *Drive) EvictPath(path string) (Evicted, error) {
	n, err := d.fs.Resolve(path, model.MaxRev)
	if err != nil {
		return Evicted{}, fmt.Errorf("evict %s: %w", path, err)
	}
	var e Evicted
	if err := d.evictTree(&n, &e); err != nil {
		return e, fmt.Errorf("evict %s: %w", path, err)
	}
	return e, nil
}

func (d *Drive) evictTree(n *model.Inode, e *Evicted) error {
	if n.IsRegular() {
		freed, kept, err := d.stage.EvictFile(n.Ino)
		e.Freed += freed
		e.Kept += kept
		return err
	}
	if !n.IsDir() {
		return nil
	}
	view := d.index.Now()
	var inner error
	err := view.ReadDirPlus(n.Ino, 0, func(_ model.Dirent, child model.Inode) bool {
		inner = d.evictTree(&child, e)
		return inner == nil
	})
	if inner != nil {
		return inner
	}
	return err
}

// Prune applies retention rules and gives the space back that nothing names any more.
func (d *Drive) Prune(ctx context.Context, keep string, dryRun bool) (Pruned, error) {
	if keep == "" {
		keep = history.DefaultKeep
	}
	policy, err := history.ParsePolicy(keep)
	if err != nil {
		return Pruned{}, fmt.Errorf("--keep: %w: %w", ErrUsage, err)
	}
	p, err := history.Prune(ctx, d.index, policy, d.opt.Clock(), dryRun)
	if err != nil {
		return Pruned{}, fmt.Errorf("prune: %w", err)
	}
	out := Pruned{Revisions: p.Revisions, Bytes: p.Bytes, DryRun: dryRun}
	if dryRun {
		return out, nil
	}
	if _, err := d.engine.Collect(ctx); err != nil {
		return out, fmt.Errorf("prune: %w", err)
	}
	return out, nil
}
