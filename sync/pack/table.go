package pack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

const (
	entryLen  = 40
	footerLen = 24
	magic     = "ccpackv1"
)

// ErrTable is returned when a plaintext doesn't end with a table that describes it.
var ErrTable = errors.New("not the plaintext of a pack")

// Entry is one chunk of a pack.
type Entry struct {
	ID  model.ChunkID
	Off int64 // in the plaintext
	Len int64
}

// Table is what a pack says of itself.
type Table struct {
	Kind    model.PackKind
	DataLen int64 // bytes of chunks
	Entries []Entry
}

// plainNeed is the length of a plaintext without padding.
func plainNeed(data int64, chunks int) int64 {
	return data + int64(chunks)*entryLen + footerLen
}

// appendTable appends the entries and the footer to b. Numbers are little-endian.
func appendTable(b []byte, kind model.PackKind, dataLen int64, entries []Entry) []byte {
	if b == nil {
		b = make([]byte, 0, plainNeed(0, len(entries)))
	}
	for i := range entries {
		e := &entries[i]
		b = append(b, e.ID[:]...)
		b = binary.LittleEndian.AppendUint32(b, uint32(e.Off))
		b = binary.LittleEndian.AppendUint32(b, uint32(e.Len))
	}
	b = binary.LittleEndian.AppendUint64(b, uint64(dataLen))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(entries)))
	b = append(b, byte(kind), 0, 0, 0)
	return append(b, magic...)
}

// ReadTable reads the table at the end of a plaintext of size bytes. It reads nothing else, and nothing of the chunks. The errors are
// ErrTable and r's own.
func ReadTable(r io.ReaderAt, size int64) (*Table, error) {
	var footer [footerLen]byte
	if size < footerLen {
		return nil, fmt.Errorf("%d bytes: %w", size, ErrTable)
	}
	if err := readAt(r, footer[:], size-footerLen); err != nil {
		return nil, err
	}
	dataLen := int64(binary.LittleEndian.Uint64(footer[0:]))
	count := int64(binary.LittleEndian.Uint32(footer[8:]))
	if string(footer[16:]) != magic || footer[13]|footer[14]|footer[15] != 0 {
		return nil, fmt.Errorf("no footer: %w", ErrTable)
	}
	room := size - footerLen - count*entryLen
	if dataLen < count || dataLen > room {
		return nil, fmt.Errorf("%d chunks of %d bytes in %d: %w", count, dataLen, size, ErrTable)
	}
	raw := make([]byte, count*entryLen)
	if err := readAt(r, raw, room); err != nil {
		return nil, err
	}
	t := &Table{Kind: model.PackKind(footer[12]), DataLen: dataLen, Entries: make([]Entry, count)}
	next := int64(0)
	for i := range t.Entries {
		b := raw[i*entryLen:]
		e := Entry{ID: model.ChunkID(b), Off: int64(binary.LittleEndian.Uint32(b[32:])), Len: int64(binary.LittleEndian.Uint32(b[36:]))}
		if e.Off != next || e.Len == 0 {
			return nil, fmt.Errorf("chunk %d of %d bytes at %d, want %d: %w", i, e.Len, e.Off, next, ErrTable)
		}
		next += e.Len
		t.Entries[i] = e
	}
	if next != dataLen {
		return nil, fmt.Errorf("chunks of %d bytes, footer says %d: %w", next, dataLen, ErrTable)
	}
	return t, nil
}

func readAt(r io.ReaderAt, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read table of pack: %w", err)
}
