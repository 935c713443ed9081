// Package fetch turns stored content into bytes: extents → chunks → packs → age blocks → byte ranges of shards, which the pool of
// sync/transfer gets from providers. It is what fs/stage asks for bytes that aren't on this disk.
//
// # Nouns
//
// Base is the content of one inode as of one revision (it has the methods of stage.Base). A block is 64 KiB of a pack's plaintext, the
// least that can be opened. A run is a row of blocks of one pack that is fetched by one request and kept in memory until
// others need the room; it is all that is cached here, since the stage keeps on disk what it has read. Who asks for a block that is on its way waits for the same run.
//
// # What is fetched
//
// A cold read fetches the blocks that it touches and nothing else. Who reads on gets read-ahead that doubles up to whole packs, several at
// once from all their providers, within Options.Memory. When several small files of one pack are asked for in a short time, the whole pack is fetched: their
// neighbours are likely next.
//
// # Failure
//
// Every run has a deadline of its own (Options.Deadline); then the read ends with an error that wraps EIO and is reported. A read ends
// earlier when its ctx does; the run is given up when nobody waits for it. Blocks authenticate themselves, and chunks that were
// fetched whole are compared with their ids: a mismatch is damage (ErrDamaged), never data.
//
// Everything is safe for concurrent use. Nothing here survives a crash or needs to.
package fetch

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"syscall"
	"time"

	"filippo.io/age"

	"github.com/cloudcoin/cloudcoin/crypto/seal"
	"github.com/cloudcoin/cloudcoin/sync/chunk"
	"github.com/cloudcoin/cloudcoin/sync/index"
	"github.com/cloudcoin/cloudcoin/sync/model"
	"github.com/cloudcoin/cloudcoin/sync/transfer"
)

// ErrDamaged is returned when opened bytes aren't those of the chunk that they should be.
var ErrDamaged = errors.New("the stored bytes are not those of the file")

// Options of a Reader.
type Options struct {
	Identity age.Identity   // opens the packs
	ChunkKey [32]byte       // keys chunk ids
	Clock    transfer.Clock // nil: the system's
	Logger   *slog.Logger   // nil: silent
	Report   func(string)   // is told of reads that ended with an error, in words for people; nil: nobody

	Memory   int64         // bytes of runs, fetched and on their way; 0: 52 MiB (three packs)
	Deadline time.Duration // of one run; 0: 60 s
	Openers  int           // packs whose headers are kept unwrapped; 0: 256
}

// catalogue is what is asked of the index.
type catalogue interface {
	extents(ino model.Ino, rev model.Rev, off, n int64, fn func(model.Extent) bool) error
	Chunk(id model.ChunkID) (model.Chunk, bool, error)
	Pack(id model.PackID) (model.Pack, error)
}

// ranger is what is asked of the pool.
type ranger interface {
	ReadRange(ctx context.Context, pack *model.Pack, off int64, dst []byte, check func([]byte) error) error
}

type indexCatalogue struct{ *index.Index }

func (x indexCatalogue) extents(ino model.Ino, rev model.Rev, off, n int64, fn func(model.Extent) bool) error {
	return x.At(rev).Extents(ino, off, n, fn)
}

// Reader reads stored content. Close ends what is on its way.
type Reader struct {
	opt     Options
	cat     catalogue
	pool    ranger
	openers *seal.Cache
	cache   *cache
	crowds  crowds

	life context.Context
	end  context.CancelFunc
	wg   sync.WaitGroup
}

// New makes a reader over an index and a pool.
func New(x *index.Index, pool *transfer.Pool, opt Options) *Reader {
	return newReader(indexCatalogue{x}, pool, opt)
}

func newReader(cat catalogue, pool ranger, opt Options) *Reader {
	if opt.Clock == nil {
		opt.Clock = transfer.SystemClock{}
	}
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	if opt.Report == nil {
		opt.Report = func(string) {}
	}
	if opt.Memory <= 0 {
		opt.Memory = 52 << 20
	}
	if opt.Deadline <= 0 {
		opt.Deadline = time.Minute
	}
	if opt.Openers <= 0 {
		opt.Openers = 256
	}
	r := &Reader{opt: opt, cat: cat, pool: pool, openers: seal.NewCache(opt.Identity, opt.Openers), cache: newCache(opt.Memory, opt.Clock.Now)}
	r.life, r.end = context.WithCancel(context.Background())
	return r
}

// Close ends what is on its way and waits for it. Reads that wait for it get an error.
func (r *Reader) Close() error {
	r.end()
	r.wg.Wait()
	return nil
}

// Base is the content of an inode as of a revision (0: no content, all zeros). It is cheap; read-ahead follows each Base by itself.
func (r *Reader) Base(ino model.Ino, rev model.Rev) *Base { return &Base{r: r, ino: ino, rev: rev} }

// ReadChunk fills p from byte off of a chunk; a chunk that is read whole is compared with its id.
func (r *Reader) ReadChunk(ctx context.Context, c model.Chunk, p []byte, off int64) error {
	if off < 0 || off > c.Len-int64(len(p)) {
		return fmt.Errorf("read chunk %s: bytes %d to %d of %d", c.ID, off, off+int64(len(p)), c.Len)
	}
	pc := piece{chunk: c, skip: off, dst: p}
	r.start(wants([]piece{pc}), false)
	if err := r.read(ctx, &pc); err != nil {
		return r.failed(ctx, fmt.Sprintf("chunk %s", c.ID), err)
	}
	return nil
}

// Prefetch begins to fetch a whole pack, for who is going to read most of its chunks. Errors show when they are read.
func (r *Reader) Prefetch(id model.PackID) {
	pack, err := r.cat.Pack(id)
	if err == nil && pack.PlainLen > 0 {
		r.start([]want{{pack: id, last: (pack.PlainLen - 1) / seal.BlockSize}}, true)
	}
}

// failed words and reports an error of a read; ending by ctx is the caller's wish and isn't reported.
func (r *Reader) failed(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	r.opt.Logger.Error("read of stored content", "what", what, "err", err)
	r.opt.Report(fmt.Sprintf("a read of %s ended with an error: %v", what, plainly(err)))
	return fmt.Errorf("read %s: %w: %w", what, syscall.EIO, err)
}

// plainly is the part of an error that tells a person something and doesn't differ from one read to the next.
func plainly(err error) error {
	for _, known := range []error{transfer.ErrLost, transfer.ErrUnreachable, ErrDamaged, transfer.ErrDamaged, errDeadline, index.ErrNotFound} {
		if errors.Is(err, known) {
			return known
		}
	}
	return err
}

var errDeadline = errors.New("providers didn't send the bytes in time")

// opener gives the opened header of a pack. The same pack can be sealed anew, so the header names the opener.
func (r *Reader) opener(p *model.Pack) (*seal.Opener, error) {
	h := sha256.New()
	h.Write(p.Header)
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(p.Size())))
	return r.openers.Opener([16]byte(h.Sum(nil)[:16]), p.Header, p.Size())
}

// checkChunk compares bytes with the id of the chunk that they should be.
func (r *Reader) checkChunk(c *model.Chunk, b []byte) error {
	if chunk.ID(r.opt.ChunkKey, b) != c.ID {
		return fmt.Errorf("chunk %s in pack %s: %w", c.ID, c.Pack, ErrDamaged)
	}
	return nil
}
