package seal

import (
	"errors"
	"io"

	"filippo.io/age"
)

const (
	BlockSize   = 64 << 10       // plaintext bytes of an age block
	SealedBlock = BlockSize + 16 // bytes of a sealed block
	HeaderLen   = 200            // bytes of a file sealed to one X25519 recipient before its first block
)

// ErrOpen is returned when sealed bytes don't authenticate: they were damaged, cut, or sealed to somebody else.
var ErrOpen = errors.New("sealed data doesn't authenticate")

// ErrTooLong is returned by OpenBytes when the plaintext is longer than its limit.
var ErrTooLong = errors.New("sealed data is longer than allowed")

// Seal returns a writer that seals to dst as one age file; Close ends the file and doesn't close dst.
func Seal(dst io.Writer, to *age.X25519Recipient) (io.WriteCloser, error) { panic("being built") }

// Open returns the plaintext of a whole age file as a stream.
func Open(src io.Reader, id age.Identity) (io.Reader, error) { panic("being built") }

// SealedSize is the length of the age file of plain bytes of plaintext.
func SealedSize(plain int64) int64 { panic("being built") }

// PlainFor is the length of the plaintext whose age file has exactly total bytes; false when no plaintext has.
func PlainFor(total int64) (int64, bool) { panic("being built") }

// CipherRange is the range of an age file of total bytes that must be read to open n bytes of plaintext at off.
func CipherRange(headerLen int, total, off, n int64) (coff, clen int64) { panic("being built") }

// SealBytes seals a small blob. OpenBytes opens it and refuses more than limit bytes of plaintext.
func SealBytes(plain []byte, to *age.X25519Recipient) ([]byte, error)     { panic("being built") }
func OpenBytes(sealed []byte, id age.Identity, limit int) ([]byte, error) { panic("being built") }

// Opener opens ranges of one age file whose header was unwrapped once. Safe for concurrent use.
type Opener struct{}

// NewOpener unwraps the header (the first bytes of the file up to the first block) of an age file of total bytes.
// It costs about 0.1 ms; keep the Opener, or use a Cache.
func NewOpener(header []byte, total int64, id age.Identity) (*Opener, error) { panic("being built") }

func (o *Opener) PlainLen() int64                             { panic("being built") }
func (o *Opener) CipherRange(off, n int64) (coff, clen int64) { panic("being built") }

// OpenBlocks opens sealed in place: a run of whole blocks that starts at byte coff of the age file, as CipherRange gives it.
// It returns the plaintext (a part of sealed's memory) and the plaintext offset of its first byte. ErrOpen when a block doesn't authenticate.
func (o *Opener) OpenBlocks(sealed []byte, coff int64) (plain []byte, off int64, err error) {
	panic("being built")
}

// OpenAt returns a reader of the plaintext at any offset. header and tail (the last block) are served from memory, so only the blocks that are touched are read from src.
func OpenAt(header, tail []byte, total int64, src io.ReaderAt, id age.Identity) (r io.ReaderAt, plainLen int64, err error) {
	panic("being built")
}

// Cache keeps the Openers of the packs that were read last. Safe for concurrent use.
type Cache struct{}

// NewCache keeps up to n openers.
func NewCache(id age.Identity, n int) *Cache { panic("being built") }

// Opener returns the opener for a pack id, making it of header and total when it isn't there.
func (c *Cache) Opener(id [16]byte, header []byte, total int64) (*Opener, error) {
	panic("being built")
}
