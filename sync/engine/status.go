package engine

import (
	"sort"
	"time"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

// Status is what the engine knows of the drive's safety.
type Status struct {
	PendingFiles, PendingBytes int64 // contents that aren't stored yet; a file with unpublished names counts with 0 bytes
	PendingGroups              int64 // changes that aren't published yet
	StoredFiles, StoredBytes   int64
	Published                  uint64 // highest revision that is published
	Health                     Health
	ReadOnly                   string // why nothing is published any more; "" normally
	Waiting                    string // why uploads wait; "" when they don't
	Warnings                   []Warning
}

// Health counts packs, and segments and checkpoints of the log.
type Health struct {
	Packs  int64 // all
	AtRisk int64 // any of the n shards or copies isn't known good
	Lost   int64 // fewer than k shards, or no copy, is known good
}

// packHealth is how many of a pack's n shards, or a blob's n copies, are known good, and how many are needed.
type packHealth struct{ good, k, n int }

func (h *Health) add(p packHealth) {
	h.Packs++
	if p.good < p.n {
		h.AtRisk++
	}
	if p.good < p.k {
		h.Lost++
	}
}

// Warning is something that a person should know. The same text is kept once.
type Warning struct {
	Text        string
	First, Last time.Time
	Count       int
}

// maxWarnings bounds what is kept; the oldest go first.
const maxWarnings = 100

// Warn notes a warning for Status.
func (e *Engine) Warn(text string) {
	e.cfg.Logger.Warn(text)
	now := e.now()
	e.mu.Lock()
	defer e.mu.Unlock()
	if w := e.warnings[text]; w != nil {
		w.Last, w.Count = now, w.Count+1
		return
	}
	if len(e.warnings) >= maxWarnings {
		oldest := ""
		for t, w := range e.warnings {
			if oldest == "" || w.Last.Before(e.warnings[oldest].Last) {
				oldest = t
			}
		}
		delete(e.warnings, oldest)
	}
	e.warnings[text] = &Warning{Text: text, First: now, Last: now, Count: 1}
}

// Status is cheap; it never waits for the network.
func (e *Engine) Status() Status {
	st := e.cfg.Index.Stats()
	e.mu.Lock()
	defer e.mu.Unlock()
	s := Status{
		PendingFiles: st.StagedFiles, PendingBytes: st.StagedBytes, PendingGroups: st.Outbox,
		StoredFiles: st.Files - st.StagedFiles, StoredBytes: st.Bytes - st.StagedBytes,
		Published: uint64(e.published), ReadOnly: e.readOnly, Waiting: e.waiting,
	}
	if s.PendingFiles == 0 && st.Outbox > 0 {
		s.PendingFiles = 1 // something isn't safe yet, though no content waits
	}
	if s.Waiting == "" {
		s.Waiting = e.publishes
	}
	for _, h := range e.health {
		s.Health.add(h)
	}
	for _, h := range e.blobs {
		s.Health.add(h)
	}
	for _, w := range e.warnings {
		s.Warnings = append(s.Warnings, *w)
	}
	sort.Slice(s.Warnings, func(i, j int) bool { return s.Warnings[i].Last.After(s.Warnings[j].Last) })
	return s
}

func (e *Engine) setWaiting(why string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.waiting = why
}

func (e *Engine) isReadOnly() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.readOnly != ""
}

func (e *Engine) isSyncing() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.syncing > 0
}

// syncedUpTo is the highest revision that a Sync waits for: contents up to it are frozen whether they rest or not.
func (e *Engine) syncedUpTo() model.Rev {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.syncUpTo
}

func (e *Engine) wasChecked() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.checked
}

// notePublishError keeps why publishing waits; nil: it doesn't.
func (e *Engine) notePublishError(err error) {
	why := ""
	if err != nil {
		why = err.Error()
	}
	e.mu.Lock()
	changed := e.publishes != why
	e.publishes = why
	e.mu.Unlock()
	if err != nil && changed {
		e.cfg.Logger.Warn("publishing waits", "err", err)
	}
}
