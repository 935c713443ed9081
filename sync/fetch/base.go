package fetch

import (
	"context"
	"fmt"
	"math"
	"sync"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

const (
	nearby     = 1 << 20   // a read this near to the end of the one before continues it: the kernel asks for several pages at once, out of order
	startAfter = 96 << 10  // bytes read in a row before read-ahead begins
	firstGrain = 256 << 10 // bytes of the first read-ahead; doubles each time
	lastGrain  = 16 << 20
	wholeFrom  = 4 << 20 // from this grain on read-ahead goes to the end of a pack
	farEnd     = 1 << 62 // no content reaches this far: the index takes no extents beyond
)

// Base is the content of an inode as of a revision, with the read-ahead of who reads it. Safe for concurrent use.
type Base struct {
	r   *Reader
	ino model.Ino
	rev model.Rev

	mu     sync.Mutex
	next   int64 // end of the furthest read of this row
	streak int64 // bytes of the row
	ahead  int64 // up to here read-ahead was started
	grain  int64
	busy   bool // somebody starts read-ahead
}

// ReadAt fills all of p; holes, and what lies beyond the content, are zeros. The error wraps EIO unless it is that of ctx.
func (b *Base) ReadAt(ctx context.Context, p []byte, off int64) error {
	if len(p) == 0 {
		return nil
	}
	if b.rev == 0 {
		clear(p)
		return nil
	}
	pieces, err := b.r.pieces(b.ino, b.rev, off, int64(len(p)), p)
	if err != nil {
		return b.failed(ctx, err)
	}
	b.r.start(wants(pieces), false)
	if b.note(off, int64(len(p))) {
		b.readAhead()
	}
	b.r.crowd(b.ino, pieces)
	for i := range pieces {
		if err := b.r.read(ctx, &pieces[i]); err != nil {
			return b.failed(ctx, err)
		}
	}
	return nil
}

func (b *Base) failed(ctx context.Context, err error) error {
	return b.r.failed(ctx, fmt.Sprintf("inode %d", b.ino), err)
}

// note tells whether read-ahead should be looked at, which only one reader does at a time.
func (b *Base) note(off, n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if off < b.next-nearby || off > b.next+nearby || b.streak == 0 && off != 0 {
		b.next, b.streak, b.grain, b.ahead = off+n, n, 0, off+n
		return false
	}
	b.next = max(b.next, off+n)
	b.streak += n
	b.ahead = max(b.ahead, b.next)
	if b.streak <= startAfter || b.busy {
		return false
	}
	b.busy = true
	return true
}

// readAhead starts runs beyond the furthest read until the window is full, the content ends or there is no room.
func (b *Base) readAhead() {
	for {
		b.mu.Lock()
		grain := min(max(b.grain, firstGrain), lastGrain)
		window := min(2*grain, b.r.opt.Memory-lastGrain)
		from := b.ahead
		if from-b.next >= window {
			b.busy = false
			b.mu.Unlock()
			return
		}
		b.mu.Unlock()
		end, ok := b.extend(from, grain)
		b.mu.Lock()
		if ok && b.ahead == from {
			b.ahead, b.grain = end, 2*grain
		}
		if !ok || b.ahead != end {
			b.busy = false
			b.mu.Unlock()
			return
		}
		b.mu.Unlock()
	}
}

// extend starts what lies from byte from on, grain bytes, or to the end of its pack when grains have become long. It tells how far it came; false
// when there is nothing or no room.
func (b *Base) extend(from, grain int64) (end int64, ok bool) {
	look := grain
	if grain >= wholeFrom {
		look = lastGrain + wholeFrom
	}
	pieces, err := b.r.pieces(b.ino, b.rev, from, look, nil)
	if err != nil || len(pieces) == 0 {
		return from, false // the read itself will tell
	}
	if grain >= wholeFrom {
		n := 1
		for n < len(pieces) && pieces[n].chunk.Pack == pieces[0].chunk.Pack {
			n++
		}
		pieces = pieces[:n]
	}
	if !b.r.start(wants(pieces), true) {
		return from, false
	}
	last := &pieces[len(pieces)-1]
	return last.file + last.len(), true
}

// NextData is the first byte at or after off that is not in a hole; math.MaxInt64 when there is none.
func (b *Base) NextData(off int64) (int64, error) {
	data := int64(math.MaxInt64)
	err := b.scan(off, func(from, _ int64) bool {
		data = from
		return false
	})
	return data, err
}

// NextHole is the first byte at or after off that is in a hole; there is one behind all data.
func (b *Base) NextHole(off int64) (int64, error) {
	hole := off
	err := b.scan(off, func(from, to int64) bool {
		if from > hole {
			return false
		}
		hole = to
		return true
	})
	return hole, err
}

// scan calls fn for each run of data from off on.
func (b *Base) scan(off int64, fn func(from, to int64) bool) error {
	if b.rev == 0 {
		return nil
	}
	if off >= farEnd {
		return nil
	}
	err := b.r.cat.extents(b.ino, b.rev, off, farEnd-off, func(e model.Extent) bool {
		if e.IsHole() || e.Off+e.Len <= off {
			return true
		}
		return fn(max(e.Off, off), e.Off+e.Len)
	})
	if err != nil {
		return b.failed(context.Background(), err)
	}
	return nil
}
