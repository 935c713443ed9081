package stage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/cloudcoin/cloudcoin/sync/journal"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// Kinds of the stage's journal records. docs/formats.md has their bytes.
const (
	kindWrite    journal.Kind = 64 // bytes: of a small content, or redo for a layer file
	kindExtents  journal.Kind = 65 // blocks that are in the layer file
	kindTruncate journal.Kind = 66
	kindPunch    journal.Kind = 67
	kindFreeze   journal.Kind = 68 // the version is final
	kindStored   journal.Kind = 69 // versions up to this one are stored: clean
	kindDrop     journal.Kind = 70 // all local content of the inode goes
	kindEvict    journal.Kind = 71 // all clean layers go
	kindAttr     journal.Kind = 72 // path and times only
	kindConvert  journal.Kind = 73 // the small content goes on in a layer file
)

// Flags of a record.
const (
	flagUnsynced = 1 << iota // extents: the blocks were handed to the operating system, but not synced
	flagReplace              // write: the bytes take the place of all that the layer had
	flagInline               // the layer's content lies in the journal
	flagsKnown   = 1<<iota - 1
)

const (
	recordVersion = 1
	headerLen     = 52
	maxPath       = 4096
	maxRuns       = 1 << 16
)

var errRecord = errors.New("malformed record")

// header is what every record of the stage begins with: the state of the content after the record.
type header struct {
	flags        uint8
	ino          model.Ino
	version      uint64
	size, floor  int64
	mtime, ctime int64
	path         string // "" where it isn't repeated
}

// run is a stretch of a file: bytes in kindWrite and kindPunch, blocks in kindExtents.
type run struct{ off, n int64 }

func (h *header) append(b []byte) []byte {
	path := h.path
	if len(path) > maxPath {
		path = path[len(path)-maxPath:]
	}
	b = append(b, recordVersion, h.flags)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(path)))
	for _, v := range [...]uint64{uint64(h.ino), h.version, uint64(h.size), uint64(h.floor), uint64(h.mtime), uint64(h.ctime)} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return append(b, path...)
}

func parseHeader(b []byte) (h header, rest []byte, err error) {
	if len(b) < headerLen {
		return h, nil, fmt.Errorf("%w: %d bytes", errRecord, len(b))
	}
	if b[0] != recordVersion {
		return h, nil, fmt.Errorf("%w: version %d, known is %d", errRecord, b[0], recordVersion)
	}
	h.flags = b[1]
	if h.flags&^flagsKnown != 0 {
		return h, nil, fmt.Errorf("%w: unknown flags %#x", errRecord, h.flags)
	}
	n := int(binary.LittleEndian.Uint16(b[2:]))
	u := func(i int) uint64 { return binary.LittleEndian.Uint64(b[4+8*i:]) }
	h.ino, h.version = model.Ino(u(0)), u(1)
	h.size, h.floor, h.mtime, h.ctime = int64(u(2)), int64(u(3)), int64(u(4)), int64(u(5))
	b = b[headerLen:]
	if n > maxPath || n > len(b) || h.size < 0 || h.floor < 0 {
		return h, nil, fmt.Errorf("%w: path of %d, size %d, floor %d", errRecord, n, h.size, h.floor)
	}
	h.path = string(b[:n])
	return h, b[n:], nil
}

func appendRuns(b []byte, runs []run) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(runs)))
	for _, r := range runs {
		b = binary.LittleEndian.AppendUint64(b, uint64(r.off))
		b = binary.LittleEndian.AppendUint64(b, uint64(r.n))
	}
	return b
}

// parseRuns reads runs whose ends stay at or below limit.
func parseRuns(b []byte, limit int64) (runs []run, rest []byte, err error) {
	return parseRunsN(b, limit, maxRuns)
}

func parseRunsN(b []byte, limit, most int64) (runs []run, rest []byte, err error) {
	if len(b) < 4 {
		return nil, nil, fmt.Errorf("%w: no runs", errRecord)
	}
	n := int64(binary.LittleEndian.Uint32(b))
	b = b[4:]
	if n > most || n*16 > int64(len(b)) {
		return nil, nil, fmt.Errorf("%w: %d runs in %d bytes", errRecord, n, len(b))
	}
	runs = make([]run, n)
	for i := range runs {
		r := run{int64(binary.LittleEndian.Uint64(b)), int64(binary.LittleEndian.Uint64(b[8:]))}
		if r.off < 0 || r.n < 0 || r.off > limit-r.n {
			return nil, nil, fmt.Errorf("%w: run at %d of %d", errRecord, r.off, r.n)
		}
		runs[i], b = r, b[16:]
	}
	return runs, b, nil
}

// parsed is one record of the stage.
type parsed struct {
	header
	kind journal.Kind
	runs []run
	data []byte // of the runs of a write, joined
	pos  int64  // of data inside the body
}

func parseRecord(kind journal.Kind, body []byte) (p parsed, err error) {
	p.kind = kind
	var rest []byte
	if p.header, rest, err = parseHeader(body); err != nil {
		return p, err
	}
	switch kind {
	case kindWrite:
		if p.runs, p.data, err = parseRuns(rest, math.MaxInt64); err != nil {
			return p, err
		}
		var sum int64
		for _, r := range p.runs {
			if sum += r.n; sum > int64(len(p.data)) || r.n > int64(len(p.data)) {
				return p, fmt.Errorf("%w: runs longer than their bytes", errRecord)
			}
		}
		if sum != int64(len(p.data)) {
			return p, fmt.Errorf("%w: %d bytes for runs of %d", errRecord, len(p.data), sum)
		}
		p.pos = int64(len(body) - len(p.data))
		return p, nil
	case kindExtents:
		p.runs, rest, err = parseRuns(rest, maxBlock)
	case kindPunch:
		if p.runs, rest, err = parseRuns(rest, math.MaxInt64); err == nil && len(p.runs) != 1 {
			return p, fmt.Errorf("%w: a punch of %d runs", errRecord, len(p.runs))
		}
	case kindTruncate, kindFreeze, kindStored, kindDrop, kindEvict, kindAttr, kindConvert:
	default:
		return p, fmt.Errorf("%w: unknown kind %d", errRecord, kind)
	}
	if err == nil && len(rest) != 0 {
		return p, fmt.Errorf("%w: %d bytes too many", errRecord, len(rest))
	}
	return p, err
}
