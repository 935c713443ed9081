package vfs

import (
	"context"
	"syscall"

	"github.com/cloudcoin/cloudcoin/sync/index"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// GetAttr is stat(2); fh 0: no open file.
func (fs *FS) GetAttr(ctx context.Context, c Caller, node NodeID, fh Handle) (a Attr, errno syscall.Errno) {
	defer fs.guard("getattr", &errno)
	p, errno := fs.nodes.place(node)
	if errno != 0 {
		return a, errno
	}
	if p.kind == kindControl || p.kind == kindAt {
		return fs.controlAttr(node), 0
	}
	if h := fs.handle(fh); h != nil && h.live != nil {
		h.live.mu.RLock()
		defer h.live.mu.RUnlock()
		rec, errno := fs.statLive(h.live)
		return fs.attr(p, &rec), errno
	}
	rec, errno := fs.statPlace(p, node)
	if errno != 0 {
		return a, errno
	}
	return fs.attr(p, &rec), 0
}

// attr is what stat tells of a record.
func (fs *FS) attr(p place, rec *model.Inode) Attr {
	a := Attr{
		Ino: uint64(rec.Ino), Size: rec.Size, Mode: rec.Mode, Nlink: rec.Nlink, Rdev: rec.Rdev, Blksize: BlockSize,
		Atime: rec.Atime, Mtime: rec.Mtime, Ctime: rec.Ctime, Btime: rec.Btime,
	}
	a.UID, a.GID = fs.owner(rec)
	if rec.IsRegular() {
		a.Blocks = (rec.Size + BlockSize - 1) / BlockSize * (BlockSize / 512)
	}
	if rec.IsDir() && a.Size == 0 {
		a.Size = BlockSize
	}
	if p.kind == kindView {
		a.Ino = viewIno(p.rev, rec.Ino)
	}
	return a
}

// SetAttr is chmod, chown, truncate and utimensat in one.
func (fs *FS) SetAttr(ctx context.Context, c Caller, node NodeID, fh Handle, set SetAttr) (a Attr, errno syscall.Errno) {
	defer fs.guard("setattr", &errno)
	ino, errno := fs.changing(node)
	if h := fs.handle(fh); errno == syscall.ESTALE && h != nil && h.live != nil {
		ino, errno = h.live.ino, fs.writable() // the name has another node now; who has the file open goes on
		if h.live.keeps() {
			errno = syscall.ESTALE
		}
	}
	if errno != 0 {
		return a, lateTimes(&set, errno)
	}
	rec, errno := fs.record(ino)
	if errno != 0 {
		return a, lateTimes(&set, errno)
	}
	l := fs.live.get(ino)
	defer fs.live.put(l)
	if rec.IsDir() {
		fs.ns.RLock()
		defer fs.ns.RUnlock()
	}
	if set.Valid&SetSize != 0 {
		if errno := fs.checkSize(c, &rec, fs.handle(fh), set.Size); errno != 0 {
			return a, errno
		}
		l.io.Lock()
		defer l.io.Unlock()
		if errno := fs.truncate(ctx, l, set.Size); errno != 0 {
			return a, errno
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	rec, errno = fs.setRecord(c, l, &set)
	return fs.attr(place{ino: ino}, &rec), lateTimes(&set, errno) // it may have been deleted this moment
}

// lateTimes lets a change of nothing but times of what is gone pass: with the writeback cache the kernel writes the times of files out that
// were deleted or replaced meanwhile, and an error would make syncfs(2) fail.
func lateTimes(set *SetAttr, errno syscall.Errno) syscall.Errno {
	if errno == syscall.ESTALE && set.Valid != 0 && set.Valid&^(SetAtime|SetMtime|SetCtime) == 0 {
		return 0
	}
	return errno
}

// checkSize tells whether a file may be truncated to size.
func (fs *FS) checkSize(c Caller, rec *model.Inode, h *handle, size int64) syscall.Errno {
	switch {
	case rec.IsDir():
		return syscall.EISDIR
	case !rec.IsRegular() || size < 0:
		return syscall.EINVAL
	case size > MaxFileSize:
		return syscall.EFBIG
	case h != nil:
		return 0 // the handle was checked when it was opened
	}
	return fs.mayRecord(c, rec, accessWrite)
}

// setRecord changes the record of l as set says; the size was changed before. Holds l.mu.
func (fs *FS) setRecord(c Caller, l *live, set *SetAttr) (rec model.Inode, errno syscall.Errno) {
	if lazy := SetAtime | SetMtime | SetCtime | SetSize; set.Valid&^lazy == 0 && l.ahead && l.writers > 0 && !l.suid {
		return fs.setTimes(c, l, set)
	}
	if set.Valid&SetSize == 0 {
		rec, errno = fs.settleRested(l)
	} else {
		rec, errno = fs.statLive(l)
	}
	if errno != 0 {
		return rec, errno
	}
	if errno := fs.mayChange(c, &rec, set); errno != 0 {
		return rec, errno
	}
	b := fs.x.Begin()
	if fs.applyOwner(&rec, set) || set.Valid&SetKillPriv != 0 || set.Valid&SetSize != 0 && c.UID != 0 {
		fs.killPriv(b, &rec)
	}
	if set.Valid&SetMode != 0 {
		rec.Mode = rec.Type() | set.Mode&permBits
		if _, gid := fs.owner(&rec); fs.cfg.CheckAccess && c.UID != 0 && c.GID != gid {
			rec.Mode &^= modeSGID
		}
		if errno := fs.chmodACL(b, &rec); errno != 0 {
			return rec, errno
		}
	}
	fs.applyTimes(&rec, set)
	l.suid = l.suid || rec.Mode&(modeSUID|modeSGID) != 0
	fs.put(b, l, &rec)
	if errno := fs.commit(b); errno != 0 {
		return rec, errno
	}
	fs.written(l)
	if l.file != nil {
		l.file.SetAttr(rec.Mtime, rec.Ctime)
	}
	return rec, 0
}

// setTimes changes the times of a file that is being written, in memory.
func (fs *FS) setTimes(c Caller, l *live, set *SetAttr) (model.Inode, syscall.Errno) {
	rec, errno := fs.statLive(l)
	if errno != 0 {
		return rec, errno
	}
	if errno := fs.mayChange(c, &rec, set); errno != 0 {
		return rec, errno
	}
	fs.applyTimes(&rec, set)
	l.atime, l.mtime, l.ctime = rec.Atime, rec.Mtime, rec.Ctime
	l.explicit = l.explicit || set.Valid != SetSize
	if l.file != nil {
		l.file.SetAttr(rec.Mtime, rec.Ctime)
	}
	return rec, 0
}

// applyOwner changes the owner; true when suid and sgid go with it. Where everything appears as the mounting user's, the stored owner
// stays.
func (fs *FS) applyOwner(rec *model.Inode, set *SetAttr) bool {
	if set.Valid&(SetUID|SetGID) == 0 {
		return false
	}
	if fs.cfg.Owner == nil {
		if set.Valid&SetUID != 0 {
			rec.UID = set.UID
		}
		if set.Valid&SetGID != 0 {
			rec.GID = set.GID
		}
	}
	return !rec.IsDir()
}

// applyTimes changes the times; ctime is now unless it is given.
func (fs *FS) applyTimes(rec *model.Inode, set *SetAttr) {
	now := fs.now().UnixNano()
	switch {
	case set.Valid&SetAtimeNow != 0:
		rec.Atime = now
	case set.Valid&SetAtime != 0:
		rec.Atime = set.Atime
	}
	switch {
	case set.Valid&SetMtimeNow != 0:
		rec.Mtime = now
	case set.Valid&SetMtime != 0:
		rec.Mtime = set.Mtime
	}
	rec.Ctime = now
	if set.Valid&SetCtime != 0 {
		rec.Ctime = set.Ctime
	}
}

// mayChange checks who may change attributes.
func (fs *FS) mayChange(c Caller, rec *model.Inode, set *SetAttr) syscall.Errno {
	uid, gid := fs.owner(rec)
	if fs.cfg.Owner != nil && (set.Valid&SetUID != 0 && set.UID != uid || set.Valid&SetGID != 0 && set.GID != gid) {
		return syscall.EPERM // the stored owner is not shown, so it can't be changed by what is shown
	}
	if !fs.cfg.CheckAccess || c.UID == 0 {
		return 0
	}
	isOwner := c.UID == uid
	switch {
	case set.Valid&SetUID != 0 && (set.UID != uid || !isOwner):
		return syscall.EPERM
	case set.Valid&SetGID != 0 && set.GID != gid && (!isOwner || set.GID != c.GID):
		return syscall.EPERM
	case set.Valid&SetMode != 0 && !isOwner:
		return syscall.EPERM
	case set.Valid&(SetAtime|SetMtime) != 0 && !isOwner:
		return syscall.EPERM
	case set.Valid&(SetAtimeNow|SetMtimeNow) != 0 && !isOwner:
		return fs.permit(c, rec, accessWrite)
	}
	return 0
}

// capability is the attribute that holds the capabilities of a program.
const capability = "security.capability"

// killPriv takes suid, sgid and capabilities from a record that is about to be put.
func (fs *FS) killPriv(b *index.Batch, rec *model.Inode) {
	rec.Mode &^= modeSUID
	if rec.Mode&0o010 != 0 {
		rec.Mode &^= modeSGID
	}
	if !rec.HasXattr {
		return
	}
	if _, err := fs.x.Now().Xattr(rec.Ino, capability); err == nil {
		b.RemoveXattr(rec.Ino, capability)
	}
}

// ctimeNow sets the ctime of a record, and of what is ahead of it. Holds l.mu.
func (l *live) ctimeNow(rec *model.Inode, now int64) {
	rec.Ctime = now
	if l.ahead {
		l.ctime = now
	}
}
