// Package journal is the one truth of a drive's local state: a sequence of checksummed records in segment files.
//
// Everything that changes a drive is a record here before it is anything else; sync/index and fs/stage are indexes over it
// that may lag behind on disk and are brought up by Replay at start.
//
// A position in the journal is an LSN: the number of bytes of records before it. Append gives a record the next position
// and hands it to the operating system, so it survives the death of the process; Sync makes everything up to a position
// survive a power cut, with one fdatasync for all who wait at that moment (group commit), while others go on appending.
// Checkpoint says from where the next Replay has to start; segments wholly before that are recycled (renamed to be the
// segment after the next), so that a sync overwrites blocks that exist already and the filesystem's own journal stays out
// of it. A segment that somebody pinned keeps its place: others read bodies out of it by Ref for as long as they like.
//
// What a power cut leaves behind the highest durable position (a torn tail) ends the replay quietly. A record before that
// which isn't what was written is damage: a *DamageError, never a shorter or another answer. Each record carries its own
// position, the durable position as it was known when it was written, and the number of the session that wrote it; so the
// leftovers of recycled segments and of earlier torn tails are told from records that count.
//
// A full disk makes Append return an error that wraps ENOSPC; nothing was appended then, and a later Append may succeed. After a
// failed fdatasync nothing is known about what the disk holds: every later Append and Sync returns ErrFailed.
//
// A Journal is safe for concurrent use, but for Replay, which comes before everything else. It locks no files: who owns the folder sees to it
// that no other process uses it.
package journal

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// LSN is the position of a record: the number of bytes of journal before it, over all segments ever. It only grows.
type LSN uint64

// Kind tells whose record it is. Kinds 1 to 63 are the index's, 64 to 127 the stage's, 128 and more the journal's own.
type Kind uint8

// FirstStageKind is the lowest kind that belongs to the stage; every lower one is the index's.
const FirstStageKind Kind = 64

const (
	firstOwnKind Kind = 128
	kindSession  Kind = 255 // the first record of a session: boot id, mount id
	kindMark     Kind = 254 // an empty record that carries a durable position
)

// MaxBody is the longest body of one record in bytes.
const MaxBody = 1<<20 + 64<<10

const (
	defaultSegmentSize = 64 << 20
	minSegmentSize     = 16 << 10
	markDelay          = 250 * time.Millisecond
)

// ErrGone is returned by ReadAt and Verify when the segment of the record isn't there any more.
var ErrGone = errors.New("journal: the segment of this record was recycled")

// ErrFailed is returned by Append and Sync after an fdatasync failed: what the disk holds is then unknown until the journal is opened anew.
var ErrFailed = errors.New("journal: an earlier sync failed; restart the drive to go on from what is on disk")

// ErrClosed is returned by every method after Close.
var ErrClosed = errors.New("journal: closed")

// ErrNotReplayed is returned by Append before Replay has ended well.
var ErrNotReplayed = errors.New("journal: Replay comes before the first Append")

// ErrTooLong is returned by Append for a body that is longer than MaxBody or than a segment.
var ErrTooLong = errors.New("journal: record too long")

// Options of Open. The zero value is fit for use.
type Options struct {
	SegmentSize int64        // bytes of a new segment file, at least 16 KiB; 0: 64 MiB
	Logger      *slog.Logger // nil: silent
	BootID      string       // names this boot of the machine; "": what the operating system says
}

// Ref says where the body of a record is.
type Ref struct {
	Segment uint64
	Off     int64 // of the body inside the segment
	Len     int64
	LSN     LSN // position after the record: Sync(ctx, ref.LSN) makes it durable
}

// Record is one record as Replay shows it.
type Record struct {
	Kind Kind
	LSN  LSN // position after the record
	Ref  Ref
	Body []byte // valid during the call only
	// SameBoot is true when the record was written under this boot of the machine and this mount of the filesystem: all that its
	// writer had handed to the operating system by then is still there, synced or not.
	SameBoot bool
}

// Segment describes one segment file that holds records.
type Segment struct {
	Number uint64
	First  LSN   // position of its first record
	Bytes  int64 // of records in it
	Pinned bool
}

// DamageError is returned when local bytes that were durable are not what was written.
type DamageError struct {
	File string
	Off  int64
	Why  string
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("%s is damaged at byte %d: %s", e.File, e.Off, e.Why)
}

// Journal is safe for concurrent use.
type Journal struct {
	dir string
	opt Options
	log *slog.Logger

	// Set by Open, constant afterwards.
	me       session // this session
	sameBoot bool
	found    *scanResult // what Open found, until Replay
	started  LSN         // records from here on were written by this session
	datasync func(*os.File) error

	durable atomic.Uint64
	end     atomic.Uint64

	// mu guards the fields below it. It is held for an Append, never for an fdatasync.
	mu        sync.Mutex
	ready     bool // Replay has ended
	closed    bool
	failed    error
	cur       *segment
	segs      map[uint64]*segment // in use, cur included
	spares    []uint64            // numbers of prepared files, ascending; all above cur
	preparing bool
	prepared  chan struct{} // closed when the preparation under way has ended
	unsynced  []*segment    // with records that aren't durable, oldest first
	cpLSN     LSN
	cpSeg     uint64 // segment that holds it
	prepareAt int64  // offset in cur from which the next segment is prepared
	recycles  bool   // Checkpoint was called in this session: pins are known
	headSeg   uint64 // newest segment that the head speaks of; written by flush only
	buf       []byte
	marked    LSN // highest durable position that a record carries
	mark      *time.Timer

	sy      syncState
	headMu  sync.Mutex // one writer of the head file at a time
	handles handles
	checked checkedSet
	wg      sync.WaitGroup
}

// Durable is the position up to which everything survives a power cut.
func (j *Journal) Durable() LSN { return LSN(j.durable.Load()) }

// End is the position after the last record.
func (j *Journal) End() LSN { return LSN(j.end.Load()) }

// SameBoot tells whether the newest records before Open were written under this boot of the machine and this mount of the
// filesystem, so that everything which the process before this one handed to the operating system is still there.
func (j *Journal) SameBoot() bool { return j.sameBoot }

// Close makes everything durable, notes it, and ends the use of the files.
func (j *Journal) Close() error {
	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		return nil
	}
	ready, failed := j.ready, j.failed
	j.mu.Unlock()
	var err error
	if ready && failed == nil {
		err = j.closeTidily()
	}
	j.mu.Lock()
	j.closed = true
	if j.mark != nil && j.mark.Stop() {
		j.wg.Done()
	}
	j.mu.Unlock()
	j.wg.Wait()
	j.handles.closeAll()
	if j.cur != nil {
		err = errors.Join(err, j.cur.f.Close())
	}
	for _, s := range j.unsynced {
		if s != j.cur && s.f != nil {
			err = errors.Join(err, s.f.Close())
		}
	}
	return err
}

func (j *Journal) path(name string) string { return j.dir + string(os.PathSeparator) + name }

// usable is nil while records can be appended. mu is held.
func (j *Journal) usable() error {
	switch {
	case j.closed:
		return ErrClosed
	case j.failed != nil:
		return j.failed
	case !j.ready:
		return ErrNotReplayed
	}
	return nil
}
