package vfs

import (
	"context"
	"errors"
	"strings"
	"syscall"

	"github.com/cloudcoin/cloudcoin/sync/index"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// controlName is the folder in the root that listings don't show.
const controlName = ".ccdrive"

const (
	modeSUID   uint32 = 0o4000
	modeSGID   uint32 = 0o2000
	modeSticky uint32 = 0o1000
	permBits   uint32 = 0o7777
)

// checkName tells whether a name can be made in a folder.
func checkName(parent model.Ino, name string) syscall.Errno {
	switch {
	case len(name) > MaxName:
		return syscall.ENAMETOOLONG
	case name == "" || strings.ContainsAny(name, "/\x00"):
		return syscall.EINVAL
	case name == "." || name == "..":
		return syscall.EEXIST
	case parent == model.RootIno && name == controlName:
		return syscall.EPERM
	}
	return 0
}

// Lookup finds a name. ENOENT when there is none; then Entry.EntryValid says how long the kernel may remember that.
func (fs *FS) Lookup(ctx context.Context, c Caller, parent NodeID, name string) (e Entry, errno syscall.Errno) {
	defer fs.guard("lookup", &errno)
	if len(name) > MaxName {
		return e, syscall.ENAMETOOLONG
	}
	p, errno := fs.nodes.place(parent)
	if errno != 0 {
		return e, errno
	}
	switch {
	case p.kind == kindControl || p.kind == kindAt:
		return fs.lookupControl(p, name)
	case p.kind == kindLive && p.ino == model.RootIno && name == controlName && fs.cfg.At == 0:
		return fs.controlEntry(controlNode), 0
	}
	if errno := fs.mayDo(c, p, parent, accessExec); errno != 0 {
		return e, errno
	}
	ino, errno := fs.child(p, name)
	if errno == syscall.ENOENT {
		return Entry{EntryValid: fs.cfg.Valid}, errno
	}
	if errno != 0 {
		return e, errno
	}
	return fs.entryOf(p, ino)
}

// child finds the inode of a name, "." and ".." included.
func (fs *FS) child(p place, name string) (model.Ino, syscall.Errno) {
	v := fs.view(p)
	if name == "." || name == ".." {
		rec, err := v.Inode(p.ino)
		if name == ".." {
			return rec.Parent, fs.errno("look up", err)
		}
		return p.ino, fs.errno("look up", err)
	}
	d, err := v.Lookup(p.ino, name)
	if err == nil {
		return d.Ino, 0
	}
	if !errors.Is(err, index.ErrNotFound) {
		return 0, fs.errno("look up name", err)
	}
	rec, err := v.Inode(p.ino)
	switch {
	case errors.Is(err, index.ErrNotFound):
		return 0, syscall.ESTALE
	case err == nil && !rec.IsDir():
		return 0, syscall.ENOTDIR
	}
	if err != nil {
		return 0, fs.errno("look up name", err)
	}
	return 0, syscall.ENOENT
}

// entryOf is the entry of an inode beside p, with a reference.
func (fs *FS) entryOf(p place, ino model.Ino) (Entry, syscall.Errno) {
	at := place{kind: kindLive, ino: ino}
	if p.kind == kindView {
		at = place{kind: kindView, ino: ino, rev: p.rev}
	}
	rec, errno := fs.statPlace(at, 0)
	if errno != 0 {
		return Entry{}, errno
	}
	return fs.entry(at, &rec), 0
}

// entry is the entry of a record, with a reference.
func (fs *FS) entry(p place, rec *model.Inode) Entry {
	return Entry{
		Node: fs.nodes.ref(rec.Ino, p.rev), Attr: fs.attr(p, rec),
		AttrValid: fs.cfg.Valid, EntryValid: fs.cfg.Valid,
	}
}

// Forget gives n references of node back.
func (fs *FS) Forget(node NodeID, n uint64) {
	defer fs.guard("forget", nil)
	if node < firstFreeNode {
		fs.dropReplaced(model.Ino(node))
		return
	}
	fs.nodes.forget(node, n)
}

// Mknod makes a regular file, fifo, socket or device node; mode holds the type. rdev as in st_rdev.
func (fs *FS) Mknod(ctx context.Context, c Caller, parent NodeID, name string, mode uint32, rdev uint64) (e Entry, errno syscall.Errno) {
	defer fs.guard("mknod", &errno)
	rec := model.Inode{Mode: mode, Rdev: rdev}
	switch mode & model.TypeMask {
	case 0:
		rec.Mode |= model.TypeRegular
	case model.TypeRegular, model.TypeFIFO, model.TypeSocket:
		rec.Rdev = 0
	case model.TypeChar, model.TypeBlock:
	default:
		return e, syscall.EINVAL
	}
	return fs.make(c, parent, name, &rec, nil)
}

// Mkdir makes a folder.
func (fs *FS) Mkdir(ctx context.Context, c Caller, parent NodeID, name string, mode uint32) (e Entry, errno syscall.Errno) {
	defer fs.guard("mkdir", &errno)
	rec := model.Inode{Mode: model.TypeDir | mode&permBits}
	return fs.make(c, parent, name, &rec, nil)
}

// Symlink makes a symbolic link to target.
func (fs *FS) Symlink(ctx context.Context, c Caller, parent NodeID, name, target string) (e Entry, errno syscall.Errno) {
	defer fs.guard("symlink", &errno)
	switch {
	case target == "":
		return e, syscall.ENOENT
	case len(target) > MaxSymlink:
		return e, syscall.ENAMETOOLONG
	case strings.ContainsRune(target, 0):
		return e, syscall.EINVAL
	}
	rec := model.Inode{Mode: model.TypeSymlink | 0o777, Symlink: target, Size: int64(len(target))}
	return fs.make(c, parent, name, &rec, nil)
}

// Readlink is the target of a symbolic link.
func (fs *FS) Readlink(ctx context.Context, c Caller, node NodeID) (target string, errno syscall.Errno) {
	defer fs.guard("readlink", &errno)
	p, errno := fs.nodes.place(node)
	if errno != 0 {
		return "", errno
	}
	rec, errno := fs.statPlace(p, node)
	if errno == 0 && rec.Type() != model.TypeSymlink {
		errno = syscall.EINVAL
	}
	return rec.Symlink, errno
}

// make gives a new inode its first name. Before the folder is unlocked, made (when not nil) is called with the new inode's state.
// EEXIST when the name is taken.
func (fs *FS) make(c Caller, parent NodeID, name string, rec *model.Inode, made func(*live)) (Entry, syscall.Errno) {
	dir, errno := fs.changing(parent)
	if errno != 0 {
		return Entry{}, errno
	}
	if errno := checkName(dir, name); errno != 0 {
		return Entry{}, errno
	}
	fs.ns.RLock()
	defer fs.ns.RUnlock()
	d := fs.live.get(dir)
	defer fs.live.put(d)
	d.mu.Lock()
	defer d.mu.Unlock()
	prec, errno := fs.folder(c, dir, accessWrite|accessExec)
	if errno != 0 {
		return Entry{}, errno
	}
	switch _, err := fs.x.Now().Lookup(dir, name); {
	case err == nil:
		return Entry{}, syscall.EEXIST
	case !errors.Is(err, index.ErrNotFound):
		return Entry{}, fs.errno("look up name", err)
	}
	if errno := fs.initInode(c, &prec, name, rec); errno != 0 {
		return Entry{}, errno
	}
	b := fs.x.Begin()
	if errno := fs.inheritACL(b, c, &prec, rec); errno != 0 {
		return Entry{}, errno
	}
	b.PutInode(rec)
	b.PutDirent(dir, name, rec.Ino, rec.Type())
	prec.Mtime, prec.Ctime = rec.Ctime, rec.Ctime
	if rec.IsDir() {
		prec.Nlink++
	}
	b.PutInode(&prec)
	if errno := fs.commit(b); errno != 0 {
		return Entry{}, errno
	}
	rec.Rev = fs.x.LastRev()
	if made != nil {
		l := fs.live.get(rec.Ino)
		defer fs.live.put(l)
		made(l)
	}
	return fs.entry(place{kind: kindLive, ino: rec.Ino}, rec), 0
}

// folder reads the record of a folder that is about to change. ENOENT when it was removed, ENOTDIR when it isn't one.
func (fs *FS) folder(c Caller, dir model.Ino, mask uint32) (model.Inode, syscall.Errno) {
	rec, errno := fs.record(dir)
	switch {
	case errno != 0:
		return rec, errno
	case !rec.IsDir():
		return rec, syscall.ENOTDIR
	case rec.Nlink == 0:
		return rec, syscall.ENOENT
	}
	return rec, fs.mayRecord(c, &rec, mask)
}

// initInode fills number, owner and times of a new inode in a folder.
func (fs *FS) initInode(c Caller, prec *model.Inode, name string, rec *model.Inode) syscall.Errno {
	ino, err := fs.x.NextIno()
	if err != nil {
		return fs.errno("take an inode number", err)
	}
	now := fs.now().UnixNano()
	rec.Ino, rec.Nlink, rec.UID, rec.GID = ino, 1, c.UID, c.GID
	if o := fs.cfg.Owner; o != nil {
		rec.UID, rec.GID = o.UID, o.GID
	}
	if rec.IsDir() {
		rec.Nlink = 2
	}
	if prec.Mode&modeSGID != 0 {
		rec.GID = prec.GID
		if rec.IsDir() {
			rec.Mode |= modeSGID
		} else if fs.cfg.CheckAccess && c.UID != 0 && c.GID != rec.GID && rec.Mode&0o010 != 0 {
			rec.Mode &^= modeSGID
		}
	}
	rec.Atime, rec.Mtime, rec.Ctime, rec.Btime = now, now, now, now
	rec.Parent, rec.Name = prec.Ino, name
	return 0
}

// Link gives node another name. A file of Tmpfile gets its first.
func (fs *FS) Link(ctx context.Context, c Caller, node, newParent NodeID, newName string) (e Entry, errno syscall.Errno) {
	defer fs.guard("link", &errno)
	ino, errno := fs.changing(node)
	if errno != 0 {
		return e, errno
	}
	dir, errno := fs.changing(newParent)
	if errno != 0 {
		return e, errno
	}
	if errno := checkName(dir, newName); errno != 0 {
		return e, errno
	}
	fs.ns.RLock()
	defer fs.ns.RUnlock()
	d := fs.live.get(dir)
	defer fs.live.put(d)
	d.mu.Lock()
	defer d.mu.Unlock()
	prec, errno := fs.folder(c, dir, accessWrite|accessExec)
	if errno != 0 {
		return e, errno
	}
	switch _, err := fs.x.Now().Lookup(dir, newName); {
	case err == nil:
		return e, syscall.EEXIST
	case !errors.Is(err, index.ErrNotFound):
		return e, fs.errno("look up name", err)
	}
	if ino == dir {
		return e, syscall.EPERM
	}
	l := fs.live.get(ino)
	defer fs.live.put(l)
	rec, errno := fs.link(l, &prec, newName)
	if errno != 0 {
		return e, errno
	}
	return fs.entry(place{kind: kindLive, ino: ino}, &rec), 0
}

// link is Link with the folder locked and looked at.
func (fs *FS) link(l *live, prec *model.Inode, name string) (model.Inode, syscall.Errno) {
	rec, errno := fs.record(l.ino)
	if errno == 0 && rec.IsDir() {
		return rec, syscall.EPERM
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if rec, errno = fs.settleRested(l); errno != 0 {
		return rec, errno
	}
	switch {
	case rec.Nlink == 0 && !l.tmpfile:
		return rec, syscall.ENOENT
	case rec.Nlink >= MaxLinks:
		return rec, syscall.EMLINK
	}
	now := fs.now().UnixNano()
	l.ctimeNow(&rec, now)
	rec.Nlink++
	rec.Parent, rec.Name = prec.Ino, name
	prec.Mtime, prec.Ctime = now, now
	b := fs.x.Begin()
	unlist := fs.orphans.remove(b, l)
	defer unlist.done()
	wasOrphan := l.orphan
	l.orphan = false
	fs.put(b, l, &rec)
	b.PutDirent(prec.Ino, name, l.ino, rec.Type())
	b.PutInode(prec)
	if errno := fs.commit(b); errno != 0 {
		l.orphan = wasOrphan
		return rec, errno
	}
	unlist.commit()
	l.tmpfile = false
	fs.written(l)
	if l.file != nil {
		l.file.SetPath(fs.pathOf(&rec))
		if wasOrphan && l.file.Dirty() {
			l.dirty = true
			fs.tellDirty(l.ino)
		}
	}
	return rec, 0
}
