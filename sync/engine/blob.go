package engine

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sync"

	"filippo.io/age"

	"github.com/cloudcoin/cloudcoin/crypto/merkle"
	"github.com/cloudcoin/cloudcoin/crypto/seal"
	"github.com/cloudcoin/cloudcoin/sync/chunk"
	"github.com/cloudcoin/cloudcoin/sync/model"
	"github.com/cloudcoin/cloudcoin/sync/oplog"
	"github.com/cloudcoin/cloudcoin/sync/pack"
	"github.com/cloudcoin/cloudcoin/sync/transfer"
)

const (
	// maxCopiedPlain is the longest plaintext that is copied to every lease; its sealed and padded copy fits oplog.MaxCopied.
	maxCopiedPlain = 56 << 10
	// maxInline is how many packs a blob names itself; more are named by a list.
	maxInline = 8
	// blobPiece is how much of a blob is added to a pack at once.
	blobPiece = 1 << 20
)

// blobWriter stores what is written to it as a Blob: copies while it is short, packs from then on.
type blobWriter struct {
	e     *Engine
	ctx   context.Context
	kind  model.PackKind
	buf   []byte // up to blobPiece
	b     *pack.Builder
	packs []model.Pack
	hash  interface {
		io.Writer
		Sum(b []byte) []byte
	}
	size int64
}

func (e *Engine) newBlobWriter(ctx context.Context, kind model.PackKind) *blobWriter {
	return &blobWriter{e: e, ctx: ctx, kind: kind, hash: sha256.New()}
}

func (w *blobWriter) Write(p []byte) (int, error) {
	w.hash.Write(p)
	w.size += int64(len(p))
	w.buf = append(w.buf, p...)
	for len(w.buf) >= blobPiece {
		if err := w.add(w.buf[:blobPiece]); err != nil {
			return 0, err
		}
		w.buf = append(w.buf[:0], w.buf[blobPiece:]...)
	}
	return len(p), nil
}

// add appends a piece to the pack that is being filled.
func (w *blobWriter) add(piece []byte) error {
	if w.b != nil && !w.b.Fits(len(piece)) {
		if err := w.flush(); err != nil {
			return err
		}
	}
	if w.b == nil {
		b, err := pack.NewBuilder(w.e.cfg.Keys.Recipient(), w.kind)
		if err != nil {
			return fmt.Errorf("begin a pack of the log: %w", err)
		}
		w.b = b
	}
	if _, err := w.b.Add(chunk.ID(w.e.chunkKey, piece), piece); err != nil {
		return fmt.Errorf("add to a pack of the log: %w", err)
	}
	return nil
}

func (w *blobWriter) flush() error {
	b := w.b
	w.b = nil
	code, err := w.e.coding(w.kind)
	if err != nil {
		b.Discard()
		return err
	}
	s, err := b.Finish(code.K)
	if err != nil {
		return fmt.Errorf("seal a pack of the log: %w", err)
	}
	defer s.Release()
	p, err := w.e.putPack(w.ctx, s, w.kind, nil)
	if err != nil {
		return err
	}
	p.Header, p.Tail = nil, nil // blobs are read whole
	w.packs = append(w.packs, p)
	return nil
}

// discard gives back what is held of a blob that isn't finished, and deletes what was put.
func (w *blobWriter) discard() {
	if w.b != nil {
		w.b.Discard()
		w.b = nil
	}
	for i := range w.packs {
		w.e.abandon(&w.packs[i])
	}
	w.packs = nil
}

// finish makes everything durable.
func (w *blobWriter) finish() (oplog.Blob, error) {
	blob := oplog.Blob{Size: w.size}
	w.hash.Sum(blob.Hash[:0])
	if w.b == nil && len(w.packs) == 0 && len(w.buf) <= maxCopiedPlain {
		copies, err := w.e.putCopies(w.ctx, w.buf, nil)
		blob.Copies = copies
		return blob, err
	}
	if len(w.buf) > 0 {
		if err := w.add(w.buf); err != nil {
			return blob, err
		}
	}
	if err := w.flush(); err != nil {
		return blob, err
	}
	blob.Packs = w.packs
	if len(blob.Packs) <= maxInline {
		return blob, nil
	}
	list, err := oplog.EncodePacks(blob.Packs)
	if err != nil {
		return blob, err
	}
	lw := w.e.newBlobWriter(w.ctx, w.kind)
	if _, err := lw.Write(list); err != nil {
		lw.discard()
		return blob, err
	}
	lb, err := lw.finish()
	if err != nil {
		lw.discard()
		return blob, err
	}
	blob.Packs, blob.List = nil, &lb
	return blob, nil
}

// putCopies puts a copy of a short blob to every live lease but those that have one. Without enough copies it is an error.
func (e *Engine) putCopies(ctx context.Context, plain []byte, have []oplog.Copy) ([]oplog.Copy, error) {
	out := append([]oplog.Copy(nil), have...)
	has := map[model.LeaseID]bool{}
	for _, c := range have {
		has[c.Lease] = true
	}
	w := e.ward()
	var mu sync.Mutex
	var wg sync.WaitGroup
	var last error
	for _, l := range w.all {
		if !w.live[l.ID] || has[l.ID] { // a full lease may have room for this still
			continue
		}
		wg.Go(func() {
			c, err := e.putCopy(ctx, plain, l.ID)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				last = err
				return
			}
			out = append(out, c)
		})
	}
	wg.Wait()
	in := make([]model.LeaseID, len(out))
	for i := range out {
		in[i] = out[i].Lease
	}
	put := out[len(have):]
	if have, need := w.differ(in), e.copiesNeeded(); have < need {
		e.abandonBlob(&oplog.Blob{Copies: put}) // the next try makes others
		return nil, fmt.Errorf("%d of the %d copies that a piece of the log needs: %w", have, need, errors.Join(ErrTooFewProviders, last))
	}
	return out, nil
}

func (e *Engine) putCopy(ctx context.Context, plain []byte, lease model.LeaseID) (oplog.Copy, error) {
	sealed, err := oplog.Seal(plain, e.cfg.Keys.Recipient())
	if err != nil {
		return oplog.Copy{}, err
	}
	c := oplog.Copy{ID: model.ShardID(merkle.Root(sealed)), Lease: lease, Size: int64(len(sealed))}
	return c, e.putShard(ctx, lease, c.ID, sealed, nil)
}

// copiesNeeded is with how many providers a head or short segment must be before it counts: one more than may be lost.
func (e *Engine) copiesNeeded() int { return e.spare() + 1 }

// readBlob writes the plaintext of a blob to w and returns an error unless its hash is the blob's.
func readBlob(ctx context.Context, pool *transfer.Pool, id age.Identity, b *oplog.Blob, w io.Writer) error {
	sum := sha256.New()
	out := io.MultiWriter(w, sum)
	err := readBlobParts(ctx, pool, id, b, out)
	if err != nil {
		return err
	}
	var h oplog.Hash
	sum.Sum(h[:0])
	if h != b.Hash {
		return fmt.Errorf("a piece of the log of %d bytes: %w", b.Size, transfer.ErrDamaged)
	}
	return nil
}

func readBlobParts(ctx context.Context, pool *transfer.Pool, id age.Identity, b *oplog.Blob, w io.Writer) error {
	switch {
	case b.List != nil:
		var list bytes.Buffer
		if err := readBlob(ctx, pool, id, b.List, &list); err != nil {
			return err
		}
		packs, err := oplog.DecodePacks(list.Bytes())
		if err != nil {
			return err
		}
		return readPacks(ctx, pool, id, packs, w)
	case len(b.Packs) > 0:
		return readPacks(ctx, pool, id, b.Packs, w)
	}
	plain, err := readCopy(ctx, pool, id, b)
	if err != nil {
		return err
	}
	_, err = w.Write(plain)
	return err
}

func readPacks(ctx context.Context, pool *transfer.Pool, id age.Identity, packs []model.Pack, w io.Writer) error {
	for i := range packs {
		p := &packs[i]
		age := make([]byte, p.Size())
		if err := pool.ReadRange(ctx, p, 0, age, nil); err != nil {
			return err
		}
		plain, err := seal.Open(bytes.NewReader(age), id)
		if err != nil {
			return fmt.Errorf("open pack %s of the log: %w", p.ID, err)
		}
		if _, err := io.CopyN(w, plain, p.PlainLen); err != nil {
			return fmt.Errorf("open pack %s of the log: %w", p.ID, err)
		}
	}
	return nil
}

// readCopy asks one lease after the other for its copy.
func readCopy(ctx context.Context, pool *transfer.Pool, id age.Identity, b *oplog.Blob) ([]byte, error) {
	var errs []error
	for _, c := range b.Copies {
		plain, err := readOneCopy(ctx, pool, id, b, c)
		if err == nil {
			return plain, nil
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, fmt.Errorf("none of %d copies of a piece of the log can be had: %w", len(b.Copies), errors.Join(errs...))
}

func readOneCopy(ctx context.Context, pool *transfer.Pool, id age.Identity, b *oplog.Blob, c oplog.Copy) ([]byte, error) {
	l, ok := pool.Lease(c.Lease)
	if !ok {
		return nil, fmt.Errorf("lease %s: %w", c.Lease, transfer.ErrNoLease)
	}
	if c.Size > 2*oplog.MaxCopied {
		return nil, fmt.Errorf("copy of %d bytes: %w", c.Size, oplog.ErrFormat)
	}
	sealed := make([]byte, c.Size)
	if err := l.Get(ctx, c.ID, 0, sealed, c.Size, true); err != nil {
		return nil, err
	}
	plain, err := oplog.Open(sealed, id, maxCopiedPlain)
	if err != nil {
		return nil, err
	}
	if oplog.HashOf(plain) != b.Hash {
		return nil, fmt.Errorf("copy %s: %w", c.ID, transfer.ErrDamaged)
	}
	return plain, nil
}
