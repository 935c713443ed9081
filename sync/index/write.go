package index

import (
	"fmt"

	"github.com/syndtr/goleveldb/leveldb"

	"github.com/cloudcoin/cloudcoin/sync/journal"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// commit writes the batch into the journal and into leveldb.
func (t *tx) commit() error {
	if t.lb.Len() == 0 {
		return nil
	}
	x := t.x
	t.next.n = x.state.n + 1
	x.buf = t.next.encodeBatch(x.buf[:0], t.lb.Dump())
	hash := hashBatch(x.buf)
	t.next.hash = hash
	if err := x.makeRoom(memSize(&t.lb) + 256); err != nil {
		return err
	}
	lsn, err := x.appendJournal(t.next.n, x.buf)
	if err != nil {
		return err
	}
	t.next.lsn = lsn
	t.lb.Put([]byte{pState}, t.next.encode())
	t.forgetCached()
	if err := x.db.Write(&t.lb, nil); err != nil {
		// The journal holds the batch, so it has happened; but this process can't show it any more.
		x.failed = fmt.Errorf("index: what was committed can't be shown, restart the drive (nothing is lost): %w", x.wrap(err))
		return x.failed
	}
	x.used += memSize(&t.lb)
	x.state = t.next
	x.adopt()
	t.setCached()
	if cap(x.buf) > 256<<10 {
		x.buf = nil
	}
	return nil
}

// appendJournal writes the bytes of a batch as one record, or as several when they are too long for one.
func (x *Index) appendJournal(n uint64, p []byte) (lsn journal.LSN, err error) {
	limit := int(x.j.Limit()) - pieceHeader
	of := max(1, (len(p)+limit-1)/limit)
	if of > 1<<16-1 {
		return 0, fmt.Errorf("index: a batch of %d bytes is too long", len(p))
	}
	var head [pieceHeader]byte
	for i := range of {
		piece := p[i*limit : min((i+1)*limit, len(p))]
		ref, err := x.j.Append(KindBatch, appendPiece(head[:0], n, i, of), piece)
		if err != nil {
			return 0, fmt.Errorf("index: %w", err)
		}
		lsn = ref.LSN
	}
	return lsn, nil
}

// memSize is the room that a batch takes in leveldb's memory table.
func memSize(b *leveldb.Batch) int {
	var c sizer
	if err := b.Replay(&c); err != nil {
		return len(b.Dump()) + 16*b.Len()
	}
	return int(c)
}

type sizer int

func (s *sizer) Put(k, v []byte) { *s += sizer(len(k) + len(v) + 8) }
func (s *sizer) Delete(k []byte) { *s += sizer(len(k) + 8) }

// makeRoom sees to it that leveldb's memory table takes n bytes more without being changed for a new one, because that can fail (a full disk) and
// must not fail after the journal has the batch. To that end a table that is nearly full is overfilled by a value without
// meaning, which makes leveldb begin a new one.
func (x *Index) makeRoom(n int) error {
	free := writeBuffer - x.used
	if n < free || x.used == 0 {
		return nil
	}
	pad := make([]byte, max(free, 0)+1)
	var b leveldb.Batch
	b.Put([]byte{pPad}, pad)
	if err := x.db.Write(&b, nil); err != nil {
		return x.wrap(err)
	}
	x.used = memSize(&b)
	return nil
}

// forgetCached takes what the batch changes out of the caches, before it is written.
func (t *tx) forgetCached() {
	for _, in := range t.inodes {
		if in.put != nil || in.moved || in.forget {
			t.x.inodes.forget(in.ino)
		}
	}
	for _, e := range t.dirents {
		if e.put != nil {
			t.x.dirents.forget(direntKey{e.old.Parent, e.old.Name})
		}
	}
}

// setCached puts the new records into the caches.
func (t *tx) setCached() {
	for _, in := range t.inodes {
		n := &in.old
		switch {
		case in.put != nil:
			n = in.put
		case in.forget:
			n = &model.Inode{}
		case !in.moved:
			continue
		}
		if cacheable(n) {
			t.x.inodes.set(in.ino, *n)
		}
	}
	for _, e := range t.dirents {
		if e.put != nil {
			t.x.dirents.set(direntKey{e.old.Parent, e.old.Name}, *e.put)
		}
	}
}
