package fetch

import (
	"context"
	"fmt"

	"github.com/cloudcoin/cloudcoin/crypto/seal"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// start begins to fetch what is missing of the wanted rows, as far as there is room; false when there isn't. ahead: the runs go on
// though nobody waits for them.
func (r *Reader) start(rows []want, ahead bool) bool {
	for _, w := range rows {
		for at := w.first; at <= w.last; {
			c := r.cache
			c.mu.Lock()
			end := c.missing(w.pack, at, w.last)
			if end == at { // somebody has it
				c.mu.Unlock()
				at++
				continue
			}
			u := r.begin(w.pack, at, end-1, w.chunks, ahead)
			c.mu.Unlock()
			if u == nil {
				return false
			}
			at = end
		}
	}
	return true
}

// begin reserves a run and starts to fetch it; nil when there is no room. The caller holds cache.mu.
func (r *Reader) begin(pack model.PackID, first, last int64, chunks []model.Chunk, ahead bool) *run {
	u := r.cache.reserve(pack, first, last, (last-first+1)*seal.SealedBlock, ahead)
	if u == nil {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(r.life, r.opt.Deadline, errDeadline)
	u.cancel = cancel
	r.wg.Go(func() {
		defer cancel()
		got, err := r.fetch(ctx, u, chunks)
		if err != nil && context.Cause(ctx) == errDeadline {
			err = fmt.Errorf("%w: %w", errDeadline, err)
		}
		r.finish(u, got, err)
	})
	return u
}

func (r *Reader) finish(u *run, got opened, err error) {
	c := r.cache
	c.mu.Lock()
	u.opened, u.err = got, err
	if err != nil {
		c.forget(u) // the next read tries again
	}
	close(u.done)
	c.mu.Unlock()
	c.release(u, 0)
}

// acquire returns a run that has block first, fetched; the caller releases it. What is missing up to last is fetched with it.
func (r *Reader) acquire(ctx context.Context, pack model.PackID, first, last int64) (*run, error) {
	c := r.cache
	for {
		c.mu.Lock()
		u := c.find(pack, first)
		if u == nil {
			if u = r.begin(pack, first, c.missing(pack, first, last)-1, nil, false); u != nil {
				u.refs++
			}
		}
		if u != nil {
			u.waiters++
			c.mu.Unlock()
			return u, r.wait(ctx, u)
		}
		freed := c.freed
		c.mu.Unlock()
		select {
		case <-freed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-r.life.Done():
			return nil, context.Cause(r.life)
		}
	}
}

// wait waits for a run. On error the run is released.
func (r *Reader) wait(ctx context.Context, u *run) error {
	var err error
	select {
	case <-u.done:
		err = u.err
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	c := r.cache
	c.mu.Lock()
	u.waiters--
	if err != nil && u.waiters == 0 && !u.ahead {
		c.forget(u) // nobody wants it any more
		u.cancel()
	}
	c.mu.Unlock()
	if err != nil {
		c.release(u, 0)
	}
	return err
}

// fetch gets and opens the blocks of a run and compares the whole chunks in it with their ids.
func (r *Reader) fetch(ctx context.Context, u *run, chunks []model.Chunk) (opened, error) {
	pack, err := r.cat.Pack(u.pack)
	if err != nil {
		return opened{}, fmt.Errorf("pack %s: %w", u.pack, err)
	}
	o, err := r.opener(&pack)
	if err != nil {
		return opened{}, fmt.Errorf("open pack %s: %w", u.pack, err)
	}
	off := u.first * seal.BlockSize
	n := min((u.end+1)*seal.BlockSize, o.PlainLen()) - off
	if n <= 0 {
		return opened{}, fmt.Errorf("pack %s ends at %d, asked for %d: %w", u.pack, o.PlainLen(), off, ErrDamaged)
	}
	coff, clen := o.CipherRange(off, n)
	if clen > int64(len(u.buf)) {
		return opened{}, fmt.Errorf("pack %s: %d bytes for blocks %d to %d: %w", u.pack, clen, u.first, u.end, ErrDamaged)
	}
	var got opened
	open := func(b []byte) (err error) {
		got.plain, got.off, err = o.OpenBlocks(b, coff)
		return err
	}
	buf := u.buf[:clen]
	if int64(len(pack.Tail)) == clen && coff+clen == pack.Size() { // the index has the last block
		if copy(buf, pack.Tail); open(buf) == nil {
			return got, r.checkChunks(&got, chunks)
		}
	}
	if err := r.pool.ReadRange(ctx, &pack, coff, buf, open); err != nil {
		return opened{}, err
	}
	return got, r.checkChunks(&got, chunks)
}

// checkChunks compares the chunks that lie wholly in what was opened with their ids.
func (r *Reader) checkChunks(o *opened, chunks []model.Chunk) error {
	for i := range chunks {
		c := &chunks[i]
		from, to := c.Off-o.off, c.Off-o.off+c.Len
		if from < 0 || to > int64(len(o.plain)) {
			continue
		}
		if err := r.checkChunk(c, o.plain[from:to]); err != nil {
			return err
		}
		o.checked = append(o.checked, c.ID)
	}
	return nil
}
