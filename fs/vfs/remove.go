package vfs

import (
	"context"
	"errors"
	"syscall"
	"time"

	"github.com/cloudcoin/cloudcoin/sync/index"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// Unlink removes the name of what isn't a folder.
func (fs *FS) Unlink(ctx context.Context, c Caller, parent NodeID, name string) (errno syscall.Errno) {
	defer fs.guard("unlink", &errno)
	return fs.remove(c, parent, name, false)
}

// Rmdir removes an empty folder.
func (fs *FS) Rmdir(ctx context.Context, c Caller, parent NodeID, name string) (errno syscall.Errno) {
	defer fs.guard("rmdir", &errno)
	switch name {
	case ".":
		return syscall.EINVAL
	case "..":
		return syscall.ENOTEMPTY
	}
	return fs.remove(c, parent, name, true)
}

// checkOld is checkName for a name that should exist.
func checkOld(parent model.Ino, name string) syscall.Errno {
	switch errno := checkName(parent, name); {
	case errno == syscall.EINVAL:
		return syscall.ENOENT
	case errno == syscall.EEXIST:
		return syscall.EBUSY
	default:
		return errno
	}
}

func (fs *FS) remove(c Caller, parent NodeID, name string, folder bool) syscall.Errno {
	dir, errno := fs.changing(parent)
	if errno != 0 {
		return errno
	}
	if errno := checkOld(dir, name); errno != 0 {
		return errno
	}
	fs.ns.RLock()
	defer fs.ns.RUnlock()
	d := fs.live.get(dir)
	defer fs.live.put(d)
	d.mu.Lock()
	defer d.mu.Unlock()
	prec, errno := fs.folder(c, dir, accessWrite|accessExec)
	if errno != 0 {
		return errno
	}
	dirent, errno := fs.dirent(dir, name)
	switch {
	case errno != 0:
		return errno
	case folder && dirent.Type != model.TypeDir:
		return syscall.ENOTDIR
	case !folder && dirent.Type == model.TypeDir:
		return syscall.EISDIR
	}
	l := fs.live.get(dirent.Ino)
	defer fs.live.put(l)
	l.mu.Lock()
	defer l.mu.Unlock()
	loss, errno := fs.losing(c, &prec, l)
	if errno != 0 {
		return errno
	}
	now := fs.now().UnixNano()
	b := fs.x.Begin()
	b.RemoveDirent(dir, name)
	prec.Mtime, prec.Ctime = now, now
	if folder {
		prec.Nlink--
	}
	b.PutInode(&prec)
	loss.stage(b, now)
	defer loss.done()
	if errno := fs.commit(b); errno != 0 {
		return errno
	}
	loss.committed()
	return 0
}

// dirent reads a name of a folder.
func (fs *FS) dirent(dir model.Ino, name string) (model.Dirent, syscall.Errno) {
	d, err := fs.x.Now().Lookup(dir, name)
	if errors.Is(err, index.ErrNotFound) {
		return d, syscall.ENOENT
	}
	return d, fs.errno("look up name", err)
}

// loss is the step of an operation by which an inode loses one of its names.
type loss struct {
	fs     *FS
	l      *live
	rec    model.Inode
	forget bool // no trace is to be left
	linger bool // the kernel may be about to open it: kept like an open file
	unlist orphanChange
}

// losing looks whether l may lose a name in the folder prec, and freezes its content if it has been at rest. Holds l.mu.
func (fs *FS) losing(c Caller, prec *model.Inode, l *live) (*loss, syscall.Errno) {
	rec, errno := fs.settleRested(l)
	if errno != 0 {
		return nil, errno
	}
	if errno := fs.maySticky(c, prec, &rec); errno != 0 {
		return nil, errno
	}
	if rec.IsDir() {
		empty, err := fs.x.Now().IsEmpty(l.ino)
		if err != nil {
			return nil, fs.errno("look into folder", err)
		}
		if !empty {
			return nil, syscall.ENOTEMPTY
		}
		if errno := fs.keepFolder(l, &rec); errno != 0 {
			return nil, errno
		}
	}
	return &loss{fs: fs, l: l, rec: rec}, 0
}

// keepFolder settles the record of a folder that was there for a while: it is the way to what rested in it. Holds l.mu.
func (fs *FS) keepFolder(l *live, rec *model.Inode) syscall.Errno {
	if fs.now().Sub(time.Unix(0, rec.Btime)) < fs.cfg.RestAfter {
		return 0
	}
	b := fs.x.Begin()
	b.Settle(l.ino)
	return fs.commit(b)
}

// stage adds the loss to a batch. done must follow the commit.
func (s *loss) stage(b *index.Batch, now int64) {
	fs, l, rec := s.fs, s.l, &s.rec
	l.ctimeNow(rec, now)
	if rec.IsDir() {
		rec.Nlink = 0
	} else {
		rec.Nlink--
	}
	switch {
	case rec.Nlink > 0:
		fs.put(b, l, rec)
		return
	case (l.opens > 0 || s.linger) && !rec.IsDir():
		s.unlist = fs.orphans.add(b, l.ino)
	default:
		s.forget = fs.forgettable(rec)
	}
	if s.forget {
		b.ForgetInode(l.ino)
		return
	}
	b.PutInode(tombstone(rec))
}

// tombstone is the record of an inode without names: nothing of it is to be uploaded any more.
func tombstone(rec *model.Inode) *model.Inode {
	t := *rec
	t.Nlink = 0
	if t.Content.Kind == model.ContentStaged {
		t.Content = model.Content{Rev: t.Content.Rev}
		if t.Content.Rev != 0 {
			t.Content.Kind = model.ContentStored
		}
	}
	return &t
}

// committed follows a commit that succeeded.
func (s *loss) committed() {
	fs, l := s.fs, s.l
	if s.rec.Nlink > 0 {
		fs.written(l)
		return
	}
	if s.linger {
		fs.keepReplaced(l)
	}
	if l.opens > 0 && !s.rec.IsDir() {
		s.unlist.commit()
		l.orphan = true
		return
	}
	if s.rec.IsRegular() {
		fs.closeIdle(l)
		fs.dropContent(l.ino)
	}
}

func (s *loss) done() { s.unlist.done() }
