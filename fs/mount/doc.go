// Package mount shows a vfs.FS to the kernel as a FUSE filesystem. It translates requests to methods of vfs one to one and holds no state
// of the tree: the node id of the kernel is the node id of vfs, so nothing is kept for each inode and memory doesn't grow with the
// size of the tree.
//
// # Nouns
//
// An Adapter speaks to the kernel through one FUSE library: GoFuse (github.com/hanwen/go-fuse/v2; Linux, macOS, FreeBSD) or Bazil
// (bazil.org/fuse; Linux). Capabilities is what an adapter can do; CapabilitiesOf tells them without mounting. Mounted is a
// mount that serves; it ends by Unmount, by umount(8), or when the connection breaks.
//
// # Who calls whom
//
// The kernel's requests come in on the library's reading goroutines and run there; another goroutine takes over reading meanwhile. vfs
// calls back (vfs.Kernel) when something changed that the kernel caches. The daemon calls Mount, Wait and Unmount.
//
// # Caches of the kernel
//
// Names, absent names and attributes are valid for an hour, contents for as long as they fit, since nobody but the kernel itself and
// vfs, which invalidates, changes anything. The writeback cache is on: the kernel owns size, mtime and ctime of cached regular
// files and tells them by SETATTR; it reads on handles that were opened for writing only, and it turns O_APPEND into offsets, so
// that adapters take the flag away. Adapters that can do it drop suid, sgid and file capabilities in vfs (HANDLE_KILLPRIV_V2), which
// saves the kernel a GETXATTR before each write. Permissions are always checked by the kernel (default_permissions).
// flock and fcntl locks stay in the kernel.
//
// POSIX ACLs: with go-fuse the kernel heeds them (FUSE_POSIX_ACL); vfs keeps mode and ACL in step and lets default ACLs be inherited. bazil can't
// ask for that: they are kept and shown there, permission checks look at the mode only. docs/posix.md lists what else doesn't conform.
//
// # Interrupts
//
// The kernel sends FUSE_INTERRUPT for any signal, also for those that never end a system call on a local disk (Go programs preempt
// themselves with SIGURG). So a request is only cancelled when its thread has a signal pending that ends programs: SIGKILL, SIGTERM,
// SIGINT, SIGHUP or SIGQUIT. Without /proc, or for threads of other pid namespaces, every interrupt cancels.
//
// # Failures
//
// A panic in a handler becomes EIO and a report. A mount that a killed process left behind (ENOTCONN) is taken over by the next Mount at
// the same folder; somebody else's mount there is an error. When a mount is busy, Unmount waits and at last detaches it and aborts the
// connection after its pages were written.
//
// Everything here is safe for concurrent use. Nothing here survives a crash, and nothing has to.
package mount
