package vfs

import (
	"context"
	"syscall"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

// FS is the tree.
type FS struct{}

// New opens the tree over an index and a stage that were replayed and are ready. It reconciles the two after a crash: sizes and
// times that only the stage knows are written to the index, and files that were deleted while open are cleaned away.
func New(cfg Config) (*FS, error) { panic("being built") }

// SetKernel gives the adapter's way to invalidate kernel caches. Before it is called, and with nil, nothing is invalidated.
func (fs *FS) SetKernel(k Kernel) { panic("being built") }

// SetReadOnly refuses every change with EROFS from now on, for a reason that ReadOnly tells; "" allows them again (not when
// Config.ReadOnly or At is set).
func (fs *FS) SetReadOnly(reason string) { panic("being built") }

// ReadOnly tells why changes are refused; "" when they aren't.
func (fs *FS) ReadOnly() string { panic("being built") }

// Lookup finds a name. ENOENT when there is none.
func (fs *FS) Lookup(ctx context.Context, c Caller, parent NodeID, name string) (Entry, syscall.Errno) {
	panic("being built")
}

// Forget gives n references of node back.
func (fs *FS) Forget(node NodeID, n uint64) { panic("being built") }

// GetAttr is stat(2); fh 0: no open file.
func (fs *FS) GetAttr(ctx context.Context, c Caller, node NodeID, fh Handle) (Attr, syscall.Errno) {
	panic("being built")
}

// SetAttr is chmod, chown, truncate and utimensat in one.
func (fs *FS) SetAttr(ctx context.Context, c Caller, node NodeID, fh Handle, set SetAttr) (Attr, syscall.Errno) {
	panic("being built")
}

// Readlink is the target of a symbolic link.
func (fs *FS) Readlink(ctx context.Context, c Caller, node NodeID) (string, syscall.Errno) {
	panic("being built")
}

// Mknod makes a regular file, fifo, socket or device node; mode holds the type. rdev as in st_rdev.
func (fs *FS) Mknod(ctx context.Context, c Caller, parent NodeID, name string, mode uint32, rdev uint64) (Entry, syscall.Errno) {
	panic("being built")
}

// Mkdir makes a folder.
func (fs *FS) Mkdir(ctx context.Context, c Caller, parent NodeID, name string, mode uint32) (Entry, syscall.Errno) {
	panic("being built")
}

// Symlink makes a symbolic link to target.
func (fs *FS) Symlink(ctx context.Context, c Caller, parent NodeID, name, target string) (Entry, syscall.Errno) {
	panic("being built")
}

// Link gives node another name. A file of Tmpfile gets its first.
func (fs *FS) Link(ctx context.Context, c Caller, node, newParent NodeID, newName string) (Entry, syscall.Errno) {
	panic("being built")
}

// Unlink removes the name of what isn't a folder.
func (fs *FS) Unlink(ctx context.Context, c Caller, parent NodeID, name string) syscall.Errno {
	panic("being built")
}

// Rmdir removes an empty folder.
func (fs *FS) Rmdir(ctx context.Context, c Caller, parent NodeID, name string) syscall.Errno {
	panic("being built")
}

// Rename is renameat2(2).
func (fs *FS) Rename(ctx context.Context, c Caller, oldParent NodeID, oldName string, newParent NodeID, newName string, flags uint32) syscall.Errno {
	panic("being built")
}

// Create makes a regular file and opens it; without OpenExcl in flags an existing file of that name is opened.
func (fs *FS) Create(ctx context.Context, c Caller, parent NodeID, name string, flags, mode uint32) (Entry, Handle, OpenFlags, syscall.Errno) {
	panic("being built")
}

// Tmpfile makes a regular file without a name and opens it (O_TMPFILE).
func (fs *FS) Tmpfile(ctx context.Context, c Caller, parent NodeID, flags, mode uint32) (Entry, Handle, OpenFlags, syscall.Errno) {
	panic("being built")
}

// Open opens a regular file.
func (fs *FS) Open(ctx context.Context, c Caller, node NodeID, flags uint32) (Handle, OpenFlags, syscall.Errno) {
	panic("being built")
}

// Read reads at off into p; less than len(p) only at the end of the file. It ends with EINTR when ctx does.
func (fs *FS) Read(ctx context.Context, node NodeID, fh Handle, p []byte, off int64) (int, syscall.Errno) {
	panic("being built")
}

// Write writes p at off (at the end, when the handle was opened with OpenAppend and the write isn't from the cache).
func (fs *FS) Write(ctx context.Context, c Caller, node NodeID, fh Handle, p []byte, off int64, f WriteFlags) (int, syscall.Errno) {
	panic("being built")
}

// Flush is close(2) of one descriptor.
func (fs *FS) Flush(ctx context.Context, node NodeID, fh Handle) syscall.Errno { panic("being built") }

// Release ends a handle of Open, Create or Tmpfile.
func (fs *FS) Release(node NodeID, fh Handle) { panic("being built") }

// Fsync returns when the file's bytes, attributes and names are durable. dataOnly leaves out what isn't needed to read the bytes.
func (fs *FS) Fsync(ctx context.Context, node NodeID, fh Handle, dataOnly bool) syscall.Errno {
	panic("being built")
}

// Fallocate is fallocate(2), modes of this package.
func (fs *FS) Fallocate(ctx context.Context, c Caller, node NodeID, fh Handle, mode uint32, off, n int64) syscall.Errno {
	panic("being built")
}

// Lseek finds data or a hole at or behind off; ENXIO at the end.
func (fs *FS) Lseek(ctx context.Context, node NodeID, fh Handle, off int64, whence uint32) (int64, syscall.Errno) {
	panic("being built")
}

// CopyFileRange copies n bytes; it may copy fewer.
func (fs *FS) CopyFileRange(ctx context.Context, c Caller, inNode NodeID, inFh Handle, inOff int64, outNode NodeID, outFh Handle, outOff, n int64) (int64, syscall.Errno) {
	panic("being built")
}

// OpenDir opens a folder for reading.
func (fs *FS) OpenDir(ctx context.Context, c Caller, node NodeID) (Handle, OpenFlags, syscall.Errno) {
	panic("being built")
}

// ReadDir lists entries behind cookie (0: from the start) until add returns false; that entry isn't consumed. "." and ".." come first.
// With plus, entries carry attributes, and each that add took counts a reference. add must not call into FS.
func (fs *FS) ReadDir(ctx context.Context, c Caller, node NodeID, fh Handle, cookie uint64, plus bool, add func(*DirEntry) bool) syscall.Errno {
	panic("being built")
}

// ReleaseDir ends a handle of OpenDir.
func (fs *FS) ReleaseDir(node NodeID, fh Handle) { panic("being built") }

// FsyncDir returns when all names of the folder are durable.
func (fs *FS) FsyncDir(ctx context.Context, node NodeID, fh Handle, dataOnly bool) syscall.Errno {
	panic("being built")
}

// GetXattr is the value of an extended attribute; ErrNoAttr when there is none. The value belongs to the caller.
func (fs *FS) GetXattr(ctx context.Context, c Caller, node NodeID, name string) ([]byte, syscall.Errno) {
	panic("being built")
}

// SetXattr sets an extended attribute.
func (fs *FS) SetXattr(ctx context.Context, c Caller, node NodeID, name string, value []byte, flags uint32) syscall.Errno {
	panic("being built")
}

// ListXattr is the names of the extended attributes.
func (fs *FS) ListXattr(ctx context.Context, c Caller, node NodeID) ([]string, syscall.Errno) {
	panic("being built")
}

// RemoveXattr removes an extended attribute; ErrNoAttr when there is none.
func (fs *FS) RemoveXattr(ctx context.Context, c Caller, node NodeID, name string) syscall.Errno {
	panic("being built")
}

// Access is access(2): mask of 4 (read), 2 (write), 1 (execute).
func (fs *FS) Access(ctx context.Context, c Caller, node NodeID, mask uint32) syscall.Errno {
	panic("being built")
}

// StatFS is statfs(2).
func (fs *FS) StatFS(ctx context.Context, node NodeID) (StatFS, syscall.Errno) {
	panic("being built")
}

// Freeze makes the content of ino as it is now a version that doesn't change any more, at a moment between two writes, and settles
// its revision, so that it can be uploaded. ready tells whether there is such a version. Without force only a file at rest is frozen
// (or one that was fsynced just now, when asked by FreezeSoon).
func (fs *FS) Freeze(ctx context.Context, ino model.Ino, force bool) (ready bool, err error) {
	panic("being built")
}

// AtRest tells whether no handle may write the file and it has been left alone for Config.RestAfter.
func (fs *FS) AtRest(ino model.Ino) bool { panic("being built") }

// Content runs fn while no operation changes the inode record or the content of ino: the engine commits there that a version is
// stored. fn must not call into FS.
func (fs *FS) Content(ino model.Ino, fn func() error) error { panic("being built") }

// SyncAll makes everything that was written before the call durable, writes the records of all open files, and freezes all contents
// that aren't stored, so that the engine uploads them now. The kernel's cache is the caller's to flush (syncfs).
func (fs *FS) SyncAll(ctx context.Context) error { panic("being built") }

// Close ends the tree: handles still open are released, everything is durable. No operation may be under way.
func (fs *FS) Close(ctx context.Context) error { panic("being built") }

// Resolve finds the inode of a path from the drive's root, as of a revision (model.MaxRev: now). The last component isn't followed
// when it is a symbolic link, nor are others: ELOOP. Paths below .ccdrive/at/TIME are resolved as of that time.
func (fs *FS) Resolve(path string, at model.Rev) (model.Inode, error) { panic("being built") }

// ReadFile is the content of a regular file as of a revision.
func (fs *FS) ReadFile(path string, at model.Rev) (*Reader, error) { panic("being built") }

// Reader reads one version of a file's content.
type Reader struct{}

// Size is the length of the content in bytes.
func (r *Reader) Size() int64 { panic("being built") }

// ReadAt fills p from off; io.EOF at the end.
func (r *Reader) ReadAt(ctx context.Context, p []byte, off int64) (int, error) { panic("being built") }

// Close gives the content back.
func (r *Reader) Close() error { panic("being built") }

// Revert brings path back to what it was at rev, as a new revision: a file's content and attributes, a deleted name, or a whole
// folder with all that was below it. Names that were made since then in a reverted folder stay out of it only when they were not
// there at rev. What is undone stays in the history.
func (fs *FS) Revert(ctx context.Context, path string, rev model.Rev) error { panic("being built") }

// Replaced tells that the content of ino was replaced behind the kernel: its names get a new node id, st_ino stays, open handles keep
// the old content.
func (fs *FS) Replaced(ino model.Ino) { panic("being built") }
