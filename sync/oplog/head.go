package oplog

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

// Limits of what is written and read.
const (
	MaxSlot      = 64 << 10 // bytes of a slot's payload
	MaxHeadBytes = 56 << 10 // bytes of an encoded head: what is left after sealing and padding
	MaxCopied    = 64 << 10 // segments up to this many sealed bytes are copied to every lease
)

// Errors of the decoders.
var (
	ErrFormat  = errors.New("not in a format that this version reads") // is returned for bytes that no version of this program wrote, or a later one
	ErrForeign = errors.New("belongs to another drive or network")     // is returned when signature, network or drive don't fit
	ErrTooLong = errors.New("longer than a slot holds")                // is returned by Seal when the head needs a checkpoint first
)

// Hash is the SHA-256 of an encoded head or of the plaintext of a segment.
type Hash [sha256.Size]byte

// Drive says what drive and network something belongs to: every signed thing names both.
type Drive struct {
	Network string
	ID      [16]byte
}

// Head is what a device says about the whole drive: the state that its published revision stands for.
type Head struct {
	Drive     Drive
	Device    model.DeviceID
	Counter   uint64 // of the slot: strictly increasing
	Time      int64  // milliseconds since 1970, by the clock of the device; for people, never for order
	Prev      Hash   // of the head before; zero for the first
	Published model.Rev
	// Checkpoint and Segments together hold every published record. Both may have been written by the devices in Parents.
	Checkpoint *Checkpoint
	Segments   []Segment
	// NextSegment is the number of the next segment of Device, LastTip its Prev.
	NextSegment uint64
	LastTip     Hash
	Parents     []Parent // heads that this device continues; empty for the first device of a drive
}

// Parent is a head of another device that is an ancestor of this one.
type Parent struct {
	Device  model.DeviceID
	Counter uint64
	Hash    Hash
}

// Checkpoint is the whole published state up to and with a revision.
type Checkpoint struct {
	Rev  model.Rev
	Blob Blob
}

// Segment describes one segment, or a run of segments that were folded into one.
type Segment struct {
	Device      model.DeviceID
	First, Last uint64    // numbers in the log of the device
	Rev         model.Rev // highest revision in it
	Tip         Hash      // hash of the last segment as it was first written: the next one's Prev
	Blob        Blob
}

// Blob tells where bytes are. Exactly one of Copies, Packs and List is set.
type Blob struct {
	Size   int64        // bytes of the plaintext
	Hash   Hash         // SHA-256 of the plaintext
	Copies []Copy       // each holds all of it
	Packs  []model.Pack // their plaintexts in a row hold it
	List   *Blob        // holds the CBOR of Packs, when these are too many for a head
}

// Copy is one sealed copy of a short blob, a shard of its own.
type Copy struct {
	ID    model.ShardID
	Lease model.LeaseID
	Size  int64 // bytes of the sealed copy
}

// Ancestor tells whether a head of device with this counter and hash is continued by h: it is h itself or one before it, or one that h's device continues.
func (h *Head) Ancestor(device model.DeviceID, counter uint64) bool {
	if device == h.Device {
		return counter <= h.Counter
	}
	for _, p := range h.Parents {
		if p.Device == device && counter <= p.Counter {
			return true
		}
	}
	return false
}

// LogBytes is the plaintext length of all segments since the checkpoint.
func (h *Head) LogBytes() (n int64) {
	for i := range h.Segments {
		n += h.Segments[i].Blob.Size
	}
	return n
}

const headLabel = "cloudcoin head 1\x00"

// Encode returns the canonical bytes of the head, which its hash and signature are of.
func (h *Head) Encode() ([]byte, error) {
	b, err := encMode.Marshal(toWireHead(h))
	if err != nil {
		return nil, fmt.Errorf("encode head: %w", err)
	}
	if len(b) > MaxHeadBytes {
		return nil, fmt.Errorf("encode head of %d bytes: %w", len(b), ErrTooLong)
	}
	return b, nil
}

// HashOf is the hash of an encoded head or segment.
func HashOf(encoded []byte) Hash { return sha256.Sum256(encoded) }

// SignHead encodes and signs a head: the plaintext of a slot. Its hash is HashOf of the encoding, which it returns too.
func SignHead(h *Head, key ed25519.PrivateKey) (signed []byte, hash Hash, err error) {
	body, err := h.Encode()
	if err != nil {
		return nil, Hash{}, err
	}
	signed, err = sign(kindHead, headLabel, body, key)
	return signed, HashOf(body), err
}

// OpenHead verifies and decodes what SignHead made.
func OpenHead(signed []byte, d Drive, key ed25519.PublicKey) (*Head, Hash, error) {
	body, err := verify(kindHead, headLabel, signed, key)
	if err != nil {
		return nil, Hash{}, fmt.Errorf("open head: %w", err)
	}
	var w wireHead
	if err := decode(body, &w); err != nil {
		return nil, Hash{}, fmt.Errorf("open head: %w", err)
	}
	h, err := w.head()
	if err != nil {
		return nil, Hash{}, fmt.Errorf("open head: %w", err)
	}
	if h.Drive != d {
		return nil, Hash{}, fmt.Errorf("open head of drive %x on %q: %w", h.Drive.ID, h.Drive.Network, ErrForeign)
	}
	return h, HashOf(body), nil
}

// Size is the length of the encoded head.
func (h *Head) Size() (int, error) {
	b, err := encMode.Marshal(toWireHead(h))
	return len(b), err
}
