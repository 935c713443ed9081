// Package index holds names, attributes, contents and the chunk catalogue of a drive, with every revision of each.
package index

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/cloudcoin/cloudcoin/sync/journal"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// ErrNotFound is returned when there is no such inode, name, attribute, pack or meta value as of the view's revision.
var ErrNotFound = errors.New("index: not found")

// Options of Open.
type Options struct {
	HashKey    [32]byte // keys the hashes of names
	DevicePart uint32   // upper part of the inode numbers that NextIno gives
	Clock      func() time.Time
	Logger     *slog.Logger
	Network    string // a HOME belongs to one network
}

// KeyKind tells what a Key names.
type KeyKind uint8

const (
	KeyInode KeyKind = iota + 1
	KeyDirent
	KeyXattr
	KeyExtents
	KeyPack
	KeyDropPack
)

// Key names one record that a group wrote.
type Key struct {
	Kind  KeyKind
	Ino   model.Ino // inode, xattr, extents; the parent of a dirent
	Name  string    // dirent, xattr
	Child model.Ino // dirent: the inode that the name got or lost
	Off   int64     // extents: entries from Off to End, both included, were written
	End   int64
	Pack  model.PackID
}

// Group is one batch that isn't published yet.
type Group struct {
	Rev  model.Rev
	Keys []Key
}

// Time is when the group was made.
func (g Group) Time() time.Time { return g.Rev.Time() }

// Stats counts the drive as it is now.
type Stats struct {
	Inodes      int64 // inodes with at least one link
	Files       int64 // regular ones among them
	Bytes       int64 // their sizes
	StagedFiles int64 // files whose newest content is staged
	StagedBytes int64
	Packs       int64
	Chunks      int64
	Outbox      int64 // groups
}

type Index struct{}

func Open(dir string, j *journal.Journal, opt Options) (*Index, error)       { panic("being built") }
func (x *Index) ReplayRecord(r journal.Record) error                         { panic("being built") }
func (x *Index) Ready() error                                                { panic("being built") }
func (x *Index) Close() error                                                { panic("being built") }
func (x *Index) Now() *View                                                  { panic("being built") }
func (x *Index) At(rev model.Rev) *View                                      { panic("being built") }
func (x *Index) NextIno() (model.Ino, error)                                 { panic("being built") }
func (x *Index) LastRev() model.Rev                                          { panic("being built") }
func (x *Index) Begin() *Batch                                               { panic("being built") }
func (x *Index) Sync(ctx context.Context) error                              { panic("being built") }
func (x *Index) Checkpoint() (journal.LSN, error)                            { panic("being built") }
func (x *Index) Chunk(id model.ChunkID) (model.Chunk, bool, error)           { panic("being built") }
func (x *Index) Pack(id model.PackID) (model.Pack, error)                    { panic("being built") }
func (x *Index) Packs(after model.PackID, fn func(model.Pack) bool) error    { panic("being built") }
func (x *Index) PackChunks(id model.PackID, fn func(model.Chunk) bool) error { panic("being built") }
func (x *Index) Staged(fn func(ino model.Ino, rev model.Rev, version uint64) bool) error {
	panic("being built")
}
func (x *Index) Outbox(after model.Rev, fn func(Group) bool) error        { panic("being built") }
func (x *Index) Records(g Group) ([]model.Record, error)                  { panic("being built") }
func (x *Index) InodeRevs(ino model.Ino, fn func(model.Inode) bool) error { panic("being built") }
func (x *Index) DirentRevs(parent model.Ino, name string, fn func(model.Dirent) bool) error {
	panic("being built")
}
func (x *Index) ReadDirAll(parent model.Ino, fn func(newest model.Dirent) bool) error {
	panic("being built")
}
func (x *Index) Stats() Stats                           { panic("being built") }
func (x *Index) Meta(key string) ([]byte, error)        { panic("being built") }
func (x *Index) Dump(fn func(model.Record) error) error { panic("being built") }

// Retention tells whether the revision of an inode or name that was the current one from rev until next is kept.
type Retention func(rev, next model.Rev) bool

// Pruned says what Prune removed.
type Pruned struct{ Inodes, Dirents, Xattrs, Extents int64 }

func (x *Index) Prune(ctx context.Context, keep Retention, dryRun bool) (Pruned, error) {
	panic("being built")
}
func (x *Index) LiveChunks(ctx context.Context, fn func(c model.Chunk, live bool) error) error {
	panic("being built")
}

// View is the drive as of a revision.
type View struct{}

func (v *View) Rev() model.Rev                                             { panic("being built") }
func (v *View) Inode(ino model.Ino) (model.Inode, error)                   { panic("being built") }
func (v *View) Lookup(parent model.Ino, name string) (model.Dirent, error) { panic("being built") }
func (v *View) ReadDir(parent model.Ino, after uint64, fn func(model.Dirent) bool) error {
	panic("being built")
}
func (v *View) ReadDirPlus(parent model.Ino, after uint64, fn func(model.Dirent, model.Inode) bool) error {
	panic("being built")
}
func (v *View) IsEmpty(parent model.Ino) (bool, error)           { panic("being built") }
func (v *View) Xattr(ino model.Ino, name string) ([]byte, error) { panic("being built") }
func (v *View) Xattrs(ino model.Ino) ([]string, error)           { panic("being built") }
func (v *View) Extents(ino model.Ino, off, n int64, fn func(model.Extent) bool) error {
	panic("being built")
}
func (v *View) Path(ino model.Ino) (string, error) { panic("being built") }

// Batch is a set of changes that happen at once.
type Batch struct{}

func (b *Batch) PutInode(n *model.Inode) { panic("being built") }
func (b *Batch) PutDirent(parent model.Ino, name string, child model.Ino, typ uint32) {
	panic("being built")
}
func (b *Batch) RemoveDirent(parent model.Ino, name string)               { panic("being built") }
func (b *Batch) SetXattr(ino model.Ino, name string, value []byte)        { panic("being built") }
func (b *Batch) RemoveXattr(ino model.Ino, name string)                   { panic("being built") }
func (b *Batch) SetContent(ino model.Ino, rev model.Rev, c model.Content) { panic("being built") }
func (b *Batch) PutExtents(ino model.Ino, list []model.Extent)            { panic("being built") }
func (b *Batch) TruncateExtents(ino model.Ino, size int64)                { panic("being built") }
func (b *Batch) ForgetInode(ino model.Ino)                                { panic("being built") }
func (b *Batch) PutChunk(c model.Chunk)                                   { panic("being built") }
func (b *Batch) DropChunk(id model.ChunkID)                               { panic("being built") }
func (b *Batch) PutPack(p *model.Pack)                                    { panic("being built") }
func (b *Batch) DropPack(id model.PackID)                                 { panic("being built") }
func (b *Batch) PutMeta(key string, val []byte)                           { panic("being built") }
func (b *Batch) Settle(ino model.Ino)                                     { panic("being built") }
func (b *Batch) Local()                                                   { panic("being built") }
func (b *Batch) Published(revs ...model.Rev)                              { panic("being built") }
func (b *Batch) Apply(r model.Record)                                     { panic("being built") }
func (b *Batch) Commit() (model.Rev, error)                               { panic("being built") }
