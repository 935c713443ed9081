package vfs

import (
	"time"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

// NodeID is what the kernel holds of an inode. Below 1<<63 it is the inode number; from there on it comes from a table and is freed
// by Forget.
type NodeID = uint64

// RootNode is the folder at the top.
const RootNode = NodeID(model.RootIno)

// Handle is an open file or folder. Handles are never used twice; 0 is none.
type Handle = uint64

// Limits of names and attributes, those of Linux.
const (
	MaxName       = 255      // bytes of a name
	MaxXattrName  = 255      // bytes of the name of an extended attribute
	MaxXattrValue = 64 << 10 // bytes of its value
	MaxXattrList  = 64 << 10 // bytes of all names of an inode's attributes, each with its NUL
	MaxSymlink    = 4095     // bytes of the target of a symbolic link
	MaxLinks      = 1 << 31
	MaxFileSize   = int64(1) << 62
	BlockSize     = 4096 // st_blksize and f_frsize
)

// Caller is who asks. The zero value is root.
type Caller struct {
	UID, GID, PID uint32
	Umask         uint32 // taken from the modes of new files, also when the kernel did so already
}

// Attr is what stat(2) tells.
type Attr struct {
	Ino     uint64
	Size    int64
	Blocks  int64  // of 512 bytes
	Mode    uint32 // type (S_IFMT) and permission bits
	Nlink   uint32
	UID     uint32
	GID     uint32
	Rdev    uint64 // as st_rdev
	Blksize uint32
	// Nanoseconds since 1970.
	Atime, Mtime, Ctime, Btime int64
}

// Entry is the answer to Lookup and to what makes names. A looked-up entry counts one reference of Node, which Forget gives back.
type Entry struct {
	Node       NodeID // 0 with no error: the name doesn't exist, and the kernel may remember that for EntryValid
	Generation uint64
	Attr       Attr
	// How long the kernel may keep attributes and name without asking. Changes behind its back are told through Kernel.
	AttrValid, EntryValid time.Duration
}

// DirEntry is one name of a listing.
type DirEntry struct {
	Name   string
	Ino    uint64
	Type   uint32 // S_IFMT bits
	Cookie uint64 // position after this entry, for seekdir: "." is 1, ".." 2, others stay the same as long as the name lives
	// Entry is set by ReadDir with plus, but for "." and ".." (Node 0), and counts a reference of Node when add returned true.
	Entry Entry
}

// Set tells which fields of a SetAttr hold.
type Set uint32

// Fields of a SetAttr.
const (
	SetMode Set = 1 << iota
	SetUID
	SetGID
	SetSize
	SetAtime
	SetMtime
	SetCtime
	SetAtimeNow
	SetMtimeNow
	SetKillPriv // drop suid and sgid (FUSE_HANDLE_KILLPRIV_V2: FATTR_KILL_SUIDGID), with SetSize
)

// SetAttr is a change of attributes: chmod, chown, truncate, utimensat.
type SetAttr struct {
	Valid               Set
	Mode                uint32 // permission bits
	UID, GID            uint32
	Size                int64
	Atime, Mtime, Ctime int64 // nanoseconds since 1970
}

// OpenFlags tells the kernel how to treat an open file.
type OpenFlags struct {
	KeepCache bool // pages of earlier opens are still right
	DirectIO  bool
}

// WriteFlags come with a Write.
type WriteFlags struct {
	KillPriv bool // drop suid and sgid (FUSE_WRITE_KILL_SUIDGID)
	Cache    bool // from the page cache (writeback): the handle may be any of the file's
}

// Flags of Rename, as renameat2(2) has them.
const (
	RenameNoReplace = 1
	RenameExchange  = 2
	RenameWhiteout  = 4 // refused with EINVAL
)

// Modes of Fallocate, as fallocate(2) has them on Linux. Collapse and insert are refused with EOPNOTSUPP.
const (
	FallocKeepSize  = 0x01
	FallocPunchHole = 0x02
	FallocZeroRange = 0x10
	FallocUnshare   = 0x40
)

// Whence of Lseek.
const (
	SeekData = 3
	SeekHole = 4
)

// Flags of SetXattr.
const (
	XattrCreate  = 1
	XattrReplace = 2
)

// Flags of Open and Create that vfs looks at, with the values of Linux; adapters of other systems translate.
const (
	OpenAccMode   = 0o3
	OpenReadOnly  = 0o0
	OpenWriteOnly = 0o1
	OpenReadWrite = 0o2
	OpenExcl      = 0o200
	OpenTrunc     = 0o1000
	OpenAppend    = 0o2000
	OpenSync      = 0o4010000
	OpenDsync     = 0o10000
)

// StatFS is what statvfs(3) tells, in units of BlockSize.
type StatFS struct {
	Blocks, Bfree, Bavail  uint64
	Files, Ffree           uint64
	Bsize, Frsize, NameLen uint32
}

// Space is what statfs is made of, in bytes; see Config.Space.
type Space struct {
	Total int64 // room in the leases for contents, at the coding in use
	Free  int64 // what can be written now: the smaller one of free lease room and what the stage takes
}
