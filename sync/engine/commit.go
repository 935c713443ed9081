package engine

import (
	"errors"
	"fmt"

	"github.com/cloudcoin/cloudcoin/sync/index"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// errFatal marks errors after which the engine can't go on: the index is broken.
var errFatal = errors.New("the local index can't be written")

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
	e.mu.Unlock()
	e.packer.use.release(job.packs()...)
	e.wakeUpload.set()
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
func (e *Engine) commitFile(job *fileJob) error {
	defer e.endJob(job)
	err := e.cfg.Files.Content(job.ino, func() error { return e.commitContent(job) })
	if err != nil {
		return fmt.Errorf("record that inode %d is stored: %w: %w", job.ino, errFatal, err)
	}
	e.wakePublish.set()
	return nil
}

// commitContent writes the new extents, lets every revision with this content point to them, and later contents rest on them.
func (e *Engine) commitContent(job *fileJob) error {
	var stored, later []model.Inode
	err := e.cfg.Index.InodeRevs(job.ino, func(n model.Inode) bool {
		switch {
		case n.Content.Kind != model.ContentStaged:
		case n.Content.Version == job.version:
			stored = append(stored, n)
		case n.Content.Version > job.version && n.Content.Rev == job.base:
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
	for _, n := range stored {
		b.SetContent(job.ino, n.Rev, content)
	}
	for _, n := range later {
		c := n.Content
		c.Rev = rev
		b.SetContent(job.ino, n.Rev, c)
	}
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
