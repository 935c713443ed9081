// Package shardstore keeps the bytes that renters entrust to a provider: shards and slots, each lease in a namespace of its own.
// It is the only package that knows where bytes lie. It knows nothing of quotas, tokens or prices (provider/ledger,
// provider/fileserver); provider/vault joins it with the ledger and is its only caller in the program.
//
// # Implementations
//
// Folder keeps files on a local disk, Memory keeps them in memory. One conformance suite (suite_test.go) runs over both, and
// tests inject faults by embedding the interface.
//
// # What survives
//
// A shard whose Commit returned nil, and a slot whose PutSlot returned nil, survives a crash and a power cut. A shard that was
// not committed leaves nothing that can be seen; its temporary file is removed at the next start. The store neither computes nor checks ids:
// who writes does that before Commit.
//
// # Concurrency
//
// All methods are safe for concurrent use. An open shard stays readable when it is deleted or replaced.
package shardstore

import (
	"errors"
	"io"

	"github.com/cloudcoin/cloudcoin/provider/ids"
)

var (
	// ErrNotFound is returned when the lease holds no such shard or slot.
	ErrNotFound = errors.New("not in the store")
	// ErrFull is returned when the disk has no room; nothing half-written stays behind.
	ErrFull = errors.New("the disk is full")
	// ErrDamaged is returned for a slot whose stored bytes don't match their checksum.
	ErrDamaged = errors.New("stored bytes are damaged")
)

// MaxSlot bounds the bytes of a slot's value.
const MaxSlot = 73 + 64<<10

// Store holds shards and slots.
type Store interface {
	// Create begins a shard. The caller ends it by Commit or Abort.
	Create(lease ids.Lease, id ids.Shard) (Writer, error)
	// Open opens a committed shard for reading. ErrNotFound.
	Open(lease ids.Lease, id ids.Shard) (Shard, error)
	// Stat returns the length of a committed shard in bytes. ErrNotFound.
	Stat(lease ids.Lease, id ids.Shard) (int64, error)
	// Delete removes shards durably; absent ones are no error.
	Delete(lease ids.Lease, shards []ids.Shard) error
	// SetAside takes a damaged shard out of the namespace, durably, keeping its bytes for the operator to look at. ErrNotFound.
	SetAside(lease ids.Lease, id ids.Shard) error
	// List returns at most limit shards above after, in ascending order. A shard that is put or deleted meanwhile may be in it or not.
	List(lease ids.Lease, after *ids.Shard, limit int) ([]Entry, error)
	// Leases names the leases that hold anything, in no order.
	Leases() ([]ids.Lease, error)
	// DropLease removes all shards and slots of a lease, durably. After a crash in the middle it is called again.
	DropLease(lease ids.Lease) error

	// PutSlot replaces a slot's value, atomically and durably. The name is 1 to 64 bytes, the value at most MaxSlot.
	PutSlot(lease ids.Lease, name string, value []byte) error
	// Slot returns a slot's value. ErrNotFound, ErrDamaged.
	Slot(lease ids.Lease, name string) ([]byte, error)
	// Slots names the slots of a lease in ascending order.
	Slots(lease ids.Lease) ([]string, error)

	// Room returns the bytes that can still be written and the size of the disk, in bytes.
	Room() (free, total int64, err error)
	// Close ends the use of the store. Writers that are still open are aborted by their owners.
	Close() error
}

// Writer writes one shard. Not safe for concurrent use.
type Writer interface {
	io.Writer
	// Sync makes the bytes written so far durable, under no name yet.
	Sync() error
	// Commit gives the shard its name, replacing an older one, and returns when both are durable. Sync has been called after the last Write.
	Commit() error
	// Publish gives the shard its name at once and returns when both are durable: one flush less than Sync and Commit, but after a power cut in the middle the
	// name may stand over incomplete bytes. For callers that recognise this at the next start; never over a shard that is there. After an error it is
	// not known whether the name stands.
	Publish() error
	// Abort drops what was written. After Commit or Publish it does nothing.
	Abort() error
}

// Shard is an open shard. Folder's is an *os.File, so that whole files and ranges can be sent by the kernel.
type Shard interface {
	io.ReadSeekCloser
	io.ReaderAt
}

// Entry is one shard in a listing.
type Entry struct {
	ID   ids.Shard
	Size int64 // bytes
}
