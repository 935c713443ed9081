//go:build linux

// Package load writes files into a mount and knows afterwards what must be there: it is the oracle of the kill and power-cut tests.
//
// Files consist of blocks of 64 bytes. Each block names its file, its place and the version of the write that put it there, so that a block
// of another file, or of another place, is recognised. After a crash a block must hold the version that was last made durable by an
// acknowledged fsync, or a later one; what was not acknowledged may be there or not.
package load

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

const blockSize = 64

// block fills b (64 bytes) for one place of a file.
func block(b []byte, file, version uint64, index int64) {
	binary.LittleEndian.PutUint64(b, file)
	binary.LittleEndian.PutUint64(b[8:], version)
	binary.LittleEndian.PutUint64(b[16:], uint64(index))
	for i := 24; i < 60; i++ {
		b[i] = byte(file*7 + version*13 + uint64(index)*3 + uint64(i))
	}
	binary.LittleEndian.PutUint32(b[60:], crc32.ChecksumIEEE(b[:60]))
}

// blocks makes n blocks from index on.
func blocks(file, version uint64, index, n int64) []byte {
	out := make([]byte, n*blockSize)
	for i := range n {
		block(out[i*blockSize:(i+1)*blockSize], file, version, index+i)
	}
	return out
}

var zeroBlock [blockSize]byte

// parse tells which version a block holds; 0 when it holds zeros.
func parse(b []byte, file uint64, index int64) (version uint64, err error) {
	if bytes.Equal(b, zeroBlock[:]) {
		return 0, nil
	}
	if crc32.ChecksumIEEE(b[:60]) != binary.LittleEndian.Uint32(b[60:]) {
		return 0, fmt.Errorf("block %d is torn or damaged: % x", index, b[:32])
	}
	gotFile, gotIndex := binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[16:])
	if gotFile != file {
		return 0, fmt.Errorf("block %d shows the bytes of file %d, not of %d", index, gotFile, file)
	}
	if gotIndex != uint64(index) {
		return 0, fmt.Errorf("block %d shows the bytes of block %d", index, gotIndex)
	}
	return binary.LittleEndian.Uint64(b[8:]), nil
}
