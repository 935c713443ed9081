package vfs

import (
	"context"
	"errors"
	"syscall"

	"github.com/cloudcoin/cloudcoin/sync/index"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// Cookies of the two names that every folder has; those of the index lie above (1 and 2 there would come twice, never be left out).
const (
	cookieDot    = 1
	cookieDotDot = 2
)

// OpenDir opens a folder for reading.
func (fs *FS) OpenDir(ctx context.Context, c Caller, node NodeID) (fh Handle, of OpenFlags, errno syscall.Errno) {
	defer fs.guard("opendir", &errno)
	p, errno := fs.nodes.place(node)
	if errno != 0 {
		return 0, of, errno
	}
	if p.kind != kindControl && p.kind != kindAt {
		rec, errno := fs.statPlace(p, node)
		switch {
		case errno != 0:
			return 0, of, errno
		case !rec.IsDir():
			return 0, of, syscall.ENOTDIR
		}
		if errno := fs.mayRecord(c, &rec, accessRead); errno != 0 {
			return 0, of, errno
		}
	}
	return fs.addHandle(&handle{dir: p}), OpenFlags{KeepCache: true}, 0
}

// ReleaseDir ends a handle of OpenDir.
func (fs *FS) ReleaseDir(node NodeID, fh Handle) {
	defer fs.guard("releasedir", nil)
	fs.takeHandle(fh)
}

// ReadDir lists entries behind cookie (0: from the start) until add returns false; that entry isn't consumed. "." and ".." come first.
// With plus, entries carry attributes, and each that add took counts a reference. add must not call into FS.
func (fs *FS) ReadDir(ctx context.Context, c Caller, node NodeID, fh Handle, cookie uint64, plus bool, add func(*DirEntry) bool) (errno syscall.Errno) {
	defer fs.guard("readdir", &errno)
	p, errno := fs.nodes.place(node)
	if h := fs.handle(fh); h != nil {
		p, errno = h.dir, 0
	}
	if errno != 0 {
		return errno
	}
	full, errno := fs.dots(p, node, cookie, add)
	if full || errno != 0 {
		return errno
	}
	if p.kind == kindControl || p.kind == kindAt {
		return fs.listControl(p, cookie, plus, add)
	}
	if cookie <= cookieDotDot {
		cookie = 0
	}
	if plus {
		return fs.listPlus(p, cookie, add)
	}
	err := fs.view(p).ReadDir(p.ino, cookie, func(d model.Dirent) bool {
		ino := uint64(d.Ino)
		if p.kind == kindView {
			ino = viewIno(p.rev, d.Ino)
		}
		return add(&DirEntry{Name: d.Name, Ino: ino, Type: d.Type, Cookie: d.Cookie})
	})
	return fs.errno("list folder", err)
}

// dots lists "." and "..". full: the listing ends here.
func (fs *FS) dots(p place, node NodeID, cookie uint64, add func(*DirEntry) bool) (full bool, errno syscall.Errno) {
	if cookie >= cookieDotDot {
		return false, 0
	}
	self, up := uint64(node), uint64(RootNode)
	if p.kind == kindLive || p.kind == kindView {
		rec, err := fs.view(p).Inode(p.ino)
		switch {
		case errors.Is(err, index.ErrNotFound) || err == nil && rec.Nlink == 0:
			return true, 0 // removed: nothing to list, as on a local disk
		case err != nil:
			return false, fs.errno("list folder", err)
		}
		self, up = uint64(rec.Ino), uint64(rec.Parent)
		if p.kind == kindView {
			self, up = viewIno(p.rev, rec.Ino), viewIno(p.rev, rec.Parent)
		}
	}
	if cookie < cookieDot && !add(&DirEntry{Name: ".", Ino: self, Type: model.TypeDir, Cookie: cookieDot}) {
		return true, 0
	}
	return !add(&DirEntry{Name: "..", Ino: up, Type: model.TypeDir, Cookie: cookieDotDot}), 0
}

// listPlus lists names with attributes. What is ahead of the index in memory is looked for at each regular file.
func (fs *FS) listPlus(p place, cookie uint64, add func(*DirEntry) bool) syscall.Errno {
	live := p.kind == kindLive && fs.cfg.At == 0
	var errno syscall.Errno
	err := fs.view(p).ReadDirPlus(p.ino, cookie, func(d model.Dirent, rec model.Inode) bool {
		if live && rec.IsRegular() {
			if rec, errno = fs.newest(rec); errno != 0 {
				return false
			}
		}
		at := place{kind: p.kind, ino: rec.Ino, rev: p.rev}
		de := DirEntry{Name: d.Name, Type: d.Type, Cookie: d.Cookie, Entry: fs.entry(at, &rec)}
		de.Ino = de.Entry.Attr.Ino
		if add(&de) {
			return true
		}
		fs.nodes.forget(de.Entry.Node, 1)
		return false
	})
	if errno != 0 {
		return errno
	}
	return fs.errno("list folder", err)
}

// newest is the record with what memory is ahead.
func (fs *FS) newest(rec model.Inode) (model.Inode, syscall.Errno) {
	l := fs.live.find(rec.Ino)
	if l == nil {
		return rec, 0
	}
	defer fs.live.put(l)
	l.mu.RLock()
	defer l.mu.RUnlock()
	return fs.statLive(l)
}
