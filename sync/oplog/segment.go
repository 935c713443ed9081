package oplog

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/fxamacker/cbor/v2"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

// Header begins a segment or checkpoint.
type Header struct {
	Drive  Drive
	Device model.DeviceID
	// First and Last are the numbers of the segments in it, from 1; both are 0 in a checkpoint.
	First, Last uint64
	Prev        Hash // Tip of the segment before First; zero for the first of a device and for a checkpoint
}

// Group is what one batch of the index wrote.
type Group struct {
	Rev     model.Rev
	Device  model.DeviceID // that made it; zero in a checkpoint
	Records []model.Record
}

type wireHeader struct {
	_           struct{} `cbor:",toarray"`
	Version     uint64
	Network     string
	Drive       []byte
	Device      []byte
	First, Last uint64
	Prev        []byte
}

// wireGroup is followed by Count records.
type wireGroup struct {
	_      struct{} `cbor:",toarray"`
	Rev    uint64
	Device []byte
	Count  uint64
}

// maxGroup is the number of records that a group may have.
const maxGroup = 1 << 20

// Writer writes a segment or checkpoint.
type Writer struct {
	enc *cbor.Encoder
	out counter
}

// counter hashes and counts what passes.
type counter struct {
	w io.Writer
	h hash.Hash
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.h.Write(p[:n])
	c.n += int64(n)
	return n, err
}

// NewWriter writes the header to w.
func NewWriter(w io.Writer, h Header) (*Writer, error) {
	wr := &Writer{out: counter{w: w, h: sha256.New()}}
	wr.enc = encMode.NewEncoder(&wr.out)
	err := wr.enc.Encode(wireHeader{
		Version: 1, Network: h.Drive.Network, Drive: h.Drive.ID[:], Device: h.Device[:], First: h.First, Last: h.Last, Prev: h.Prev[:],
	})
	if err != nil {
		return nil, fmt.Errorf("write segment header: %w", err)
	}
	return wr, nil
}

// Group appends one group. ErrStaged when it names content that isn't stored; the segment is spoilt then.
func (w *Writer) Group(g Group) error {
	if len(g.Records) > maxGroup {
		return fmt.Errorf("write group %d of %d records: %w", g.Rev, len(g.Records), ErrTooLong)
	}
	if err := w.enc.Encode(wireGroup{Rev: uint64(g.Rev), Device: g.Device[:], Count: uint64(len(g.Records))}); err != nil {
		return fmt.Errorf("write group %d: %w", g.Rev, err)
	}
	for i := range g.Records {
		r, err := toWireRecord(&g.Records[i])
		if err != nil {
			return fmt.Errorf("write group %d: %w", g.Rev, err)
		}
		if err := w.enc.Encode(r); err != nil {
			return fmt.Errorf("write group %d: %w", g.Rev, err)
		}
	}
	return nil
}

// Len is the number of bytes written so far, Sum their hash.
func (w *Writer) Len() int64 { return w.out.n }

// Sum is the hash of the bytes written so far.
func (w *Writer) Sum() (h Hash) {
	w.out.h.Sum(h[:0])
	return h
}

// Reader reads what a Writer wrote. It trusts nothing.
type Reader struct {
	dec *cbor.Decoder
	hdr Header
}

// NewReader reads the header. The caller limits the length of r.
func NewReader(r io.Reader, d Drive) (*Reader, error) {
	rd := &Reader{dec: decMode.NewDecoder(r)}
	var w wireHeader
	if err := rd.dec.Decode(&w); err != nil {
		return nil, fmt.Errorf("read segment header: %w: %w", ErrFormat, err)
	}
	var f fixed
	if w.Version != 1 {
		f.fail("segment of version %d: a newer version of this program wrote it", w.Version)
	}
	rd.hdr = Header{Drive: Drive{Network: w.Network}, First: w.First, Last: w.Last}
	f.copy("drive", rd.hdr.Drive.ID[:], w.Drive)
	f.copy("device", rd.hdr.Device[:], w.Device)
	f.copy("previous segment", rd.hdr.Prev[:], w.Prev)
	if w.Last < w.First {
		f.fail("segments %d to %d", w.First, w.Last)
	}
	if f.err != nil {
		return nil, fmt.Errorf("read segment header: %w", f.err)
	}
	if rd.hdr.Drive != d {
		return nil, fmt.Errorf("read segment of drive %x on %q: %w", rd.hdr.Drive.ID, rd.hdr.Drive.Network, ErrForeign)
	}
	return rd, nil
}

// Header is the header that NewReader read.
func (r *Reader) Header() Header { return r.hdr }

// Next returns the next group; io.EOF after the last.
func (r *Reader) Next() (Group, error) {
	var w wireGroup
	if err := r.dec.Decode(&w); errors.Is(err, io.EOF) {
		return Group{}, io.EOF
	} else if err != nil {
		return Group{}, fmt.Errorf("read group: %w: %w", ErrFormat, err)
	}
	var f fixed
	g := Group{Rev: f.rev(w.Rev)}
	f.copy("device", g.Device[:], w.Device)
	if w.Count > maxGroup {
		f.fail("group of %d records", w.Count)
	}
	if f.err != nil {
		return Group{}, fmt.Errorf("read group: %w", f.err)
	}
	for range w.Count {
		var in wireRecordIn
		if err := r.dec.Decode(&in); err != nil {
			return Group{}, fmt.Errorf("read group %d: %w: %w", g.Rev, ErrFormat, err)
		}
		rec, err := in.record()
		if err != nil {
			return Group{}, fmt.Errorf("read group %d: %w", g.Rev, err)
		}
		g.Records = append(g.Records, rec)
	}
	return g, nil
}
