package chunk

import (
	"io"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

const (
	Min  = 256 << 10 // bytes of the shortest chunk, but for the last of a file
	Mean = 1 << 20   // bytes of a chunk on average, about
	Max  = 4 << 20   // bytes of the longest chunk
)

// ID names a chunk: the BLAKE3-256 hash of its bytes, keyed.
func ID(key [32]byte, data []byte) model.ChunkID { panic("being built") }

// Range is a run of bytes in a file.
type Range struct{ Off, Len int64 }

// Splitter cuts contents into chunks. Safe for concurrent use.
type Splitter struct{}

// NewSplitter makes a splitter whose boundaries depend on key.
func NewSplitter(key [32]byte) (*Splitter, error) { panic("being built") }

// Split cuts r from its present position to its end and calls fn for each chunk; off counts from that position. data is valid during the call only.
func (s *Splitter) Split(r io.Reader, fn func(off int64, data []byte) error) error {
	panic("being built")
}

// Recut cuts only what a change of some ranges makes necessary, and calls fn for each new chunk, in order. What fn was not called for keeps its old chunks.
// old are the sorted offsets at which old chunks (or holes) begin or end and that are still there; dirty are the changed ranges, sorted or not.
func (s *Splitter) Recut(r io.ReaderAt, size int64, old []int64, dirty []Range, fn func(off int64, data []byte) error) error {
	panic("being built")
}
