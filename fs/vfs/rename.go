package vfs

import (
	"context"
	"syscall"

	"github.com/cloudcoin/cloudcoin/sync/index"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// rename is one renameat2 under way.
type rename struct {
	fs               *FS
	c                Caller
	oldDir, newDir   model.Ino
	oldName, newName string
	flags            uint32
	oldRec, newRec   *model.Inode // the folders; the same one when they are
	src, dst         model.Dirent
	over             bool // dst exists
	srcLive, dstLive *live
}

// Rename is renameat2(2).
func (fs *FS) Rename(ctx context.Context, c Caller, oldParent NodeID, oldName string, newParent NodeID, newName string, flags uint32) (errno syscall.Errno) {
	defer fs.guard("rename", &errno)
	defer fs.trimReplaced(mostLinger)
	r := &rename{fs: fs, c: c, oldName: oldName, newName: newName, flags: flags}
	if flags&^uint32(RenameNoReplace|RenameExchange) != 0 || flags == RenameNoReplace|RenameExchange {
		return syscall.EINVAL
	}
	if r.oldDir, errno = fs.changing(oldParent); errno != 0 {
		return errno
	}
	if r.newDir, errno = fs.changing(newParent); errno != 0 {
		return errno
	}
	if errno := checkOld(r.oldDir, oldName); errno != 0 {
		return errno
	}
	if errno := checkOld(r.newDir, newName); errno != 0 {
		return errno
	}
	src, errno := fs.dirent(r.oldDir, oldName)
	if errno != 0 {
		return errno
	}
	if errno := fs.syncBefore(ctx, src, r); errno != 0 {
		return errno
	}
	exclusive := r.oldDir != r.newDir || src.Type == model.TypeDir || flags&RenameExchange != 0
	again, errno := r.locked(exclusive)
	if again {
		_, errno = r.locked(true)
	}
	return errno
}

// syncBefore makes a new content that lies beside the journal durable before its name replaces an old one, so that a power cut leaves the old content
// or the new one. What is in the journal needs no flush: the rename comes after it there.
func (fs *FS) syncBefore(ctx context.Context, src model.Dirent, r *rename) syscall.Errno {
	if src.Type != model.TypeRegular || r.flags != 0 {
		return 0
	}
	if _, err := fs.x.Now().Lookup(r.newDir, r.newName); err != nil {
		return 0
	}
	rec, errno := fs.stat(src.Ino)
	if errno != 0 {
		return 0
	}
	l := fs.live.get(src.Ino)
	defer fs.live.put(l)
	if !l.openNow() && rec.Content.Kind != model.ContentStaged {
		return 0
	}
	f, closeFile, errno := fs.borrow(l)
	if errno != 0 {
		return errno
	}
	defer closeFile()
	if !f.Unsynced() {
		return 0
	}
	return fs.errno("sync before rename", f.Sync(ctx))
}

// locked does the rename. again: it must be done with the namespace locked, because a folder is moved.
func (r *rename) locked(exclusive bool) (again bool, errno syscall.Errno) {
	fs := r.fs
	if exclusive {
		fs.ns.Lock()
		defer fs.ns.Unlock()
	} else {
		fs.ns.RLock()
		defer fs.ns.RUnlock()
		d := fs.live.get(r.oldDir)
		defer fs.live.put(d)
		d.mu.Lock()
		defer d.mu.Unlock()
	}
	if errno = r.look(); errno != 0 {
		return false, errno
	}
	if !exclusive && r.src.Type == model.TypeDir {
		return true, 0
	}
	if r.over && r.dst.Ino == r.src.Ino {
		return false, 0 // two names of one file: nothing happens
	}
	if errno = r.mayMove(); errno != 0 {
		return false, errno
	}
	unlock := r.lockInodes()
	defer unlock()
	if r.flags&RenameExchange != 0 {
		return false, r.exchange()
	}
	return false, r.move()
}

// look reads folders and names.
func (r *rename) look() syscall.Errno {
	fs := r.fs
	oldRec, errno := fs.folder(r.c, r.oldDir, accessWrite|accessExec)
	if errno != 0 {
		return errno
	}
	r.oldRec, r.newRec = &oldRec, &oldRec
	if r.newDir != r.oldDir {
		newRec, errno := fs.folder(r.c, r.newDir, accessWrite|accessExec)
		if errno != 0 {
			return errno
		}
		r.newRec = &newRec
	}
	if r.src, errno = fs.dirent(r.oldDir, r.oldName); errno != 0 {
		return errno
	}
	r.dst, errno = fs.dirent(r.newDir, r.newName)
	r.over = errno == 0
	switch {
	case errno != 0 && errno != syscall.ENOENT:
		return errno
	case r.over && r.flags&RenameNoReplace != 0:
		return syscall.EEXIST
	case !r.over && r.flags&RenameExchange != 0:
		return syscall.ENOENT
	}
	return 0
}

// mayMove checks types, and that no folder comes to lie below itself.
func (r *rename) mayMove() syscall.Errno {
	fs := r.fs
	if r.src.Type == model.TypeDir {
		below, errno := fs.isBelow(r.newDir, r.src.Ino)
		switch {
		case errno != 0:
			return errno
		case below:
			return syscall.EINVAL
		}
	}
	if !r.over {
		return 0
	}
	if r.dst.Type == model.TypeDir && r.newDir != r.oldDir {
		below, errno := fs.isBelow(r.oldDir, r.dst.Ino)
		switch {
		case errno != 0:
			return errno
		case below && r.flags&RenameExchange != 0:
			return syscall.EINVAL
		case below:
			return syscall.ENOTEMPTY
		}
	}
	switch {
	case r.flags&RenameExchange != 0:
		return 0
	case r.src.Type == model.TypeDir && r.dst.Type != model.TypeDir:
		return syscall.ENOTDIR
	case r.src.Type != model.TypeDir && r.dst.Type == model.TypeDir:
		return syscall.EISDIR
	}
	return 0
}

// isBelow tells whether folder dir is top or lies below it.
func (fs *FS) isBelow(dir, top model.Ino) (bool, syscall.Errno) {
	for dir != top {
		if dir == model.RootIno {
			return false, 0
		}
		rec, errno := fs.record(dir)
		if errno != 0 {
			return false, errno
		}
		dir = rec.Parent
	}
	return true, 0
}

// lockInodes locks what is moved and what it replaces, by inode number.
func (r *rename) lockInodes() (unlock func()) {
	fs := r.fs
	r.srcLive = fs.live.get(r.src.Ino)
	if !r.over {
		r.srcLive.mu.Lock()
		return func() {
			r.srcLive.mu.Unlock()
			fs.live.put(r.srcLive)
		}
	}
	r.dstLive = fs.live.get(r.dst.Ino)
	a, b := r.srcLive, r.dstLive
	if a.ino > b.ino {
		a, b = b, a
	}
	a.mu.Lock()
	b.mu.Lock()
	return func() {
		b.mu.Unlock()
		a.mu.Unlock()
		fs.live.put(a)
		fs.live.put(b)
	}
}

// moved readies the record of what gets the name in a folder, and counts the folders' links.
func (r *rename) moved(l *live, from, to *model.Inode, name string, now int64) (model.Inode, syscall.Errno) {
	rec, errno := r.fs.settleRested(l)
	if errno != 0 {
		return rec, errno
	}
	if errno := r.fs.maySticky(r.c, from, &rec); errno != 0 {
		return rec, errno
	}
	l.ctimeNow(&rec, now)
	rec.Parent, rec.Name = to.Ino, name
	if rec.IsDir() {
		from.Nlink--
		to.Nlink++
	}
	return rec, 0
}

// putFolders adds the folders' records.
func (r *rename) putFolders(b *index.Batch, now int64) {
	r.oldRec.Mtime, r.oldRec.Ctime = now, now
	b.PutInode(r.oldRec)
	if r.newRec != r.oldRec {
		r.newRec.Mtime, r.newRec.Ctime = now, now
		b.PutInode(r.newRec)
	}
}

// move gives the source the new name, and takes the name from what had it.
func (r *rename) move() syscall.Errno {
	fs, now := r.fs, r.fs.now().UnixNano()
	var lost *loss
	var errno syscall.Errno
	if r.over {
		if lost, errno = fs.losing(r.c, r.newRec, r.dstLive); errno != 0 {
			return errno
		}
	}
	rec, errno := r.moved(r.srcLive, r.oldRec, r.newRec, r.newName, now)
	if errno != 0 {
		return errno
	}
	b := fs.x.Begin()
	if lost != nil {
		if lost.rec.IsDir() {
			r.newRec.Nlink--
		}
		lost.linger = lost.rec.IsRegular() && lost.rec.Nlink == 1 && fs.kernel.Load() != nil
		lost.stage(b, now)
		defer lost.done()
	}
	b.RemoveDirent(r.oldDir, r.oldName)
	b.PutDirent(r.newDir, r.newName, r.src.Ino, r.src.Type)
	fs.put(b, r.srcLive, &rec)
	r.putFolders(b, now)
	if errno := fs.commit(b); errno != 0 {
		return errno
	}
	if lost != nil {
		lost.committed()
	}
	fs.moved(r.srcLive, &rec)
	return 0
}

// exchange swaps two names.
func (r *rename) exchange() syscall.Errno {
	fs, now := r.fs, r.fs.now().UnixNano()
	a, errno := r.moved(r.srcLive, r.oldRec, r.newRec, r.newName, now)
	if errno != 0 {
		return errno
	}
	z, errno := r.moved(r.dstLive, r.newRec, r.oldRec, r.oldName, now)
	if errno != 0 {
		return errno
	}
	b := fs.x.Begin()
	b.PutDirent(r.newDir, r.newName, r.src.Ino, r.src.Type)
	b.PutDirent(r.oldDir, r.oldName, r.dst.Ino, r.dst.Type)
	fs.put(b, r.srcLive, &a)
	fs.put(b, r.dstLive, &z)
	r.putFolders(b, now)
	if errno := fs.commit(b); errno != 0 {
		return errno
	}
	fs.moved(r.srcLive, &a)
	fs.moved(r.dstLive, &z)
	return 0
}

// moved follows the commit of a new name. Holds l.mu.
func (fs *FS) moved(l *live, rec *model.Inode) {
	fs.written(l)
	if l.file != nil {
		l.file.SetPath(fs.pathOf(rec))
	}
}
