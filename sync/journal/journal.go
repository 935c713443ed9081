// Package journal is the one truth of a drive's local state: a sequence of checksummed records in segment files.
package journal

import "context"

// LSN is the position of a record: the number of bytes of journal before it, over all segments ever. It only grows.
type LSN uint64

// Kind tells whose record it is. Kinds below 64 are the index's, from 64 on the stage's.
type Kind uint8

// API sketch (the owner of the package replaces it, keeping these signatures):
//
//	type Options struct { SegmentSize int64 (64 MiB); Logger *slog.Logger }
//	func Open(dir string, opt Options) (*Journal, error)            // locks nothing; reads headers, finds the checkpoint and the end
//	func (j *Journal) Replay(fn func(Record) error) error           // from the checkpoint on; to be called once before Append; *DamageError
//	func (j *Journal) Append(kind Kind, head, body []byte) (Ref, error) // not durable yet; head and body are joined; ENOSPC is returned whole, nothing half-written counts
//	func (j *Journal) Sync(ctx context.Context, upTo LSN) error     // group commit: returns when everything up to upTo is durable
//	func (j *Journal) Durable() LSN ; func (j *Journal) End() LSN
//	func (j *Journal) ReadAt(p []byte, ref Ref, off int64) error    // body bytes of a record, verified lazily (ErrGone when its segment was recycled)
//	func (j *Journal) Checkpoint(lsn LSN) error                     // replay may start here from now on (durable when it returns)
//	func (j *Journal) Pin(seg uint64) / Unpin / Segments() []SegmentInfo / Drop(seg) error  // a pinned segment is never recycled
//	func (j *Journal) Close() error
//
// BeforeSync hooks let the stage flush layer files.
type Ref struct {
	Segment uint64
	Off     int64 // of the body inside the segment
	Len     int64
	LSN     LSN // position after the record: Sync(ctx, ref.LSN) makes it durable
}

// Journal is safe for concurrent use.
type Journal struct{}

// Sync returns when every record that ends at or before upTo is durable.
func (j *Journal) Sync(ctx context.Context, upTo LSN) error { panic("journal: being built") }
