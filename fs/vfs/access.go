package vfs

import (
	"context"
	"syscall"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

// Bits of access(2).
const (
	accessExec  uint32 = 1
	accessWrite uint32 = 2
	accessRead  uint32 = 4
)

// Access is access(2): mask of 4 (read), 2 (write), 1 (execute).
func (fs *FS) Access(ctx context.Context, c Caller, node NodeID, mask uint32) (errno syscall.Errno) {
	defer fs.guard("access", &errno)
	p, errno := fs.nodes.place(node)
	if errno != 0 {
		return errno
	}
	if mask&accessWrite != 0 && (p.kind == kindView || p.kind == kindControl || p.kind == kindAt || fs.writable() != 0) {
		return syscall.EROFS
	}
	if p.kind == kindControl || p.kind == kindAt {
		return 0
	}
	rec, errno := fs.statPlace(p, node)
	if errno != 0 {
		return errno
	}
	return fs.permit(c, &rec, mask)
}

// mayDo checks access to a node, when vfs does that itself.
func (fs *FS) mayDo(c Caller, p place, node NodeID, mask uint32) syscall.Errno {
	if !fs.cfg.CheckAccess || c.UID == 0 {
		return 0
	}
	rec, errno := fs.statPlace(p, node)
	if errno != 0 {
		return errno
	}
	return fs.permit(c, &rec, mask)
}

// mayRecord is mayDo with the record at hand.
func (fs *FS) mayRecord(c Caller, rec *model.Inode, mask uint32) syscall.Errno {
	if !fs.cfg.CheckAccess {
		return 0
	}
	return fs.permit(c, rec, mask)
}

// permit applies the permission bits.
func (fs *FS) permit(c Caller, rec *model.Inode, mask uint32) syscall.Errno {
	if c.UID == 0 {
		if mask&accessExec != 0 && !rec.IsDir() && rec.Mode&0o111 == 0 {
			return syscall.EACCES
		}
		return 0
	}
	uid, gid := fs.owner(rec)
	bits := rec.Mode
	switch {
	case c.UID == uid:
		bits >>= 6
	case c.GID == gid:
		bits >>= 3
	}
	if mask&^bits&7 != 0 {
		return syscall.EACCES
	}
	return 0
}

// maySticky refuses to take a name out of a sticky folder to whoever owns neither.
func (fs *FS) maySticky(c Caller, prec, rec *model.Inode) syscall.Errno {
	if !fs.cfg.CheckAccess || c.UID == 0 || prec.Mode&modeSticky == 0 {
		return 0
	}
	dirOwner, _ := fs.owner(prec)
	owner, _ := fs.owner(rec)
	if c.UID == dirOwner || c.UID == owner {
		return 0
	}
	return syscall.EPERM
}

// owner is who a record appears to belong to.
func (fs *FS) owner(rec *model.Inode) (uid, gid uint32) {
	if o := fs.cfg.Owner; o != nil {
		return o.UID, o.GID
	}
	return rec.UID, rec.GID
}
