package stage

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// redoLimit is how many unsynced bytes an fsync puts into the journal rather than sync the layer file.
const redoLimit = 256 << 10

// Sync returns when everything that was written before it is durable. Several at once share the work.
func (f *File) Sync(ctx context.Context) error {
	n := f.n
	n.syncMu.Lock()
	err := n.syncRecords(false)
	n.mu.RLock()
	lsn := n.lsn
	n.mu.RUnlock()
	n.syncMu.Unlock()
	if err != nil {
		return err
	}
	if err := n.s.j.Sync(ctx, lsn); err != nil {
		return fmt.Errorf("sync content of inode %d: %w", n.ino, err)
	}
	n.s.segs.settle()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.freeSlack()
	return nil
}

// Flush is close(2): it notes what was written, so that it survives the death of the process (not of the machine).
func (f *File) Flush() error {
	f.n.mu.Lock()
	defer f.n.mu.Unlock()
	return f.n.note()
}

// note records blocks that no record names yet, and times and path when they are newer than the newest record.
func (n *node) note() error {
	if !n.dirty() || n.detached {
		return nil
	}
	for _, l := range n.layers {
		if l.clean || l.unnoted.empty() {
			continue
		}
		if err := n.recordExtents(l, &l.unnoted, flagUnsynced); err != nil {
			return err
		}
		l.unnoted.clear()
	}
	if n.attrNew {
		if _, err := n.record(kindAttr, n.header(n.top()), n.path != ""); err != nil {
			return err
		}
		n.attrNew = false
	}
	return nil
}

// recordExtents records which blocks of set are in the layer's file.
func (n *node) recordExtents(l *layer, set *blockset, flags uint8) (err error) {
	runs := make([]run, 0, 8)
	h := n.header(l)
	h.flags |= flags
	put := func() bool {
		_, err = n.record(kindExtents, h, n.withPath(), appendRuns(nil, runs))
		runs = runs[:0]
		return err == nil
	}
	l.dataRuns(set, func(a, b int64) bool {
		runs = append(runs, run{a, b - a})
		return len(runs) < maxRuns-1 || put()
	})
	if err == nil {
		put()
	}
	return err
}

// syncRecords brings what is unsynced into the journal: the bytes themselves when they are few (and force is false), else
// the layer files are synced and the journal names their blocks. The records are not durable yet on return. The caller holds syncMu.
func (n *node) syncRecords(force bool) error {
	for try := 0; ; try++ {
		n.mu.Lock()
		if n.detached {
			n.mu.Unlock()
			return n.syncFiles()
		}
		if !force && n.unsyncedBytes() <= redoLimit {
			err := n.recordRedo()
			n.mu.Unlock()
			return err
		}
		jobs, err := n.syncJobs(force)
		if err == nil && try == 3 { // a writer that cuts all the time: make it wait
			err = n.finishSync(jobs, n.cuts, n.s.runJobs(jobs))
			n.mu.Unlock()
			return err
		}
		cuts := n.cuts
		n.mu.Unlock()
		if err != nil {
			return err
		}
		err = n.s.runJobs(jobs)
		n.mu.Lock()
		again := err == nil && cuts != n.cuts
		if again {
			n.undoSync(jobs)
		} else {
			err = n.finishSync(jobs, cuts, err)
		}
		n.mu.Unlock()
		if !again {
			return err
		}
	}
}

func (n *node) unsyncedBytes() (sum int64) {
	for _, l := range n.layers {
		if !l.clean {
			sum += l.unsynced.n * BlockSize
		}
	}
	return sum
}

// recordRedo puts the bytes of unsynced blocks into the journal.
func (n *node) recordRedo() error {
	if err := n.openFiles(); err != nil {
		return err
	}
	for _, l := range n.layers {
		if l.clean || l.unsynced.empty() {
			continue
		}
		if l.syncErr != nil {
			return l.syncErr
		}
		var runs []run
		var buf []byte
		var err error
		l.dataRuns(&l.unsynced, func(a, b int64) bool {
			at := len(buf)
			buf = append(buf, make([]byte, (b-a)*BlockSize)...)
			runs = append(runs, run{a * BlockSize, (b - a) * BlockSize})
			err = l.readFile(buf[at:], a*BlockSize)
			return err == nil
		})
		if err == nil && len(runs) > 0 {
			_, err = n.record(kindWrite, n.header(l), n.withPath(), appendRuns(nil, runs), buf)
		}
		if err != nil {
			return n.s.damaged(n.ino, err)
		}
		l.unsynced.clear()
		l.unnoted.clear()
	}
	return n.note()
}

// syncJob is one layer file to be synced, with the blocks that are durable then.
type syncJob struct {
	l      *layer
	f      *os.File
	sums   *os.File // nil: stay as they are
	blocks blockset
	dir    bool  // the file's folder has to be synced too
	err    error // of the sync of the file
}

// syncJobs takes the unsynced blocks of all layers whose file was written. With sums these are synced too: only what the map says of a layer needs them
// durable, so an fsync doesn't wait for them.
func (n *node) syncJobs(sums bool) ([]*syncJob, error) {
	var jobs []*syncJob
	for _, l := range n.layers {
		if l.inline || !l.needSync && !(sums && l.sums.unsynced) {
			continue
		}
		if l.syncErr != nil && !l.clean {
			n.undoSync(jobs)
			return nil, l.syncErr
		}
		f, err := l.open(false)
		if err != nil {
			n.undoSync(jobs)
			return nil, n.s.damaged(n.ino, err)
		}
		j := &syncJob{l: l, f: f, blocks: l.unsynced, dir: !l.dirSynced}
		if sums {
			j.sums, l.sums.unsynced = l.sums.f, false
		}
		jobs = append(jobs, j)
		l.unsynced, l.needSync = blockset{}, false
	}
	return jobs, nil
}

func (s *Stage) runJobs(jobs []*syncJob) error {
	for _, j := range jobs {
		if err := s.datasync(j.f); err != nil {
			j.err = fmt.Errorf("sync layer: %w", err)
			return j.err
		}
		if j.sums != nil {
			if err := s.datasync(j.sums); err != nil {
				j.err = fmt.Errorf("sync checksums of layer: %w", err)
				return j.err
			}
		}
		if j.dir {
			if err := syncDir(filepath.Dir(j.l.path)); err != nil {
				return err
			}
			if err := syncDir(filepath.Dir(filepath.Dir(j.l.path))); err != nil {
				return err
			}
		}
	}
	return nil
}

// undoSync gives the blocks back that syncJobs took.
func (n *node) undoSync(jobs []*syncJob) {
	for _, j := range jobs {
		j.blocks.runs(0, j.blocks.last()+1, func(a, b int64) bool {
			j.l.present.runs(a, b, func(a, b int64) bool { j.l.unsynced.add(a, b); return true })
			return true
		})
		j.l.hole.runs(0, j.l.hole.last()+1, func(a, b int64) bool { j.l.unsynced.remove(a, b); return true })
		j.l.needSync = true
		j.l.sums.unsynced = j.l.sums.unsynced || j.sums != nil
	}
}

// finishSync records what the synced files hold.
func (n *node) finishSync(jobs []*syncJob, cuts uint64, err error) error {
	for _, j := range jobs {
		if j.err != nil && j.l.syncErr == nil {
			j.l.syncErr = fmt.Errorf("what the disk holds of %s is not known until the content is stored: %w", j.l.path, j.err)
			n.s.log.Error("local content could not be made durable", "inode", uint64(n.ino), "error", j.err)
		}
	}
	if err != nil || cuts != n.cuts {
		n.undoSync(jobs)
		return err
	}
	for _, j := range jobs {
		l := j.l
		l.dirSynced = true
		if !j.blocks.empty() && !l.clean || l.old != nil {
			if err := n.recordExtents(l, &j.blocks, 0); err != nil {
				n.undoSync(jobs)
				return err
			}
		}
		// What was noted while the file was synced is noted again, behind the record that says that all before it is durable.
		l.unnoted.clear()
		l.unsynced.runs(0, l.unsynced.last()+1, func(a, b int64) bool { l.unnoted.add(a, b); return true })
		if l.old != nil {
			n.s.segs.drop(n.lsn, l.old, l.clean)
			l.old = nil
		}
	}
	return n.note()
}

// syncFiles syncs the files of content that isn't recorded any more.
func (n *node) syncFiles() error {
	n.mu.Lock()
	jobs, err := n.syncJobs(false)
	n.mu.Unlock()
	if err != nil {
		return err
	}
	return n.s.runJobs(jobs)
}
