package vfs

import (
	"context"
	"log/slog"
	"time"

	"github.com/cloudcoin/cloudcoin/fs/stage"
	"github.com/cloudcoin/cloudcoin/sync/index"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// Remote gives the stored content of a file (sync/fetch).
type Remote interface {
	// Base is the content of ino by its extents as of rev.
	Base(ino model.Ino, rev model.Rev) stage.Base
}

// Notify is the engine's ear. Its methods return at once and take no lock that is held while the engine calls into FS.
type Notify interface {
	Dirty(ino model.Ino) // there is a content to upload when it has come to rest
	Metadata()           // there are names or attributes to publish
}

// Kernel takes word of changes that the kernel didn't make itself. The adapter implements it. Its methods may block until the kernel
// has answered requests under way, so FS calls them without holding locks. Errors (nothing was cached, not mounted) are the adapter's to drop.
type Kernel interface {
	InvalEntry(parent NodeID, name string)
	InvalInode(node NodeID, off, n int64) // off < 0: attributes only; n <= 0: to the end
}

// Owner is the user that everything belongs to when it isn't root who mounts.
type Owner struct{ UID, GID uint32 }

// Config is what a tree stands on. Index, Stage, Remote and Clock must be set.
type Config struct {
	Index  *index.Index
	Stage  *stage.Stage
	Remote Remote
	Notify Notify           // nil: nobody listens
	Clock  func() time.Time // wall clock
	Logger *slog.Logger     // nil: discards
	// Report is called with a sentence for `status` when an operation panicked or local state contradicts itself.
	Report func(string)
	// Owner is who everything seems to belong to; nil (root mounts): the stored ids. Stored ids of existing files stay as they are.
	Owner *Owner
	// CheckAccess makes vfs check permission bits itself. A mount with default_permissions leaves it off: the kernel does.
	// Supplementary groups are not known here.
	CheckAccess bool
	// ReadOnly refuses every change with EROFS; see also SetReadOnly.
	ReadOnly bool
	// At shows the whole tree as of a revision, read-only; 0: now.
	At model.Rev
	// FsyncStored, when set, is called at the end of every fsync of a file and returns when the content is stored (mount --fsync stored).
	FsyncStored func(ctx context.Context, ino model.Ino) error
	// Space answers statfs; nil: what the stage takes.
	Space func() Space
	// Valid is how long the kernel may keep attributes and names; 0: an hour. Changes behind it are told to Kernel.
	Valid time.Duration
	// RestAfter is how long a closed file is left alone before its version counts as at rest; 0: two seconds.
	RestAfter time.Duration
}
