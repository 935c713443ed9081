//go:build linux

package load

import (
	"fmt"
	"os"
	"slices"
)

// file is what the oracle knows of one file: for each block the newest version written and the newest one that was acknowledged durable.
type file struct {
	id      uint64
	written []uint64 // by block; grows with the file
	durable []uint64
	version uint64 // of the last write
	named   bool   // the name was acknowledged durable
	gone    bool   // unlink was begun
	goneAck bool   // unlink was acknowledged durable
}

func (f *file) clone() *file {
	c := *f
	c.written, c.durable = slices.Clone(f.written), slices.Clone(f.durable)
	return &c
}

// wrote notes a write that was begun; it counts as possible from then on.
func (f *file) wrote(index, n int64) uint64 {
	f.version++
	for int64(len(f.written)) < index+n {
		f.written = append(f.written, 0)
	}
	for i := index; i < index+n; i++ {
		f.written[i] = f.version
	}
	return f.version
}

// synced notes that an fsync was acknowledged that began after everything noted so far.
func (f *file) synced() { f.durable = slices.Clone(f.written) }

// check compares the file at path with what must and may be there. upTo bounds the versions that may be there.
func (f *file) check(path string) error {
	b, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		if f.named && !f.gone {
			return fmt.Errorf("%s: the name was acknowledged and is gone", path)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if f.goneAck {
		return fmt.Errorf("%s: its removal was acknowledged and it is there", path)
	}
	if len(b)%blockSize != 0 && int64(len(b)) < int64(len(f.durable))*blockSize {
		return fmt.Errorf("%s: has %d bytes, %d were acknowledged", path, len(b), len(f.durable)*blockSize)
	}
	if n := len(f.durable) * blockSize; len(b) < n {
		return fmt.Errorf("%s: has %d bytes, %d were acknowledged", path, len(b), n)
	}
	if n := len(f.written) * blockSize; len(b) > n {
		return fmt.Errorf("%s: has %d bytes, only %d were ever written", path, len(b), n)
	}
	for i := int64(0); (i+1)*blockSize <= int64(len(b)); i++ {
		v, err := parse(b[i*blockSize:(i+1)*blockSize], f.id, i)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		var least uint64
		if i < int64(len(f.durable)) {
			least = f.durable[i]
		}
		if v < least || v > f.version {
			return fmt.Errorf("%s: block %d holds version %d; version %d was acknowledged, %d is the newest", path, i, v, least, f.version)
		}
	}
	return nil
}

// adopt takes what is on disk after a crash as the new truth: it was verified by check.
func (f *file) adopt(path string) (exists bool, err error) {
	b, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	f.written = f.written[:0]
	for i := int64(0); (i+1)*blockSize <= int64(len(b)); i++ {
		v, err := parse(b[i*blockSize:(i+1)*blockSize], f.id, i)
		if err != nil {
			return true, err
		}
		f.written = append(f.written, v)
	}
	f.gone, f.goneAck = false, false
	return true, nil
}
