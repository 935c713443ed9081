package index

import (
	"errors"
	"fmt"

	"github.com/syndtr/goleveldb/leveldb"

	"github.com/cloudcoin/cloudcoin/sync/journal"
)

// ReplayRecord takes a record of the index's kinds while the journal is replayed. Records that leveldb holds already change nothing.
func (x *Index) ReplayRecord(r journal.Record) error {
	if r.Kind != KindBatch {
		return &journal.DamageError{File: x.dir, Why: fmt.Sprintf("a journal record of the unknown kind %d", r.Kind)}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	whole, err := x.assemble(r.Body)
	if err != nil || whole == nil {
		return err
	}
	s, dump, err := parseBatch(whole)
	if err != nil {
		return x.damaged("a batch in the journal", err)
	}
	hash := hashBatch(whole)
	switch {
	case s.n < x.state.n:
		return nil
	case s.n == x.state.n:
		if hash != x.state.hash {
			return x.damaged("chain", fmt.Errorf("batch %d of the journal is not the one that leveldb holds", s.n))
		}
		return nil
	case s.n != x.state.n+1:
		return x.damaged("chain", fmt.Errorf("batches %d to %d are missing", x.state.n+1, s.n-1))
	case s.hash != x.state.hash:
		return x.damaged("chain", fmt.Errorf("batch %d does not follow the one before it", s.n))
	}
	var lb leveldb.Batch
	if err := lb.Load(clone(dump)); err != nil {
		return x.damaged("a batch in the journal", err)
	}
	s.hash, s.lsn = hash, r.LSN
	lb.Put([]byte{pState}, s.encode())
	if err := x.db.Write(&lb, nil); err != nil {
		return x.wrap(err)
	}
	x.used += memSize(&lb)
	x.state = s
	x.adopt()
	return nil
}

// assemble puts the pieces of a batch together; it returns nil until the last one. Pieces of a batch that was never finished are dropped.
func (x *Index) assemble(p []byte) ([]byte, error) {
	if len(p) < pieceHeader {
		return nil, x.damaged("a batch in the journal", errValue)
	}
	i, of, piece := be.Uint16(p[8:]), be.Uint16(p[10:]), p[pieceHeader:]
	if i >= of {
		return nil, x.damaged("a batch in the journal", errValue)
	}
	if i == 0 {
		x.pieces = x.pieces[:0]
	} else if len(x.pieces) == 0 {
		return nil, x.damaged("a batch in the journal", errors.New("its first part is missing"))
	}
	if x.pieces = append(x.pieces, piece...); i+1 < of {
		return nil, nil
	}
	whole := x.pieces
	x.pieces = nil
	return whole, nil
}
