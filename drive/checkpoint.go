package drive

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cloudcoin/cloudcoin/sync/journal"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

const (
	// checkpointBytes is how much journal a start may have to replay: it bounds the time of a start after a kill.
	checkpointBytes = 48 << 20
	// checkpointEvery is how old the oldest record that a start has to replay may get on a quiet drive.
	checkpointEvery = 30 * time.Second
	checkpointPoll  = 2 * time.Second
)

// replay hands a journal record to its owner.
func (d *Drive) replay(r journal.Record) error {
	if r.Kind < 64 {
		return d.index.ReplayRecord(r)
	}
	return d.stage.ReplayRecord(r)
}

// knows tells the stage whether the index knows an inode: contents of others are orphans of a crash.
func (d *Drive) knows(ino model.Ino) bool {
	revs := 0
	err := d.index.InodeRevs(ino, func(model.Inode) bool {
		revs++
		return false
	})
	return err != nil || revs > 0
}

// checkpoints moves the start of the replay forward until ctx ends.
func (d *Drive) checkpoints(ctx context.Context) {
	tick := time.NewTicker(checkpointPoll)
	defer tick.Stop()
	last, at := d.journal.End(), d.opt.Clock()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		end := d.journal.End()
		grown := end - last
		if grown == 0 || grown < checkpointBytes && d.opt.Clock().Sub(at) < checkpointEvery {
			continue
		}
		if err := d.checkpoint(); err != nil {
			d.warn(fmt.Sprintf("local state could not be made durable: %v; free disk space, or look at the disk's health", err))
		}
		last, at = end, d.opt.Clock()
	}
}

// checkpoint makes both indexes of the journal durable, then lets the replay start after them.
func (d *Drive) checkpoint() error {
	if d.journal == nil || d.index == nil || d.stage == nil {
		return nil
	}
	stageAt := d.journal.End() // what the journal says before this position is durable elsewhere when Checkpoint returns
	if err := d.stage.Checkpoint(); err != nil {
		return fmt.Errorf("checkpoint of the stage: %w", err)
	}
	indexAt, err := d.index.Checkpoint()
	if err != nil {
		return fmt.Errorf("checkpoint of the index: %w", err)
	}
	if err := d.journal.Checkpoint(min(stageAt, indexAt)); err != nil {
		return fmt.Errorf("checkpoint of the journal: %w", err)
	}
	return nil
}

// wrap turns what a store found damaged into a *DamageError, which tells the way back.
func (h Home) wrap(what string, err error) error {
	var jd *journal.DamageError
	if errors.As(err, &jd) {
		return &DamageError{Home: h.Dir, File: h.path(what), Err: err}
	}
	return fmt.Errorf("open %s: %w", what, err)
}
