package ledger

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/cloudcoin/cloudcoin/provider/internal/durable"
	"github.com/cloudcoin/cloudcoin/provider/internal/group"
)

const (
	logName    = "ledger.log"
	logMagic   = "cloudcoin ledger v1\n"
	headerSize = 4 + 4 + 8
	maxRecord  = 256 << 10
	growBy     = 1 << 20 // zeros are written ahead in steps of this many bytes, so that a sync needn't change the file's length
	spare      = 64 << 10
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// DamageError is returned when the log holds a bad record before a position that was durable: the disk changed what was written.
type DamageError struct {
	File string
	Off  int64
	Why  string
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("the ledger %s is damaged at byte %d (%s): the disk returned other bytes than were written; bring the file back from a backup", e.File, e.Off, e.Why)
}

// logFile is the append-only file. append is called under the ledger's lock; sync by anybody.
type logFile struct {
	file    *os.File
	size    int64 // bytes of the file, zeros behind the end included
	end     atomic.Int64
	durable atomic.Int64
	failed  atomic.Bool
	retired atomic.Bool // another file, synced, has taken over everything
	group   group.Call
}

// A record: length of the body (4, big-endian), CRC-32C of what follows (4), a position up to which the file was durable when this was written (8), body.
func appendRecord(b []byte, upTo int64, body []byte) []byte {
	start := len(b)
	b = binary.BigEndian.AppendUint32(b, uint32(len(body)))
	b = append(b, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint64(b, uint64(upTo))
	b = append(b, body...)
	binary.BigEndian.PutUint32(b[start+4:], crc32.Checksum(b[start+8:], castagnoli))
	return b
}

// writeLog writes a whole log with the given bodies and puts it at path, durably.
func writeLog(path string, bodies [][]byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), logName+".*.new")
	if err != nil {
		return fmt.Errorf("write ledger: %w", err)
	}
	b := []byte(logMagic)
	for _, body := range bodies {
		b = appendRecord(b, 0, body)
	}
	b = appendRecord(b, int64(len(b)), encodeMark()) // true, since the file gets its name after it was synced
	_, err = f.Write(append(b, make([]byte, growBy)...))
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write ledger: %w", errors.Join(err, os.Remove(f.Name())))
	}
	return durable.Dir(filepath.Dir(path))
}

// openLog reads the log at path, gives every record's body to apply, and opens it for appending.
func openLog(path string, apply func(body []byte) error) (*logFile, error) {
	old, err := filepath.Glob(filepath.Join(filepath.Dir(path), logName+".*.new"))
	if err != nil {
		return nil, err
	}
	for _, name := range old {
		if err := os.Remove(name); err != nil {
			return nil, err
		}
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	l := &logFile{file: f}
	if err := l.read(path, apply); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return l, nil
}

// read replays the file and finds its end.
func (l *logFile) read(path string, apply func(body []byte) error) error {
	b, err := io.ReadAll(l.file)
	if err != nil {
		return err
	}
	if len(b) < len(logMagic) || string(b[:len(logMagic)]) != logMagic {
		return &DamageError{path, 0, "it doesn't begin as a ledger"}
	}
	pos, why := len(logMagic), ""
	var known int64 // the highest position that any record calls durable
	for why == "" {
		var body []byte
		var d int64
		if body, d, why = parseRecord(b[pos:]); why != "" {
			break
		}
		if err := apply(body); err != nil {
			return &DamageError{path, int64(pos), err.Error()}
		}
		known = max(known, d)
		pos += headerSize + len(body)
	}
	if later := highestDurable(b[pos:]); max(later, known) > int64(pos) {
		return &DamageError{path, int64(pos), why}
	}
	// What lies behind the end is a torn tail: it is cleared, so that it can't look like records later.
	if err := l.clear(b, pos); err != nil {
		return err
	}
	l.size = int64(len(b))
	l.end.Store(int64(pos))
	l.durable.Store(int64(pos))
	return nil
}

// clear overwrites everything from pos on by zeros, durably, if it isn't zero already.
func (l *logFile) clear(b []byte, pos int) error {
	if len(bytes.TrimRight(b[pos:], "\x00")) > 0 {
		if _, err := l.file.WriteAt(make([]byte, len(b)-pos), int64(pos)); err != nil {
			return err
		}
	}
	return l.file.Sync()
}

// parseRecord reads the record at the start of b; why is not empty when there is none.
func parseRecord(b []byte) (body []byte, upTo int64, why string) {
	if len(b) < headerSize {
		return nil, 0, "the file ends"
	}
	n := binary.BigEndian.Uint32(b)
	switch {
	case n == 0:
		return nil, 0, "no record"
	case n > maxRecord || int(n) > len(b)-headerSize:
		return nil, 0, "a length is wrong"
	case crc32.Checksum(b[8:headerSize+n], castagnoli) != binary.BigEndian.Uint32(b[4:]):
		return nil, 0, "a checksum doesn't match"
	}
	return b[headerSize : headerSize+n], int64(binary.BigEndian.Uint64(b[8:])), ""
}

// highestDurable looks for whole records behind a bad one, at any offset, and returns the highest position that they call durable.
func highestDurable(b []byte) int64 {
	var high int64
	written := len(bytes.TrimRight(b, "\x00")) // a record may end in zeros, but begins before the last other byte
	for i := 0; i < written && i+headerSize <= len(b); i++ {
		if b[i] != 0 || b[i+1] > maxRecord>>16 { // the first byte of a length is always zero
			continue
		}
		if body, d, why := parseRecord(b[i:]); why == "" {
			high = max(high, d)
			i += headerSize + len(body) - 1
		}
	}
	return high
}

// append writes one record behind the end. A full disk leaves the log as it was.
func (l *logFile) append(body []byte, keepSpare bool) error {
	if l.failed.Load() {
		return ErrFailed
	}
	rec := appendRecord(nil, l.durable.Load(), body)
	if len(body) > maxRecord {
		return fmt.Errorf("a ledger record of %d bytes is too long", len(body))
	}
	end := l.end.Load()
	want := end + int64(len(rec))
	if keepSpare {
		want += spare
	}
	if want > l.size {
		if err := l.grow(); err != nil {
			return err
		}
	}
	if _, err := l.file.WriteAt(rec, end); err != nil {
		l.failed.Store(true)
		return fmt.Errorf("%w: %w", ErrFailed, err)
	}
	l.end.Store(end + int64(len(rec)))
	return nil
}

// grow writes zeros behind the file. What a full disk cut off of them is taken back.
func (l *logFile) grow() error {
	if _, err := l.file.WriteAt(make([]byte, growBy), l.size); err != nil {
		if terr := l.file.Truncate(l.size); terr != nil {
			l.failed.Store(true)
			return fmt.Errorf("%w: %w", ErrFailed, terr)
		}
		return fmt.Errorf("%w: %w", ErrNoRoom, err)
	}
	l.size += growBy
	return nil
}

// sync returns when everything appended before the call is durable. After a failed sync nothing is believed any more.
func (l *logFile) sync() error {
	end := l.end.Load()
	if l.durable.Load() >= end {
		return nil
	}
	if l.failed.Load() {
		return ErrFailed
	}
	return l.group.Do(func() error {
		upTo := l.end.Load()
		if l.durable.Load() >= upTo {
			return nil
		}
		if err := durable.Data(l.file); err != nil {
			if l.retired.Load() {
				return nil
			}
			l.failed.Store(true)
			return fmt.Errorf("%w: %w", ErrFailed, err)
		}
		l.durable.Store(max(upTo, l.durable.Load()))
		return nil
	})
}

// close makes everything durable, and known to be so, and ends the use of the file.
func (l *logFile) close() error {
	if l.failed.Load() {
		return l.file.Close()
	}
	err := l.sync()
	if err == nil {
		err = l.append(encodeMark(), false)
	}
	if err == nil {
		err = l.sync()
	}
	l.failed.Store(true) // nothing may be appended any more
	return errors.Join(err, l.file.Close())
}

// retire ends the use of the file after another one, which holds all that this one says, was made durable in its place.
// Whoever waits for a sync of this one is served.
func (l *logFile) retire() error {
	l.retired.Store(true)
	l.durable.Store(math.MaxInt64)
	return l.file.Close()
}
