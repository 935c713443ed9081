package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cloudcoin/cloudcoin/sync/index"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// insistEvery is the wait between tries of what must be written locally.
const insistEvery = 5 * time.Second

// insist does what must not fail once bytes are at the providers: a full local disk is waited for. The error is ctx's.
func (e *Engine) insist(ctx context.Context, what string, fn func() error) error {
	for {
		err := fn()
		if err == nil {
			return nil
		}
		e.Warn(fmt.Sprintf("%s could not be written down on this machine, and is tried again: %v", what, err))
		if err := e.wait(ctx, insistEvery); err != nil {
			return err
		}
	}
}

// startJob notes that a content of the inode is on its way; committing tells so until the job ends.
func (e *Engine) startJob(job *fileJob) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.jobs[job.ino] = job
}

func (e *Engine) endJob(job *fileJob) {
	e.mu.Lock()
	if e.jobs[job.ino] == job {
		delete(e.jobs, job.ino)
	}
	last := len(e.jobs) == 0
	e.mu.Unlock()
	e.packer.use.release(job.packs()...)
	if last { // there may be further revisions of the same inodes; until then the uploader polls
		e.wakeUpload.set()
	}
}

// dropJob gives a job up whose file could not be cut. Packs under way keep their chunks: the next try finds them.
func (e *Engine) dropJob(job *fileJob) {
	e.packer.mu.Lock()
	job.mu.Lock()
	job.settled = true
	for b := range job.waits {
		delete(b.jobs, job)
	}
	job.mu.Unlock()
	e.packer.mu.Unlock()
	e.endJob(job)
}

// committing tells whether a content of the inode is on its way.
func (e *Engine) committing(ino model.Ino) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.jobs[ino] != nil
}

// commitFile records that the version of a job is stored: all its packs are.
func (e *Engine) commitFile(ctx context.Context, job *fileJob) error {
	defer e.endJob(job)
	err := e.insist(ctx, fmt.Sprintf("That %s is stored", e.pathOf(job.ino)), func() error {
		return e.cfg.Files.Content(job.ino, func() error { return e.commitContent(job) })
	})
	e.wakePublish.set()
	return err
}

// commitContent writes the new extents, lets every revision with this content point to them, and later contents rest on them.
func (e *Engine) commitContent(job *fileJob) error {
	var stored, later []model.Inode
	err := e.cfg.Index.InodeRevs(job.ino, func(n model.Inode) bool {
		switch {
		case n.Content.Kind != model.ContentStaged:
		case n.Content.Version == job.version:
			stored = append(stored, n)
		case n.Content.Version > job.version:
			later = append(later, n)
		}
		return true
	})
	if err != nil {
		return err
	}
	if len(stored) == 0 {
		return nil // it was forgotten meanwhile; what was sent is garbage
	}
	b := e.cfg.Index.Begin()
	content := model.Content{Kind: model.ContentNone, Version: job.version}
	rev := model.Rev(0)
	base, err := extentsAt(e.cfg.Index, job.ino, job.base, job.size)
	if err != nil {
		return err
	}
	want := overlay(base, job.changes, job.size)
	runs, err := e.changes(job.ino, want)
	if err != nil {
		return err
	}
	if len(runs) > 0 {
		for _, run := range runs {
			b.PutExtents(job.ino, run)
		}
		if rev, err = b.Commit(); err != nil {
			return err
		}
		b = e.cfg.Index.Begin()
	} else {
		rev = e.cfg.Index.LastRev()
	}
	if len(want) > 0 {
		content = model.Content{Kind: model.ContentStored, Version: job.version, Rev: rev}
	}
	last := rev
	for _, n := range stored {
		last = max(last, n.Rev)
		b.SetContent(job.ino, n.Rev, content)
	}
	for _, n := range later {
		c := n.Content
		c.Rev = rev
		b.SetContent(job.ino, n.Rev, c)
	}
	e.keepLocal(job.ino, last)
	if _, err := b.Commit(); err != nil {
		return err
	}
	return e.cfg.Contents.Stored(job.ino, job.version, rev)
}

// changes lists what must be written over the newest extents of an inode so that they become want.
func (e *Engine) changes(ino model.Ino, want []model.Extent) ([][]model.Extent, error) {
	cur, err := extentsAt(e.cfg.Index, ino, e.cfg.Index.LastRev(), maxSize)
	if err != nil && !errors.Is(err, index.ErrNotFound) {
		return nil, err
	}
	return difference(cur, want), nil
}
