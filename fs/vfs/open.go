package vfs

import (
	"context"
	"syscall"

	"github.com/cloudcoin/cloudcoin/fs/stage"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// handle is an open file or folder.
type handle struct {
	live   *live // a file as it is now; nil otherwise
	flags  uint32
	reader *Reader // a file as of a revision
	dir    place   // a folder
}

func (h *handle) writes() bool { return h.flags&OpenAccMode != OpenReadOnly }

// handle finds an open handle; nil when there is none of that number.
func (fs *FS) handle(fh Handle) *handle {
	if fh == 0 {
		return nil
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return fs.handles[fh]
}

func (fs *FS) addHandle(h *handle) Handle {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.last++
	fs.handles[fs.last] = h
	return fs.last
}

func (fs *FS) takeHandle(fh Handle) *handle {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	h := fs.handles[fh]
	delete(fs.handles, fh)
	return h
}

// file is the live file behind a handle. EBADF when it isn't one.
func (fs *FS) file(fh Handle) (*handle, syscall.Errno) {
	h := fs.handle(fh)
	if h == nil || h.live == nil {
		return nil, syscall.EBADF
	}
	return h, 0
}

// Create makes a regular file and opens it; without OpenExcl in flags an existing file of that name is opened.
func (fs *FS) Create(ctx context.Context, c Caller, parent NodeID, name string, flags, mode uint32) (e Entry, fh Handle, of OpenFlags, errno syscall.Errno) {
	defer fs.guard("create", &errno)
	rec := model.Inode{Mode: model.TypeRegular | mode&permBits}
	e, errno = fs.make(c, parent, name, &rec, func(l *live) {
		l.mu.Lock()
		defer l.mu.Unlock()
		fh = fs.addOpen(l, &rec, flags)
	})
	if errno == 0 {
		return e, fh, OpenFlags{KeepCache: true}, 0
	}
	if errno != syscall.EEXIST || flags&OpenExcl != 0 {
		return e, 0, of, errno
	}
	if e, errno = fs.Lookup(ctx, c, parent, name); errno != 0 {
		return e, 0, of, errno
	}
	fh, of, errno = fs.Open(ctx, c, e.Node, flags)
	if errno != 0 {
		fs.Forget(e.Node, 1)
	}
	return e, fh, of, errno
}

// Tmpfile makes a regular file without a name and opens it (O_TMPFILE).
func (fs *FS) Tmpfile(ctx context.Context, c Caller, parent NodeID, flags, mode uint32) (e Entry, fh Handle, of OpenFlags, errno syscall.Errno) {
	defer fs.guard("tmpfile", &errno)
	dir, errno := fs.changing(parent)
	if errno != 0 {
		return e, 0, of, errno
	}
	prec, errno := fs.folder(c, dir, accessWrite|accessExec)
	if errno != 0 {
		return e, 0, of, errno
	}
	rec := model.Inode{Mode: model.TypeRegular | mode&permBits&^(c.Umask&0o777)}
	if errno := fs.initInode(c, &prec, "", &rec); errno != 0 {
		return e, 0, of, errno
	}
	rec.Nlink = 0
	l := fs.live.get(rec.Ino)
	defer fs.live.put(l)
	l.mu.Lock()
	defer l.mu.Unlock()
	b := fs.x.Begin()
	b.PutInode(&rec)
	listed := fs.orphans.add(b, rec.Ino)
	defer listed.done()
	if errno := fs.commit(b); errno != 0 {
		return e, 0, of, errno
	}
	listed.commit()
	l.orphan, l.tmpfile = true, flags&OpenExcl == 0
	fh = fs.addOpen(l, &rec, flags)
	return fs.entry(place{ino: rec.Ino}, &rec), fh, OpenFlags{KeepCache: true}, 0
}

// Open opens a regular file.
func (fs *FS) Open(ctx context.Context, c Caller, node NodeID, flags uint32) (fh Handle, of OpenFlags, errno syscall.Errno) {
	defer fs.guard("open", &errno)
	p, errno := fs.nodes.place(node)
	if errno != 0 {
		return 0, of, errno
	}
	writes := flags&OpenAccMode != OpenReadOnly || flags&OpenTrunc != 0
	switch {
	case p.kind == kindControl || p.kind == kindAt:
		return 0, of, syscall.EISDIR
	case writes && (p.kind == kindView || fs.writable() != 0):
		return 0, of, syscall.EROFS
	}
	rec, errno := fs.statPlace(p, node)
	if errno == 0 {
		errno = fs.mayOpen(c, &rec, flags)
	}
	if errno != 0 {
		return 0, of, errno
	}
	if rev := fs.past(p); rev != 0 {
		r, err := fs.readerOf(&rec)
		if err != nil {
			return 0, of, fs.errno("open old content", err)
		}
		return fs.addHandle(&handle{reader: r, flags: flags}), OpenFlags{KeepCache: true}, 0
	}
	if p.kind == kindStale {
		return 0, of, syscall.ESTALE // the kernel looks the name up again and finds the new content
	}
	if fh, errno = fs.openLive(p.ino, flags); errno != 0 {
		return 0, of, errno
	}
	if flags&OpenTrunc != 0 {
		if _, errno = fs.SetAttr(ctx, c, node, fh, SetAttr{Valid: SetSize}); errno != 0 {
			fs.Release(node, fh)
			return 0, of, errno
		}
	}
	return fh, OpenFlags{KeepCache: true}, 0
}

func (fs *FS) mayOpen(c Caller, rec *model.Inode, flags uint32) syscall.Errno {
	switch rec.Type() {
	case model.TypeRegular:
	case model.TypeDir:
		return syscall.EISDIR
	case model.TypeSymlink:
		return syscall.ELOOP
	default:
		return syscall.ENXIO
	}
	var mask uint32
	switch flags & OpenAccMode {
	case OpenReadOnly:
		mask = accessRead
	case OpenWriteOnly:
		mask = accessWrite
	default:
		mask = accessRead | accessWrite
	}
	if flags&OpenTrunc != 0 {
		mask |= accessWrite
	}
	return fs.mayRecord(c, rec, mask)
}

// openLive opens an inode as it is now.
func (fs *FS) openLive(ino model.Ino, flags uint32) (Handle, syscall.Errno) {
	l := fs.lock(ino)
	defer fs.unlock(l)
	rec, errno := fs.statLive(l)
	if errno != 0 {
		return 0, errno
	}
	if rec.Nlink == 0 && !l.orphan {
		return 0, syscall.ESTALE
	}
	return fs.addOpen(l, &rec, flags), 0
}

// addOpen counts a handle of l. Holds l.mu.
func (fs *FS) addOpen(l *live, rec *model.Inode, flags uint32) Handle {
	h := &handle{live: l, flags: flags}
	if h.writes() {
		if l.writers == 0 && fs.restedNow(l, rec) {
			l.rested = true
		}
		l.writers++
	}
	l.opens++
	l.suid = l.suid || rec.Mode&(modeSUID|modeSGID) != 0 || rec.HasXattr
	fs.live.mu.Lock()
	l.refs++
	fs.live.mu.Unlock()
	return fs.addHandle(h)
}

// Release ends a handle of Open, Create or Tmpfile.
func (fs *FS) Release(node NodeID, fh Handle) {
	defer fs.guard("release", nil)
	h := fs.takeHandle(fh)
	if h == nil {
		return
	}
	if h.reader != nil {
		if err := h.reader.Close(); err != nil {
			fs.log.Error("close old content", "err", err)
		}
	}
	if h.live != nil {
		fs.closeLive(h)
	}
}

func (fs *FS) closeLive(h *handle) {
	l := h.live
	defer fs.live.put(l)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.opens--
	if h.writes() {
		l.writers--
		fs.lastWriter(l)
	}
	fs.idle(l)
}

// idle gives back what only handles need, when there are none. Holds l.mu.
func (fs *FS) idle(l *live) {
	if l.opens > 0 {
		return
	}
	fs.closeIdle(l)
	switch {
	case l.kept != nil:
		fs.nodes.closed(l)
		if err := l.reader.Close(); err != nil {
			fs.log.Error("close old content", "err", err)
		}
	case l.orphan:
		fs.forgetOrphan(l)
	}
}

// lastWriter writes the record when nobody writes the file any more. Holds l.mu.
func (fs *FS) lastWriter(l *live) {
	if l.writers > 0 || l.kept != nil || l.orphan {
		return
	}
	l.rested = false
	fs.settleFile(l)
	if errno := fs.flushRecord(l); errno != 0 && !l.stuck {
		l.stuck = true // stays in memory till SyncAll or the next close can write it
		fs.live.mu.Lock()
		l.refs++
		fs.live.mu.Unlock()
		fs.log.Error("write the attributes of a closed file", "ino", l.ino, "err", errno)
	}
	l.suid = false
	if l.dirty {
		l.dirty = false
		fs.tellDirty(l.ino)
	}
}

// settleFile notes the extents of what was written.
func (fs *FS) settleFile(l *live) {
	if l.file == nil {
		return
	}
	if err := l.file.Flush(); err != nil {
		fs.log.Error("note what was written", "ino", l.ino, "err", err)
	}
}

// Flush is close(2) of one descriptor.
func (fs *FS) Flush(ctx context.Context, node NodeID, fh Handle) (errno syscall.Errno) {
	defer fs.guard("flush", &errno)
	h := fs.handle(fh)
	if h == nil {
		return syscall.EBADF
	}
	if h.live == nil || !h.writes() {
		return 0
	}
	l := h.live
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		if err := l.file.Flush(); err != nil {
			return fs.errno("note what was written", err)
		}
	}
	return fs.flushRecord(l)
}

func (fs *FS) tellDirty(ino model.Ino) {
	if fs.cfg.Notify != nil {
		fs.cfg.Notify.Dirty(ino)
	}
}

// openNow tells whether there are handles.
func (l *live) openNow() bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.opens > 0
}

// borrow gives the local content of l for one operation.
func (fs *FS) borrow(l *live) (*stage.File, func(), syscall.Errno) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f, errno := fs.content(l)
	if errno != 0 {
		return nil, nil, errno
	}
	l.opens++
	return f, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.opens--
		fs.idle(l)
	}, 0
}
