package ledger

import (
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/cloudcoin/cloudcoin/provider/ids"
	"github.com/fxamacker/cbor/v2"
)

// Kinds of records: the first byte of a body. Odd kinds that are not known are passed over, even ones refused.
const (
	recLease  = 2  // a lease, CBOR
	recIntent = 4  // intents are open
	recFinish = 6  // intents are finished
	recUsage  = 8  // a lease's usage is this
	recForget = 10 // a lease is gone
	recMark   = 1  // nothing; carries a position in its header
	recClock  = 3  // what time it is
)

const intentSize = 8 + 1 + 16 + 32 + 8

// leaseRecord is a lease as it is written.
type leaseRecord struct {
	ID      []byte `cbor:"1,keyasint"`
	Renter  []byte `cbor:"2,keyasint"`
	Size    int64  `cbor:"3,keyasint"`
	Created int64  `cbor:"4,keyasint"` // seconds since 1970
	Until   int64  `cbor:"5,keyasint"`
	Grace   int64  `cbor:"6,keyasint"` // seconds
	Note    string `cbor:"7,keyasint,omitempty"`
}

var errShort = errors.New("a record is cut short or too long")

func encodeLease(l *Lease) ([]byte, error) {
	mode, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		return nil, err
	}
	b, err := mode.Marshal(leaseRecord{l.ID[:], l.Renter, l.Size, l.Created.Unix(), l.Until.Unix(), int64(l.Grace / time.Second), l.Note})
	if err != nil {
		return nil, fmt.Errorf("encode lease: %w", err)
	}
	return append([]byte{recLease}, b...), nil
}

func decodeLease(b []byte) (Lease, error) {
	var r leaseRecord
	if err := cbor.Unmarshal(b, &r); err != nil {
		return Lease{}, fmt.Errorf("decode lease: %w", err)
	}
	l := Lease{
		Renter: ed25519.PublicKey(r.Renter), Size: r.Size, Created: time.Unix(r.Created, 0).UTC(), Until: time.Unix(r.Until, 0).UTC(),
		Grace: time.Duration(r.Grace) * time.Second, Note: r.Note,
	}
	if copy(l.ID[:], r.ID) != len(l.ID) || len(r.ID) != len(l.ID) {
		return Lease{}, fmt.Errorf("a lease id has %d bytes", len(r.ID))
	}
	return l, l.validate()
}

func encodeMark() []byte { return []byte{recMark} }

// encodeIntents: kind, then for each: number (8), op (1), lease (16), shard (32), charge (8).
func encodeIntents(ins []Intent) []byte {
	b := make([]byte, 0, 1+intentSize*len(ins))
	b = append(b, recIntent)
	for _, in := range ins {
		b = binary.BigEndian.AppendUint64(b, in.Seq)
		b = append(b, byte(in.Op))
		b = append(b, in.Lease[:]...)
		b = append(b, in.Shard[:]...)
		b = binary.BigEndian.AppendUint64(b, uint64(in.Charge))
	}
	return b
}

func decodeIntents(b []byte) ([]Intent, error) {
	if len(b)%intentSize != 0 {
		return nil, errShort
	}
	var ins []Intent
	for ; len(b) > 0; b = b[intentSize:] {
		in := Intent{Seq: binary.BigEndian.Uint64(b), Op: Op(b[8]), Charge: int64(binary.BigEndian.Uint64(b[57:]))}
		copy(in.Lease[:], b[9:])
		copy(in.Shard[:], b[25:])
		if in.Op < Put || in.Op > Drop || in.Charge < 0 {
			return nil, fmt.Errorf("an intent of kind %d and %d bytes", in.Op, in.Charge)
		}
		ins = append(ins, in)
	}
	return ins, nil
}

// encodeFinish: kind, done (1), then the numbers (8 each).
func encodeFinish(seqs []uint64, done bool) []byte {
	b := []byte{recFinish, 0}
	if done {
		b[1] = 1
	}
	for _, s := range seqs {
		b = binary.BigEndian.AppendUint64(b, s)
	}
	return b
}

// encodeUsage: kind, lease (16), bytes (8), shards (8).
func encodeUsage(id ids.Lease, u Usage) []byte {
	b := append([]byte{recUsage}, id[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(u.Bytes))
	return binary.BigEndian.AppendUint64(b, uint64(u.Shards))
}

// encodeClock: kind, known (8), doubted (8), last (8), seconds since 1970; 0 when there is none.
func encodeClock(c Clock) []byte {
	b := binary.BigEndian.AppendUint64([]byte{recClock}, uint64(unixOf(c.Known)))
	b = binary.BigEndian.AppendUint64(b, uint64(unixOf(c.Doubted)))
	return binary.BigEndian.AppendUint64(b, uint64(unixOf(c.Last)))
}

func decodeClock(b []byte) (Clock, error) {
	if len(b) != 24 {
		return Clock{}, errShort
	}
	at := func(i int) time.Time { return timeOf(int64(binary.BigEndian.Uint64(b[i:]))) }
	return Clock{at(0), at(8), at(16)}, nil
}

func unixOf(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func timeOf(sec int64) time.Time {
	if sec == 0 {
		return time.Time{}
	}
	return time.Unix(sec, 0).UTC()
}

// encodeForget: kind, lease (16).
func encodeForget(id ids.Lease) []byte { return append([]byte{recForget}, id[:]...) }

// keepSpare tells whether the log's last bytes must stay free for other records: a shard that comes can be refused, one that goes can't.
func keepSpare(ins []Intent) bool { return len(ins) > 0 && ins[0].Op == Put }
