package pack

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"filippo.io/age"

	"github.com/cloudcoin/cloudcoin/crypto/seal"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// MaxK bounds the number of data shards.
const MaxK = 200

// ErrFull is returned by Add when the chunk doesn't fit: finish this pack and begin another.
var ErrFull = errors.New("pack is full")

// buffers holds memory for age files; the slack takes the rounding for up to 32 shards.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, MaxSize+2*32*ShardAlign); return &b }}

// scratch holds memory for parity.
var scratch = sync.Pool{New: func() any { return new([]byte) }}

// Builder fills one pack. One goroutine at a time.
type Builder struct {
	kind    model.PackKind
	entries []Entry
	data    int64
	out     *sink
	w       io.WriteCloser // seals into out; nil when the builder is spent
}

// sink appends what is written to pooled memory.
type sink struct{ buf *[]byte }

func (s *sink) Write(p []byte) (int, error) {
	*s.buf = append(*s.buf, p...)
	return len(p), nil
}

// NewBuilder begins a pack that is sealed to one recipient while it is filled.
func NewBuilder(to *age.X25519Recipient, kind model.PackKind) (*Builder, error) {
	buf := buffers.Get().(*[]byte)
	*buf = (*buf)[:0]
	out := &sink{buf}
	w, err := seal.Seal(out, to)
	if err != nil {
		buffers.Put(buf)
		return nil, fmt.Errorf("begin pack: %w", err)
	}
	return &Builder{kind: kind, out: out, w: w}, nil
}

// Fits tells whether a chunk of n bytes (1 or more) can still be added.
func (b *Builder) Fits(n int) bool {
	return b.w != nil && n > 0 && seal.SealedSize(plainNeed(b.data+int64(n), len(b.entries)+1)) <= MaxSize
}

// Add appends a chunk and returns its offset in the pack's plaintext. ErrFull when it doesn't fit. data isn't kept.
func (b *Builder) Add(id model.ChunkID, data []byte) (off int64, err error) {
	if len(data) == 0 || b.w == nil {
		return 0, fmt.Errorf("add chunk of %d bytes: empty, or the pack is finished", len(data))
	}
	if !b.Fits(len(data)) {
		return 0, fmt.Errorf("add chunk of %d bytes to %d: %w", len(data), b.data, ErrFull)
	}
	if _, err := b.w.Write(data); err != nil {
		return 0, fmt.Errorf("add chunk: %w", err)
	}
	off = b.data
	b.entries = append(b.entries, Entry{ID: id, Off: off, Len: int64(len(data))})
	b.data += int64(len(data))
	return off, nil
}

// Count is the number of chunks in the pack.
func (b *Builder) Count() int { return len(b.entries) }

// DataLen is the number of bytes of chunks in the pack.
func (b *Builder) DataLen() int64 { return b.data }

// zeros is what padding is written from.
var zeros [64 << 10]byte

// Finish pads and seals the pack for k data shards (1 to MaxK). The Builder is spent, also after an error. An empty pack is an error.
func (b *Builder) Finish(k int) (*Sealed, error) {
	if b.w == nil || len(b.entries) == 0 || k < 1 || k > MaxK {
		b.Discard()
		return nil, fmt.Errorf("finish pack of %d chunks for %d shards: empty, finished before, or shards out of bounds", len(b.entries), k)
	}
	need := plainNeed(b.data, len(b.entries))
	plain, shardLen := layout(need, k)
	if err := b.end(plain - need); err != nil {
		b.Discard()
		return nil, fmt.Errorf("finish pack: %w", err)
	}
	buf := b.out.buf
	b.w, b.out = nil, nil
	total := int64(k) * shardLen
	if int64(len(*buf)) != total {
		return nil, fmt.Errorf("finish pack: age file has %d bytes, want %d", len(*buf), total)
	}
	tail, _ := seal.LastBlock(seal.HeaderLen, total)
	return &Sealed{
		Age: *buf, K: k, ShardLen: shardLen, PlainLen: b.data, Kind: b.kind, Entries: b.entries,
		Header: append([]byte(nil), (*buf)[:seal.HeaderLen]...),
		Tail:   append([]byte(nil), (*buf)[tail:]...),
		buf:    buf,
	}, nil
}

// end writes padding, table and footer, and ends the age file.
func (b *Builder) end(padding int64) error {
	for padding > 0 {
		n := min(padding, int64(len(zeros)))
		if _, err := b.w.Write(zeros[:n]); err != nil {
			return err
		}
		padding -= n
	}
	if _, err := b.w.Write(appendTable(nil, b.kind, b.data, b.entries)); err != nil {
		return err
	}
	return b.w.Close()
}

// Discard gives the memory of a builder back that won't be finished. A spent one has none.
func (b *Builder) Discard() {
	if b.out != nil {
		buffers.Put(b.out.buf)
	}
	b.w, b.out = nil, nil
}

// Sealed is a finished pack.
type Sealed struct {
	Age          []byte // the age file, K*ShardLen bytes; gone after Release
	Kind         model.PackKind
	K            int
	ShardLen     int64
	PlainLen     int64   // bytes of chunks, without padding and table
	Header, Tail []byte  // the bytes before the first age block, and the last block; they stay valid after Release
	Entries      []Entry // the chunks, in the order of Add

	buf     *[]byte
	scratch *[]byte
}

// Scratch is n bytes of pooled memory with any content, for parity shards. It is given back by Release; a second call may give the same memory.
func (s *Sealed) Scratch(n int64) []byte {
	if s.scratch == nil {
		s.scratch = scratch.Get().(*[]byte)
	}
	if int64(cap(*s.scratch)) < n {
		*s.scratch = make([]byte, n)
	}
	return (*s.scratch)[:n]
}

// Release gives the memory of Age and Scratch back for reuse; neither may be used afterwards. A second call does nothing.
func (s *Sealed) Release() {
	if s.buf != nil {
		buffers.Put(s.buf)
	}
	if s.scratch != nil {
		scratch.Put(s.scratch)
	}
	s.Age, s.buf, s.scratch = nil, nil, nil
}
