// Package vfs is the POSIX tree of a drive, free of any FUSE library: names, attributes, links and open files, as a local disk
// would have them. fs/mount translates requests of the kernel to its methods, one to one; the daemon and the engine call it too.
//
// # Nouns
//
// FS is the tree. A NodeID is what the kernel holds of an inode: the inode number itself, but for nodes of the node table (from
// 1<<63 on): the views under .ccdrive/at/TIME, and files whose content was replaced behind the kernel. A Handle is an open file or
// folder. A Caller is who asks.
//
// # Who calls whom
//
// Names and attributes are read from and written to sync/index, one batch for each operation; bytes go to fs/stage, which asks
// Remote (sync/fetch) for what isn't on local disk. Notify tells the engine that there is something to upload or to publish; the
// engine calls Freeze before it uploads, and Content when it records that a version is stored.
//
// # What is in memory
//
// Only open files, the node table, and bounded caches: memory doesn't grow with the size of the tree. Size, mtime and ctime of a
// file that is being written live in its open file; the index record follows at flush, fsync, release, and every second
// of a long write. GetAttr always sees the newest.
//
// # Concurrency
//
// All methods are safe for concurrent use. Locks, outermost first: the namespace lock (read for operations in one folder, write
// for rename across folders), the folder's lock (two: by inode number), the file's lock, then those of the stage and the index.
// Nothing waits for the network while it holds a namespace or folder lock.
//
// # What survives a crash
//
// What was fsynced, and of the rest a prefix. Files that were deleted while open are listed in the index and are cleaned away at
// the next start; a file whose record is older than its staged content gets size and times from the stage (see New).
//
// # Locks of files
//
// flock and fcntl locks are left to the kernel: a mount is local, no other machine sees it, and without FUSE_POSIX_LOCKS and
// FUSE_FLOCK_LOCKS the kernel keeps them itself, with deadlock detection, interruption and release on close, as on a local disk.
package vfs
