package pack

import (
	"filippo.io/age"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

const (
	// MaxSize is the length in bytes of the age file of a full pack (a little more when k doesn't divide it evenly).
	MaxSize = 16 << 20
	// ShardAlign is what the length of every shard is a multiple of.
	ShardAlign = 4096
)

// Builder fills one pack. One goroutine at a time.
type Builder struct{}

// NewBuilder begins a pack that is sealed to one recipient while it is filled.
func NewBuilder(to *age.X25519Recipient, kind model.PackKind) (*Builder, error) { panic("being built") }

// Fits tells whether a chunk of n bytes can still be added.
func (b *Builder) Fits(n int) bool { panic("being built") }

// Add appends a chunk and returns its offset in the pack's plaintext. ErrFull when it doesn't fit. data isn't kept.
func (b *Builder) Add(id model.ChunkID, data []byte) (off int64, err error) { panic("being built") }

func (b *Builder) Count() int     { panic("being built") }
func (b *Builder) DataLen() int64 { panic("being built") }

// Finish pads and seals the pack for k data shards. The Builder is spent.
func (b *Builder) Finish(k int) (*Sealed, error) { panic("being built") }

// Discard gives the memory of a builder back that won't be finished.
func (b *Builder) Discard() { panic("being built") }

// Sealed is a finished pack.
type Sealed struct {
	Age          []byte // the age file, K*ShardLen bytes
	K            int
	ShardLen     int64
	PlainLen     int64  // bytes of chunks, without table and padding
	Header, Tail []byte // copies; they stay valid after Release
	Entries      []Entry
}

// Release gives Age back for reuse. It must not be used afterwards.
func (s *Sealed) Release() { panic("being built") }

// Entry is one chunk of a pack.
type Entry struct {
	ID  model.ChunkID
	Off int64 // in the plaintext
	Len int64
}

// ReadTable finds the table at the end of the plaintext (plain may be the whole plaintext or a tail of it that holds the table; total is the plaintext's length).
func ReadTable(plain []byte, total int64) (kind model.PackKind, entries []Entry, err error) {
	panic("being built")
}
