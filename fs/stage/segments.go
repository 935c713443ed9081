package stage

import (
	"sync"
	"time"

	"github.com/cloudcoin/cloudcoin/sync/journal"
)

// share is what a set of pieces needs of one journal segment.
type share struct {
	bytes, dirty int64
	last         int64 // unix time of the newest
}

// segments counts the bytes of small contents in each segment of the journal and keeps those pinned that have any.
type segments struct {
	j     recorder
	clock func() time.Time

	mu     sync.Mutex
	use    map[uint64]*share
	hidden map[uint64]struct{} // being evicted
	late   []lateUnpin
}

// lateUnpin is a segment that no content needs any more once the record at lsn is durable.
type lateUnpin struct {
	lsn journal.LSN
	seg uint64
	sh  share
}

func newSegments(j recorder, clock func() time.Time) *segments {
	return &segments{j: j, clock: clock, use: make(map[uint64]*share), hidden: make(map[uint64]struct{})}
}

// adopt takes over what the map knows of a segment.
func (t *segments) adopt(seg uint64, sh share) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.use[seg] = &sh
	t.j.Pin(seg)
}

func (t *segments) add(seg uint64, sh share) {
	t.mu.Lock()
	defer t.mu.Unlock()
	u := t.use[seg]
	if u == nil {
		u = new(share)
		t.use[seg] = u
		t.j.Pin(seg)
	}
	u.bytes += sh.bytes
	u.dirty += sh.dirty
	u.last = t.clock().Unix()
}

// drop gives the bytes of pieces up when the record at lsn is durable: a crash before that needs them again.
func (t *segments) drop(lsn journal.LSN, pieces []piece, clean bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range pieces {
		if p := &pieces[i]; !p.zero && p.n > 0 {
			sh := share{bytes: p.n}
			if !clean {
				sh.dirty = p.n
			}
			t.late = append(t.late, lateUnpin{lsn, p.ref.Segment, sh})
		}
	}
}

// settle does what drop put off, as far as the journal is durable now.
func (t *segments) settle() {
	durable := t.j.Durable()
	t.mu.Lock()
	defer t.mu.Unlock()
	keep := t.late[:0]
	for _, d := range t.late {
		if d.lsn > durable {
			keep = append(keep, d)
			continue
		}
		if u := t.use[d.seg]; u != nil {
			u.bytes -= d.sh.bytes
			u.dirty -= d.sh.dirty
			if u.bytes <= 0 {
				delete(t.use, d.seg)
				t.j.Unpin(d.seg)
			}
		}
	}
	t.late = keep
}

// stored notes that the pieces are clean now.
func (t *segments) stored(pieces []piece) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range pieces {
		if u := t.use[pieces[i].ref.Segment]; u != nil && !pieces[i].zero {
			u.dirty -= pieces[i].n
		}
	}
}

func (t *segments) has(seg uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, hidden := t.hidden[seg]
	return t.use[seg] != nil && !hidden
}

// hide makes contents that are loaded from now on do without the segment, or shows it to them again.
func (t *segments) hide(seg uint64, yes bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if yes {
		t.hidden[seg] = struct{}{}
	} else {
		delete(t.hidden, seg)
	}
}

// forget lets a segment go whose contents are all clean and tells how many bytes of them were left.
func (t *segments) forget(seg uint64) (left int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if u := t.use[seg]; u != nil {
		left = u.bytes
		delete(t.use, seg)
		t.j.Unpin(seg)
	}
	delete(t.hidden, seg)
	return left
}

func (t *segments) all() map[uint64]share {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := make(map[uint64]share, len(t.use))
	for k, u := range t.use {
		m[k] = *u
	}
	return m
}
