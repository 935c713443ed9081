package journal

import (
	"encoding/binary"
	"hash/crc32"
)

const (
	recordMagic  = 0x314a4343 // "CCJ1"
	recordHeader = 40
	recordAlign  = 8
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header of a record; docs/formats.md has its bytes.
type header struct {
	kind    Kind
	len     uint32
	crc     uint32
	lsn     LSN // of the record's first byte
	durable LSN
	epoch   uint32
}

func (h *header) put(p []byte) {
	le := binary.LittleEndian
	le.PutUint32(p[0:], recordMagic)
	p[4], p[5], p[6], p[7] = byte(h.kind), 0, 0, 0
	le.PutUint32(p[8:], h.len)
	le.PutUint32(p[12:], 0)
	le.PutUint64(p[16:], uint64(h.lsn))
	le.PutUint64(p[24:], uint64(h.durable))
	le.PutUint32(p[32:], h.epoch)
	le.PutUint32(p[36:], 0)
}

// seal writes the checksum into p, which holds header and body.
func seal(p []byte) {
	binary.LittleEndian.PutUint32(p[12:], checksum(p))
}

// checksum covers header and body without the checksum's own four bytes.
func checksum(p []byte) uint32 {
	c := crc32.Update(0, castagnoli, p[:12])
	return crc32.Update(c, castagnoli, p[16:])
}

// parseHeader reads a header; ok is false for anything that can't be one at position lsn.
func parseHeader(p []byte, lsn LSN) (h header, ok bool) {
	if len(p) < recordHeader {
		return h, false
	}
	le := binary.LittleEndian
	if le.Uint32(p) != recordMagic || p[5]|p[6]|p[7] != 0 || le.Uint32(p[36:]) != 0 {
		return h, false
	}
	h = header{
		kind: Kind(p[4]), len: le.Uint32(p[8:]), crc: le.Uint32(p[12:]),
		lsn: LSN(le.Uint64(p[16:])), durable: LSN(le.Uint64(p[24:])), epoch: le.Uint32(p[32:]),
	}
	return h, h.lsn == lsn && h.len <= MaxBody && h.durable <= h.lsn && h.kind != 0
}

// span is the number of bytes that a record with such a body takes.
func span(body int64) int64 {
	return (recordHeader + body + recordAlign - 1) &^ (recordAlign - 1)
}
