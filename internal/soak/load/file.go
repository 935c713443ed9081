//go:build linux

package load

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// file is what the oracle knows of one file: for each block the newest version written, and what was acknowledged durable.
type file struct {
	id      uint64
	written []uint64 // by block
	version uint64   // of the last write
	lengths []int    // in blocks: what it had when the folder was adopted, or 0, and after every change of its length that was begun since
	acked   floor    // of the last acknowledged fsync
	base    floor    // acknowledged when the file took its name by a rename: who sees the name sees at least this
	named   bool     // the name was acknowledged durable
	gone    bool     // unlink was begun
	goneAck bool     // unlink was acknowledged durable
}

// floor is a state below which a file may not fall.
type floor struct {
	durable []uint64 // versions by block
	from    int      // lengths from this one on are possible
}

func newFile(id uint64) *file { return &file{id: id, lengths: []int{0}} }

func (f *file) clone() *file {
	c := *f
	c.written, c.lengths = slices.Clone(f.written), slices.Clone(f.lengths)
	return &c // floors are replaced, never changed
}

// wrote notes a write that was begun; it counts as possible from then on.
func (f *file) wrote(index, n int64) uint64 {
	f.version++
	if end := int(index + n); end > len(f.written) {
		f.written = append(f.written, make([]uint64, end-len(f.written))...)
		f.lengths = append(f.lengths, end)
	}
	for i := index; i < index+n; i++ {
		f.written[i] = f.version
	}
	return f.version
}

// cut notes that a truncation to n blocks was begun.
func (f *file) cut(n int64) {
	f.written = f.written[:n:n]
	f.lengths = append(f.lengths, int(n))
}

// synced notes that an fsync was acknowledged that began after everything noted so far.
func (f *file) synced() { f.acked = floor{slices.Clone(f.written), len(f.lengths) - 1} }

var errTorn = errors.New("the length is none that a write gave it")

// check compares the bytes of the file with what must be there by a floor and what may be there.
func (f *file) check(b []byte, must floor) error {
	if len(b)%blockSize != 0 {
		return fmt.Errorf("%d bytes: %w", len(b), errTorn)
	}
	n := len(b) / blockSize
	if least := slices.Min(f.lengths[must.from:]); n < least {
		return fmt.Errorf("has %d blocks, %d were acknowledged", n, least)
	}
	if most := slices.Max(f.lengths[must.from:]); n > most {
		return fmt.Errorf("has %d blocks, only %d are possible", n, most)
	}
	sure := min(len(must.durable), slices.Min(f.lengths[must.from:]))
	for i := range n {
		v, err := parse(b[i*blockSize:(i+1)*blockSize], f.id, int64(i))
		if err != nil {
			return err
		}
		var least uint64
		if i < sure {
			least = must.durable[i]
		}
		if v < least || v > f.version {
			return fmt.Errorf("block %d holds version %d; version %d was acknowledged, %d is the newest", i, v, least, f.version)
		}
	}
	return nil
}

// adopt takes what is on disk after a crash, which check has seen and which is durable, as the new truth.
func (f *file) adopt(b []byte) error {
	f.written = f.written[:0]
	for i := range len(b) / blockSize {
		v, err := parse(b[i*blockSize:(i+1)*blockSize], f.id, int64(i))
		if err != nil {
			return err
		}
		f.written = append(f.written, v)
	}
	f.lengths = []int{len(f.written)}
	f.synced()
	f.base = f.acked
	f.named, f.gone, f.goneAck = true, false, false
	return nil
}

// owner tells whose blocks the bytes are; 0 when there are only zeros.
func owner(b []byte) uint64 {
	for ; len(b) >= blockSize; b = b[blockSize:] {
		if !bytes.Equal(b[:blockSize], zeroBlock[:]) {
			return binary.LittleEndian.Uint64(b)
		}
	}
	return 0
}
