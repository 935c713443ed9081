package seal

import (
	"fmt"
	"io"
	"sync"

	"filippo.io/age"
)

// runBlocks bounds how many blocks a reader fetches at once.
const runBlocks = 16

var runs = sync.Pool{New: func() any { b := make([]byte, runBlocks*SealedBlock); return &b }}

// OpenAt returns a reader of the plaintext of an age file of total bytes at any offset. header (the bytes before the first block) and tail (the
// last block; may be nil) are served from memory, so that only the blocks that are touched are read from src, up to 16 of them
// at once. The last block is opened first, which proves total; errors wrap ErrOpen or are src's own. The reader is safe for concurrent use when src is.
func OpenAt(header, tail []byte, total int64, src io.ReaderAt, id age.Identity) (r io.ReaderAt, plainLen int64, err error) {
	o, err := NewOpener(header, total, id)
	if err != nil {
		return nil, 0, err
	}
	ra, err := o.At(tail, src)
	if err != nil {
		return nil, 0, err
	}
	return ra, o.plain, nil
}

// At is OpenAt for an opener that is there already.
func (o *Opener) At(tail []byte, src io.ReaderAt) (io.ReaderAt, error) {
	r := &readerAt{o: o, src: src}
	r.tailOff, _ = LastBlock(o.headerLen, o.total)
	n := o.total - r.tailOff
	if tail == nil {
		tail = make([]byte, n)
		if err := readFull(src, tail, r.tailOff); err != nil {
			return nil, err
		}
	}
	if int64(len(tail)) != n {
		return nil, fmt.Errorf("last age block has %d bytes, want %d: %w", len(tail), n, ErrOpen)
	}
	plain, err := o.open(make([]byte, 0, n), tail, (r.tailOff-int64(o.headerLen))/SealedBlock)
	if err != nil {
		return nil, err
	}
	r.tail = plain
	return r, nil
}

type readerAt struct {
	o       *Opener
	src     io.ReaderAt
	tail    []byte // plaintext of the last block
	tailOff int64  // of the last block in the age file
}

// ReadAt fills p from the plaintext at off; fewer bytes only with an error, io.EOF at the end.
func (r *readerAt) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fmt.Errorf("read at %d: negative offset", off)
	}
	tailStart := r.o.plain - int64(len(r.tail))
	for n < len(p) && off < r.o.plain {
		if off >= tailStart {
			c := copy(p[n:], r.tail[off-tailStart:])
			n, off = n+c, off+int64(c)
			continue
		}
		take := min(int64(len(p)-n), tailStart-off, runBlocks*BlockSize-off%BlockSize)
		if err := r.run(p[n:n+int(take)], off); err != nil {
			return n, err
		}
		n, off = n+int(take), off+take
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// run reads and opens at most runBlocks blocks before the last.
func (r *readerAt) run(dst []byte, off int64) error {
	buf := runs.Get().(*[]byte)
	defer runs.Put(buf)
	coff, clen := r.o.CipherRange(off, int64(len(dst)))
	sealed := (*buf)[:clen]
	if err := readFull(r.src, sealed, coff); err != nil {
		return err
	}
	return r.o.OpenInto(dst, off, sealed)
}

func readFull(src io.ReaderAt, p []byte, off int64) error {
	n, err := src.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read %d sealed bytes at %d: %w", len(p), off, err)
}
