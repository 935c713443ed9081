package stage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"sync"

	"github.com/cloudcoin/cloudcoin/sync/journal"
)

// A file of sums lies beside each layer file and has an entry for each of its blocks, at sumLen times the block's number: the CRC-32C of the block,
// and a check by which a damaged entry is told from a damaged block. An entry of zeros knows nothing, and neither does a damaged one: the block is believed,
// and its entry made anew.
//
// Who overwrites a block makes its entry unknown first, then writes the block, then the entry: the death of the process leaves no entry that contradicts
// its block. Of what a power cut leaves of a layer that was being written nothing is known: see Stage.forgetSums.
const (
	sumsSuffix = ".sum"
	sumLen     = 8
	sumsAtOnce = 512 // entries that are read or written at once
)

// sumFile is the open file of sums of one layer.
type sumFile struct {
	f        *os.File
	readOnly bool // Salvage changes nothing
	unsynced bool // written since it was last synced
}

var sumBufs = sync.Pool{New: func() any { return new([sumsAtOnce * sumLen]byte) }}

// badBlock says that a block of a layer file isn't what was written there.
type badBlock struct {
	journal.DamageError
	l *layer
}

func (e *badBlock) Unwrap() error { return &e.DamageError }

// salvageSums opens the sums of a damaged folder, as far as they can be opened, without changing anything. Trusted ones make errors of blocks that they
// contradict. Others may only be of another moment than the block when the power was cut: then the bytes are given as they are, and it is told.
func (l *layer) salvageSums(trusted bool) (why []string) {
	f, err := os.Open(l.path + sumsSuffix)
	if err != nil {
		return nil // nothing is known
	}
	l.sums = sumFile{f: f, readOnly: true}
	if trusted {
		return nil
	}
	from, to := int64(0), int64(0)
	tell := func() {
		if from < to {
			why = append(why, fmt.Sprintf("%s: the bytes from %d to %d contradict their checksums: they are damaged, or the power was cut while they were written; they are saved as they are",
				l.path, from*BlockSize, to*BlockSize))
		}
	}
	buf := make([]byte, BlockSize)
	var bad *badBlock
	l.dataRuns(&l.present, func(a, b int64) bool {
		for ; a < b; a++ {
			if err := l.readBlocks(buf, a*BlockSize); !errors.As(err, &bad) {
				continue // what can't be read is told when it is read
			}
			if a != to {
				tell()
				from = a
			}
			to = a + 1
		}
		return true
	})
	tell()
	if err := f.Close(); err != nil {
		why = append(why, err.Error())
	}
	l.sums.f = nil
	return why
}

// putSum writes the entry of block b.
func putSum(entry []byte, sum uint32, b int64) {
	binary.LittleEndian.PutUint32(entry, sum)
	binary.LittleEndian.PutUint32(entry[4:], sumCheck(entry, b))
}

// sumCheck is the CRC-32C of an entry's sum and of the block's number.
func sumCheck(entry []byte, b int64) uint32 {
	var no [8]byte
	binary.LittleEndian.PutUint64(no[:], uint64(b))
	return crc32.Update(crc32.Checksum(entry[:4], castagnoli), castagnoli, no[:])
}

// getSum reads an entry of block b. known is false when it says nothing, and sound is false when it was damaged.
func getSum(entry []byte, b int64) (sum uint32, known, sound bool) {
	sum = binary.LittleEndian.Uint32(entry)
	check := binary.LittleEndian.Uint32(entry[4:])
	if sum == 0 && check == 0 {
		return 0, false, true
	}
	sound = check == sumCheck(entry, b)
	return sum, sound, sound
}

// openSums opens the file of sums of a layer whose file is open. When the one that was there is lost, that is told: the content itself isn't harmed.
func (l *layer) openSums() error {
	if l.sums.f != nil {
		return nil
	}
	f, err := os.OpenFile(l.path+sumsSuffix, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("open checksums of layer: %w", err)
	}
	st, err := f.Stat()
	if want := (l.lastData() + 1) * sumLen; err == nil && st.Size() < want {
		if l.summed {
			l.log.Warn("checksums of local content were lost and are made anew; the content is there", "file", f.Name(), "bytes", st.Size(), "should be", want)
		}
		err = f.Truncate(want)
		l.sums.unsynced = true
	}
	if err != nil {
		return errors.Join(fmt.Errorf("open checksums of layer: %w", err), f.Close())
	}
	l.sums.f, l.summed = f, true
	return nil
}

// put writes whole blocks to the layer's file, from block b on, and their sums. Both files are open. After an error the blocks are old or new,
// and of those that were there before nothing is known.
func (l *layer) put(p []byte, b int64) error {
	n := int64(len(p)) / BlockSize
	if n == 0 {
		return nil
	}
	l.sums.unsynced = true
	if l.present.next(b, b+n, true) < b+n {
		if err := l.writeSums(nil, b, n); err != nil {
			return err
		}
	}
	if _, err := l.f.WriteAt(p, b*BlockSize); err != nil {
		return fmt.Errorf("write layer: %w", err)
	}
	return l.writeSums(p, b, n)
}

// writeSums writes the entries of n blocks: the sums of p, or with nil that nothing is known.
func (l *layer) writeSums(p []byte, b, n int64) error {
	buf := sumBufs.Get().(*[sumsAtOnce * sumLen]byte)
	defer sumBufs.Put(buf)
	for n > 0 {
		k := min(n, sumsAtOnce)
		if p == nil {
			clear(buf[:k*sumLen])
		} else {
			for i := range k {
				putSum(buf[i*sumLen:], crc32.Checksum(p[i*BlockSize:(i+1)*BlockSize], castagnoli), b+i)
			}
			p = p[k*BlockSize:]
		}
		if _, err := l.sums.f.WriteAt(buf[:k*sumLen], b*sumLen); err != nil {
			return fmt.Errorf("write checksums of layer: %w", err)
		}
		b, n = b+k, n-k
	}
	return nil
}

// verify compares whole blocks that were read, from block b on, with their sums. What is unknown becomes known. The caller holds the node's lock, if only for
// reading: nobody changes the blocks meanwhile.
func (l *layer) verify(p []byte, b int64) error {
	if l.sums.f == nil {
		return nil
	}
	buf := sumBufs.Get().(*[sumsAtOnce * sumLen]byte)
	defer sumBufs.Put(buf)
	for len(p) > 0 {
		k := min(int64(len(p))/BlockSize, sumsAtOnce)
		entries := buf[:k*sumLen]
		if got, err := l.sums.f.ReadAt(entries, b*sumLen); err != nil {
			if err != io.EOF {
				l.log.Warn("checksums of local content can't be read", "file", l.sums.f.Name(), "error", err)
			}
			clear(entries[got:])
		}
		if err := l.compare(p, entries, b); err != nil {
			return err
		}
		p, b = p[k*BlockSize:], b+k
	}
	return nil
}

// compare compares blocks with their entries.
func (l *layer) compare(p, entries []byte, b int64) error {
	learned := false
	for i := range int64(len(entries) / sumLen) {
		entry := entries[i*sumLen:]
		sum := crc32.Checksum(p[i*BlockSize:(i+1)*BlockSize], castagnoli)
		want, known, sound := getSum(entry, b+i)
		if known && want != sum {
			return &badBlock{journal.DamageError{
				File: l.path, Off: (b + i) * BlockSize,
				Why: fmt.Sprintf("the block has the checksum %08x, what was written had %08x", sum, want),
			}, l}
		}
		if !sound {
			l.log.Warn("a checksum of local content is damaged and made anew; the content itself can't be checked", "file", l.path+sumsSuffix, "block", b+i)
		}
		if !known {
			putSum(entry, sum, b+i)
			learned = true
		}
	}
	if learned && !l.sums.readOnly {
		if _, err := l.sums.f.WriteAt(entries, b*sumLen); err != nil {
			l.log.Warn("checksums of local content are not made anew", "file", l.path+sumsSuffix, "error", err)
		}
	}
	return nil
}

// forgetSums makes all that is known of a layer's blocks unknown: after a power cut, of a layer that may have been written shortly before it.
func (l *layer) forgetSums() error {
	name := l.path + sumsSuffix
	size := (l.lastData() + 1) * sumLen
	err := os.Truncate(name, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = os.Truncate(name, size)
	}
	if err != nil {
		return fmt.Errorf("forget checksums of layer: %w", err)
	}
	l.sums.unsynced = true
	return nil
}

// forgetSums is called before anything is written after replay. Unless the page cache survived, or everything was synced at the end, sums and blocks of dirty
// layers may be of different moments. Layers that were final and synced keep their sums; clean ones too, because they are fetched again when in doubt.
func (s *Stage) forgetSums() error {
	if s.closedWell || s.j.SameBoot() {
		return nil
	}
	var failed error
	err := s.eachDirty(func(n *node) bool {
		for _, l := range n.layers {
			if l.inline || l.clean || l.sealed {
				continue
			}
			if failed = l.forgetSums(); failed != nil {
				return false
			}
			n.changed = true
		}
		return true
	})
	return errors.Join(err, failed)
}

// refetch gives all that is clean up because a block of it is damaged: the base stands in. False when that can't be. The caller holds the node's lock.
func (n *node) refetch(err error) bool {
	var bad *badBlock
	if !errors.As(err, &bad) {
		return false
	}
	if n.byID(bad.l.id) != bad.l {
		return true // somebody did it meanwhile
	}
	if !bad.l.clean || n.detached {
		return false
	}
	if n.opens > 0 && n.newBase() != nil {
		return false
	}
	for p := range n.snapshots {
		if p.base == nil {
			return false
		}
	}
	if _, rerr := n.record(kindEvict, header{ino: n.ino}, false); rerr != nil {
		return false
	}
	n.s.log.Warn("cached content is damaged and fetched again", "inode", uint64(n.ino), "error", err)
	for p := range n.snapshots {
		p.dropClean()
	}
	n.discardClean()
	return true
}
