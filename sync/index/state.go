package index

import (
	"crypto/sha256"

	"github.com/cloudcoin/cloudcoin/sync/journal"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// state is what every batch carries on: counters, and its place in the chain of batches.
type state struct {
	n         uint64      // number of the last batch
	hash      [16]byte    // of the last batch
	lsn       journal.LSN // position after its record; of no meaning inside a record
	rev       model.Rev   // highest revision ever given or applied
	nextChunk uint64      // number of the next new chunk; they begin at 1
	stats     Stats
}

// counters in the order in which they are written.
func (s *Stats) counters() [8]*int64 {
	return [8]*int64{&s.Inodes, &s.Files, &s.Bytes, &s.StagedFiles, &s.StagedBytes, &s.Packs, &s.Chunks, &s.Outbox}
}

// appendCounters writes what a batch's record carries.
func (s *state) appendCounters(p []byte) []byte {
	p = appendUint(p, uint64(s.rev), s.nextChunk)
	for _, c := range s.stats.counters() {
		p = appendUint(p, zig(*c))
	}
	return p
}

func (s *state) readCounters(r *reader) {
	s.rev, s.nextChunk = model.Rev(r.below(uint64(model.MaxRev))), r.uint()
	for _, c := range s.stats.counters() {
		*c = r.int()
	}
}

// encode is the value that leveldb holds under the state's key.
func (s *state) encode() []byte {
	p := be.AppendUint64(nil, s.n)
	p = append(p, s.hash[:]...)
	p = be.AppendUint64(p, uint64(s.lsn))
	return s.appendCounters(p)
}

func parseState(p []byte) (s state, err error) {
	r := reader{p: p}
	s.n = be.Uint64(r.take(8))
	copy(s.hash[:], r.take(16))
	s.lsn = journal.LSN(be.Uint64(r.take(8)))
	s.readCounters(&r)
	return s, r.done()
}

// A batch in the journal: version, number, hash of the batch before, counters after it, leveldb's batch dump.
const batchV1 = 1

// encodeBatch appends the bytes of a batch whose counters are in s; s.n is its number already, s.hash still the one before.
func (s *state) encodeBatch(p []byte, dump []byte) []byte {
	p = append(p, batchV1)
	p = be.AppendUint64(p, s.n)
	p = append(p, s.hash[:]...)
	p = s.appendCounters(p)
	return append(p, dump...)
}

// parseBatch reads a batch: its number and counters, the hash of the one before, and the dump.
func parseBatch(p []byte) (s state, dump []byte, err error) {
	r := reader{p: p}
	if r.byte() != batchV1 {
		return s, nil, errValue
	}
	s.n = be.Uint64(r.take(8))
	copy(s.hash[:], r.take(16))
	s.readCounters(&r)
	if r.bad {
		return s, nil, errValue
	}
	return s, r.p, nil
}

func hashBatch(p []byte) (h [16]byte) {
	sum := sha256.Sum256(p)
	copy(h[:], sum[:])
	return h
}

// A batch that is too long for one record is cut: each record begins with the batch's number, its own place and their count.
const pieceHeader = 8 + 2 + 2

func appendPiece(p []byte, n uint64, i, of int) []byte {
	p = be.AppendUint64(p, n)
	p = be.AppendUint16(p, uint16(i))
	return be.AppendUint16(p, uint16(of))
}
