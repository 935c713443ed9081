package fetch

import (
	"context"
	"fmt"
	"slices"

	"github.com/cloudcoin/cloudcoin/crypto/seal"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// piece is a part of one chunk that is wanted in dst (nil: only fetched).
type piece struct {
	chunk model.Chunk
	file  int64 // its offset in the file
	skip  int64 // bytes of the chunk before it
	n     int64 // length, when dst is nil
	dst   []byte
}

func (p *piece) len() int64 {
	if p.dst != nil {
		return int64(len(p.dst))
	}
	return p.n
}

// from and to are the piece's range in the pack's plaintext.
func (p *piece) from() int64 { return p.chunk.Off + p.skip }
func (p *piece) to() int64   { return p.from() + p.len() }

// want is a row of blocks of one pack, and the chunks that lie in it.
type want struct {
	pack        model.PackID
	first, last int64 // blocks
	chunks      []model.Chunk
}

// wants joins pieces that follow each other in one pack.
func wants(pieces []piece) []want {
	var out []want
	for i := range pieces {
		p := &pieces[i]
		if p.len() == 0 {
			continue
		}
		first, last := p.from()/seal.BlockSize, (p.to()-1)/seal.BlockSize
		if n := len(out); n > 0 && out[n-1].pack == p.chunk.Pack && first <= out[n-1].last+1 && last >= out[n-1].first {
			w := &out[n-1]
			w.first, w.last = min(w.first, first), max(w.last, last)
			if p.chunk.ID != w.chunks[len(w.chunks)-1].ID {
				w.chunks = append(w.chunks, p.chunk)
			}
			continue
		}
		out = append(out, want{pack: p.chunk.Pack, first: first, last: last, chunks: []model.Chunk{p.chunk}})
	}
	return out
}

// pieces looks up what a range of a file consists of. What is a hole is cleared in dst. With a nil dst nothing is cleared, and n bytes are looked at.
func (r *Reader) pieces(ino model.Ino, rev model.Rev, off, n int64, dst []byte) ([]piece, error) {
	var out []piece
	var inner error
	at := off // up to here everything is accounted for
	err := r.cat.extents(ino, rev, off, n, func(e model.Extent) bool {
		from, to := max(e.Off, at), min(e.Off+e.Len, off+n)
		if e.IsHole() || from >= to {
			return true
		}
		c, ok, err := r.cat.Chunk(e.Chunk)
		switch {
		case err != nil:
			inner = fmt.Errorf("chunk %s: %w", e.Chunk, err)
		case !ok:
			inner = fmt.Errorf("chunk %s is not in the catalogue: %w", e.Chunk, ErrDamaged)
		case e.Skip+to-e.Off > c.Len:
			inner = fmt.Errorf("extent at %d goes beyond chunk %s: %w", e.Off, e.Chunk, ErrDamaged)
		}
		if inner != nil {
			return false
		}
		p := piece{chunk: c, file: from, skip: e.Skip + from - e.Off, n: to - from}
		if dst != nil {
			clear(dst[at-off : from-off])
			p.dst = dst[from-off : to-off]
		}
		out = append(out, p)
		at = to
		return true
	})
	if err == nil {
		err = inner
	}
	if err != nil {
		return nil, err
	}
	if dst != nil {
		clear(dst[at-off:])
	}
	return out, nil
}

// read copies a piece out of runs, fetching what isn't there. It holds one run at a time.
func (r *Reader) read(ctx context.Context, p *piece) error {
	checked := false
	for done := int64(0); done < p.len(); {
		at := p.from() + done
		u, err := r.acquire(ctx, p.chunk.Pack, at/seal.BlockSize, (p.to()-1)/seal.BlockSize)
		if err != nil {
			return err
		}
		n, err := u.copy(p.dst[done:], at)
		checked = checked || slices.Contains(u.checked, p.chunk.ID)
		r.cache.release(u, at+int64(n))
		if err != nil {
			return err
		}
		done += int64(n)
	}
	if p.skip == 0 && p.len() == p.chunk.Len && !checked {
		return r.checkChunk(&p.chunk, p.dst)
	}
	return nil
}
