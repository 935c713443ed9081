// Package journal is the one truth of a drive's local state: a sequence of checksummed records in segment files.
package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
)

// LSN is the position of a record: the number of bytes of journal before it, over all segments ever. It only grows.
type LSN uint64

// Kind tells whose record it is. Kinds 1 to 63 are the index's, 64 to 127 the stage's.
type Kind uint8

// FirstStageKind is the lowest kind that belongs to the stage; every lower one is the index's.
const FirstStageKind Kind = 64

// MaxBody is the longest body of one record in bytes.
const MaxBody = 1<<20 + 64<<10

// ErrGone is returned by ReadAt and Verify when the segment of the record isn't there any more.
var ErrGone = errors.New("journal: the segment of this record was recycled")

// Options of Open. The zero value is fit for use.
type Options struct {
	SegmentSize int64        // bytes of a segment file; 0: 64 MiB
	Logger      *slog.Logger // nil: silent
	BootID      string       // "": what the operating system says
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
}

// Segment describes one segment file.
type Segment struct {
	Number uint64
	Bytes  int64 // used
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
type Journal struct{}

func Open(dir string, opt Options) (*Journal, error)              { panic("being built") }
func (j *Journal) Replay(fn func(Record) error) error             { panic("being built") }
func (j *Journal) Append(kind Kind, parts ...[]byte) (Ref, error) { panic("being built") }
func (j *Journal) Sync(ctx context.Context, upTo LSN) error       { panic("being built") }
func (j *Journal) Durable() LSN                                   { panic("being built") }
func (j *Journal) End() LSN                                       { panic("being built") }
func (j *Journal) ReadAt(p []byte, ref Ref, off int64) error      { panic("being built") }
func (j *Journal) Verify(ref Ref) error                           { panic("being built") }
func (j *Journal) Checkpoint(lsn LSN) error                       { panic("being built") }
func (j *Journal) Pin(seg uint64)                                 { panic("being built") }
func (j *Journal) Unpin(seg uint64)                               { panic("being built") }
func (j *Journal) Segments() []Segment                            { panic("being built") }
func (j *Journal) SameBoot() bool                                 { panic("being built") }
func (j *Journal) Close() error                                   { panic("being built") }
