package chunk

import (
	"errors"
	"fmt"
	"io"
	"sync"

	chunkers "github.com/PlakarKorp/go-cdc-chunkers"
	_ "github.com/PlakarKorp/go-cdc-chunkers/chunkers/fastcdc" // registers the algorithm
	"github.com/zeebo/blake3"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

const (
	// Min is the length in bytes of the shortest chunk, but for the last of a file and chunks that Recut fits in.
	Min = 256 << 10
	// Mean is what the length of a chunk is drawn towards; on random bytes they have 1.17 MiB on average.
	Mean = 1 << 20
	// Max is the length of the longest chunk.
	Max = 4 << 20

	algorithm = "fastcdc-v1.0.0"
)

// Range is a run of bytes in a file.
type Range struct{ Off, Len int64 }

func (r Range) end() int64 { return r.Off + r.Len }

// hashers are kept, since each takes 10 KiB; one is good for the key that it was made with.
var hashers sync.Pool

type hasher struct {
	key    [32]byte
	blake3 *blake3.Hasher
}

// ID names a chunk: the BLAKE3-256 hash of its bytes, keyed with the drive's chunk key.
func ID(key [32]byte, data []byte) (id model.ChunkID) {
	h, _ := hashers.Get().(*hasher)
	if h == nil || h.key != key {
		b3, err := blake3.NewKeyed(key[:])
		if err != nil {
			panic("chunk: " + err.Error()) // only for keys of another length
		}
		h = &hasher{key: key, blake3: b3}
	}
	h.blake3.Reset()
	_, _ = h.blake3.Write(data) // never fails
	h.blake3.Sum(id[:0])
	hashers.Put(h)
	return id
}

// Splitter cuts contents into chunks. Safe for concurrent use.
type Splitter struct {
	key []byte
}

// NewSplitter makes a splitter whose boundaries depend on key (the drive's cut key).
func NewSplitter(key [32]byte) (*Splitter, error) {
	s := &Splitter{key: key[:]}
	if _, err := s.chunker(nil, make([]byte, Max)); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Splitter) chunker(r io.Reader, buf []byte) (*chunkers.Chunker, error) {
	c, err := chunkers.NewChunkerBuffer(algorithm, r, &chunkers.ChunkerOpts{MinSize: Min, NormalSize: Mean, MaxSize: Max, Key: s.key}, buf)
	if err != nil {
		return nil, fmt.Errorf("chunker %s: %w", algorithm, err)
	}
	return c, nil
}

// Buffers: most files fit a small one.
var (
	smallBuffers = sync.Pool{New: func() any { b := make([]byte, Min+1); return &b }}
	largeBuffers = sync.Pool{New: func() any { b := make([]byte, 2*Max); return &b }}
)

// Split cuts r from its present position to its end and calls fn for each chunk, in order; off counts from that position. data is valid during the
// call only. It ends with the first error of r or fn. An empty r has no chunk.
func (s *Splitter) Split(r io.Reader, fn func(off int64, data []byte) error) error {
	small := smallBuffers.Get().(*[]byte)
	defer smallBuffers.Put(small)
	n, err := io.ReadFull(r, *small)
	head := (*small)[:n]
	switch {
	case err == io.EOF:
		return nil
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fn(0, head) // up to Min bytes
	case err != nil:
		return err
	}
	large := largeBuffers.Get().(*[]byte)
	defer largeBuffers.Put(large)
	return s.each(&prefixed{head: head, r: r}, *large, func(off int64, data []byte) (bool, error) {
		return true, fn(off, data)
	})
}

// each calls fn for each chunk of r until fn says no more.
func (s *Splitter) each(r io.Reader, buf []byte, fn func(off int64, data []byte) (more bool, err error)) error {
	c, err := s.chunker(r, buf)
	if err != nil {
		return err
	}
	for off := int64(0); ; {
		data, err := c.Next()
		if err != nil && err != io.EOF {
			return err
		}
		if len(data) > 0 {
			more, err := fn(off, data)
			if err != nil || !more {
				return err
			}
			off += int64(len(data))
		}
		if err == io.EOF {
			return nil
		}
	}
}

// prefixed reads head, then r.
type prefixed struct {
	head []byte
	r    io.Reader
}

func (p *prefixed) Read(b []byte) (int, error) {
	if len(p.head) > 0 {
		n := copy(b, p.head)
		p.head = p.head[n:]
		return n, nil
	}
	return p.r.Read(b)
}
