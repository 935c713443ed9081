package engine

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/cloudcoin/cloudcoin/crypto/keychain"
	"github.com/cloudcoin/cloudcoin/sync/index"
	"github.com/cloudcoin/cloudcoin/sync/model"
	"github.com/cloudcoin/cloudcoin/sync/oplog"
	"github.com/cloudcoin/cloudcoin/sync/transfer"
)

// Files is the tree, as far as the engine needs it (fs/vfs). Its methods may wait for a file's lock, never for the network.
type Files interface {
	// Freeze makes the present content of ino a version that doesn't change any more. ready is false, without force, when
	// the file isn't at rest.
	Freeze(ctx context.Context, ino model.Ino, force bool) (ready bool, err error)
	// Content runs fn while nothing changes the inode record or the content of ino. fn doesn't call into Files.
	Content(ino model.Ino, fn func() error) error
}

// Contents is the local content of files (fs/stage).
type Contents interface {
	// Snapshot opens one version for reading, over the stored content as of revision base (0: nothing). Later writes don't change it.
	Snapshot(ino model.Ino, version uint64, base model.Rev) (Snapshot, error)
	// Stored tells that everything up to version can be read from the extents as of rev: it is cache from now on.
	Stored(ino model.Ino, version uint64, rev model.Rev) error
}

// Snapshot is one version of a file's content. Used by one goroutine.
type Snapshot interface {
	ReadAt(ctx context.Context, p []byte, off int64) (int, error) // io.EOF at Size
	Size() int64
	// DirtyRanges calls fn for each run of bytes that may differ from the base, in order.
	DirtyRanges(fn func(off, n int64) bool) error
	// NextData and NextHole find runs of data and holes in the version, as SEEK_DATA and SEEK_HOLE do; Size when there is none.
	NextData(off int64) (int64, error)
	NextHole(off int64) (int64, error)
	Close() error
}

// Config is what an engine stands on. Index, Pool, Keys, Files, Contents and Device must be set.
type Config struct {
	Index    *index.Index
	Pool     *transfer.Pool
	Keys     *keychain.Keychain
	Device   model.DeviceID
	Files    Files
	Contents Contents

	Clock  transfer.Clock // nil: the system's
	Rand   io.Reader      // pack ids; nil: crypto/rand
	Logger *slog.Logger   // nil: silent

	// Book gives the leases as they are to be written into the lease book; nil: no book is kept.
	Book func() []oplog.BookLease
	// ReadOnly is called once when a foreign newer head was seen: nothing is published from then on, and the tree must refuse changes.
	ReadOnly func(reason string)
	// NewDevice is called when this HOME is a copy or was restored: it makes and durably notes a new device id. The inode part follows
	// at the next start at the latest; the tree must not make inodes of the old part after it returns.
	NewDevice func(ctx context.Context) (model.DeviceID, error)
	// Coding overrides the choice of k and m, for tests; nil: placement.Coding.
	Coding func(held, live int) (k, m int, ok bool)

	UploadLimit int64         // bytes a second that are sent; 0: no limit
	RepairLimit int64         // bytes a second that repair reads and sends; 0: 32 MiB
	Resting     time.Duration // how long Freeze wants files to be left alone: younger ones aren't asked for; 0: all are
	Freezing    time.Duration // a file that never rests is frozen this often; 0: five minutes
	Publishing  time.Duration // heads are published at most this often; 0: one second
	Patience    time.Duration // how long a silent provider is waited for before its shards are rebuilt elsewhere; 0: one hour
	Audit       time.Duration // how often every shard is asked for; 0: six hours
}
