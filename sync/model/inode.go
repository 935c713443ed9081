package model

// Types of an inode, the S_IFMT bits of POSIX, the same on every platform.
const (
	TypeMask    uint32 = 0o170000
	TypeFIFO    uint32 = 0o010000
	TypeChar    uint32 = 0o020000
	TypeDir     uint32 = 0o040000
	TypeBlock   uint32 = 0o060000
	TypeRegular uint32 = 0o100000
	TypeSymlink uint32 = 0o120000
	TypeSocket  uint32 = 0o140000
)

// Inode is everything about a file but its bytes, its attributes' values and its names.
type Inode struct {
	Ino   Ino
	Rev   Rev    // revision of this record; set by the index
	Mode  uint32 // type and permission bits, as in st_mode
	Nlink uint32
	UID   uint32
	GID   uint32
	Rdev  uint64
	Size  int64 // bytes; for a symlink the length of its target
	// Times in nanoseconds since 1970.
	Atime, Mtime, Ctime, Btime int64

	// Parent and Name are the last known link, for messages, ".." and paths of contents that were not sent. A file with
	// several links has other names too.
	Parent Ino
	Name   string

	Symlink  string // target of a symbolic link
	HasXattr bool   // false: there are no extended attributes to look for
	Content  Content
}

// Type is the type part of the mode.
func (n *Inode) Type() uint32 { return n.Mode & TypeMask }

// IsDir tells whether the inode is a folder.
func (n *Inode) IsDir() bool { return n.Mode&TypeMask == TypeDir }

// IsRegular tells whether the inode is a regular file.
func (n *Inode) IsRegular() bool { return n.Mode&TypeMask == TypeRegular }

// ContentKind tells where the bytes of a regular file are.
type ContentKind uint8

const (
	ContentNone   ContentKind = iota // all zeros (an empty or wholly sparse file), or not a regular file
	ContentStaged                    // in the stage, over the extents of Content.Rev
	ContentStored                    // the extents as of Content.Rev
)

// Content says where the bytes of a regular file are.
type Content struct {
	Kind    ContentKind
	Version uint64 // stage version, when staged
	Rev     Rev    // extents are read as of this revision; when staged they are the base (0: none)
	Settled bool   // staged and frozen: this version must not be folded away
}

// Dirent is one name in a folder.
type Dirent struct {
	Parent Ino
	Name   string
	Ino    Ino    // 0: the name was removed at Rev
	Type   uint32 // S_IFMT bits of the child
	Cookie uint64 // stable position in the listing, 1 to 1<<63-1
	Rev    Rev
}

// Extent is a run of a file's bytes that lie in one chunk, or a hole.
type Extent struct {
	Off   int64 // in the file
	Len   int64
	Chunk ChunkID // zero value: a hole
	Skip  int64   // bytes of the chunk that come before the extent's first byte
}

// IsHole tells whether the extent holds zeros that no chunk stores.
func (e *Extent) IsHole() bool { return e.Chunk == ChunkID{} }

// Chunk tells where a chunk's bytes are.
type Chunk struct {
	ID   ChunkID
	Len  int64
	Pack PackID
	Off  int64 // in the pack's plaintext
}

// Pack is one age file, coded into shards. Segments and checkpoints of the log that are too long to be copied are packs too.
type Pack struct {
	ID       PackID
	Kind     PackKind
	K, M     int   // data and parity shards
	ShardLen int64 // bytes of each shard; the age file is exactly K*ShardLen bytes
	PlainLen int64 // bytes of chunks in the plaintext, without padding
	// Header and Tail are the first bytes of the age file up to the first block, and its last block: with them a range can be opened
	// without asking for them first.
	Header, Tail []byte
	Shards       []Shard // K data shards, then M parity shards
}

// PackKind tells what a pack holds.
type PackKind uint8

const (
	PackData       PackKind = iota // chunks of files
	PackSegment                    // a segment of the log
	PackCheckpoint                 // a checkpoint of the log
)

// Size is the length of the age file.
func (p *Pack) Size() int64 { return int64(p.K) * p.ShardLen }

// Shard is one piece of a pack, or a copy of a small log segment, with one lease.
type Shard struct {
	ID    ShardID
	Lease LeaseID
	State ShardState
}

// ShardState is what is known of a shard.
type ShardState uint8

const (
	ShardGood    ShardState = iota // receipt held, no bad news since
	ShardSuspect                   // its provider doesn't answer
	ShardBad                       // missing or damaged: to be rebuilt
)
