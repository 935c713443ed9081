package vfs

import (
	"context"
	"errors"
	"strings"
	"syscall"

	"github.com/cloudcoin/cloudcoin/sync/index"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// namespaces of extended attributes that are kept; the values are opaque.
var namespaces = []string{"user.", "trusted.", "security.", accessACL, defaultACL}

// checkXattr tells whether an attribute of that name can be on an inode.
func checkXattr(rec *model.Inode, name string) syscall.Errno {
	if name == "" || len(name) > MaxXattrName {
		return syscall.ERANGE
	}
	if strings.IndexByte(name, 0) >= 0 || name == "user." || name == "trusted." || name == "security." {
		return syscall.EINVAL
	}
	known := foreignXattrs
	for _, ns := range namespaces {
		if name == ns && strings.HasSuffix(ns, ".") {
			return syscall.EINVAL
		}
		known = known || strings.HasPrefix(name, ns)
	}
	switch {
	case !known:
		return syscall.EOPNOTSUPP
	case strings.HasPrefix(name, "user.") && !rec.IsRegular() && !rec.IsDir():
		return syscall.EPERM
	case name == defaultACL && !rec.IsDir():
		return syscall.EACCES
	}
	return 0
}

// GetXattr is the value of an extended attribute; ErrNoAttr when there is none. The value belongs to the caller.
func (fs *FS) GetXattr(ctx context.Context, c Caller, node NodeID, name string) (val []byte, errno syscall.Errno) {
	defer fs.guard("getxattr", &errno)
	p, rec, errno := fs.withAttrs(node)
	if errno != 0 {
		return nil, errno
	}
	if !rec.HasXattr {
		return nil, ErrNoAttr
	}
	if strings.HasPrefix(name, "user.") {
		if errno := fs.mayRecord(c, &rec, accessRead); errno != 0 {
			return nil, errno
		}
	}
	val, err := fs.view(p).Xattr(p.ino, name)
	if errors.Is(err, index.ErrNotFound) {
		return nil, ErrNoAttr
	}
	return val, fs.errno("read attribute", err)
}

// ListXattr is the names of the extended attributes.
func (fs *FS) ListXattr(ctx context.Context, c Caller, node NodeID) (names []string, errno syscall.Errno) {
	defer fs.guard("listxattr", &errno)
	p, rec, errno := fs.withAttrs(node)
	if errno != 0 || !rec.HasXattr {
		return nil, errno
	}
	names, err := fs.view(p).Xattrs(p.ino)
	return names, fs.errno("list attributes", err)
}

// withAttrs finds the inode of a node for reading its extended attributes. The control folders have none.
func (fs *FS) withAttrs(node NodeID) (place, model.Inode, syscall.Errno) {
	p, errno := fs.nodes.place(node)
	if errno != 0 || p.kind == kindControl || p.kind == kindAt {
		return p, model.Inode{}, errno
	}
	rec, errno := fs.statPlace(p, node)
	return p, rec, errno
}

// SetXattr sets an extended attribute.
func (fs *FS) SetXattr(ctx context.Context, c Caller, node NodeID, name string, value []byte, flags uint32) (errno syscall.Errno) {
	defer fs.guard("setxattr", &errno)
	if len(value) > MaxXattrValue {
		return syscall.E2BIG
	}
	return fs.changeXattrs(c, node, name, func(b *index.Batch, rec *model.Inode, exists bool) syscall.Errno {
		switch {
		case flags&XattrCreate != 0 && exists:
			return syscall.EEXIST
		case flags&XattrReplace != 0 && !exists:
			return ErrNoAttr
		}
		if !exists {
			if errno := fs.roomForXattr(rec, name); errno != 0 {
				return errno
			}
		}
		switch name {
		case accessACL:
			return fs.setAccessACL(b, rec, value, exists)
		case defaultACL:
			if _, errno := parseACL(value); errno != 0 {
				return errno
			}
		}
		b.SetXattr(rec.Ino, name, value)
		rec.HasXattr = true
		return 0
	})
}

// RemoveXattr removes an extended attribute; ErrNoAttr when there is none.
func (fs *FS) RemoveXattr(ctx context.Context, c Caller, node NodeID, name string) (errno syscall.Errno) {
	defer fs.guard("removexattr", &errno)
	return fs.changeXattrs(c, node, name, func(b *index.Batch, rec *model.Inode, exists bool) syscall.Errno {
		if !exists {
			return ErrNoAttr
		}
		return fs.dropXattr(b, rec, name)
	})
}

// dropXattr removes an attribute that exists.
func (fs *FS) dropXattr(b *index.Batch, rec *model.Inode, name string) syscall.Errno {
	names, err := fs.x.Now().Xattrs(rec.Ino)
	if err != nil {
		return fs.errno("list attributes", err)
	}
	b.RemoveXattr(rec.Ino, name)
	rec.HasXattr = len(names) > 1
	return 0
}

// changeXattrs runs change under the lock of the inode, and commits what it put into the batch.
func (fs *FS) changeXattrs(c Caller, node NodeID, name string, change func(b *index.Batch, rec *model.Inode, exists bool) syscall.Errno) syscall.Errno {
	ino, errno := fs.changing(node)
	if errno != 0 {
		return errno
	}
	rec, errno := fs.record(ino)
	if errno != 0 {
		return errno
	}
	if errno := checkXattr(&rec, name); errno != 0 {
		return errno
	}
	if rec.IsDir() {
		fs.ns.RLock()
		defer fs.ns.RUnlock()
	}
	l := fs.live.get(ino)
	defer fs.live.put(l)
	l.mu.Lock()
	defer l.mu.Unlock()
	if rec, errno = fs.settleRested(l); errno != 0 {
		return errno
	}
	if errno := fs.mayXattr(c, &rec, name); errno != 0 {
		return errno
	}
	exists := false
	if rec.HasXattr {
		_, err := fs.x.Now().Xattr(ino, name)
		if exists = err == nil; err != nil && !errors.Is(err, index.ErrNotFound) {
			return fs.errno("read attribute", err)
		}
	}
	b := fs.x.Begin()
	if errno := change(b, &rec, exists); errno != 0 {
		return errno
	}
	l.ctimeNow(&rec, fs.now().UnixNano())
	fs.put(b, l, &rec)
	if errno := fs.commit(b); errno != 0 {
		return errno
	}
	l.suid = l.suid || name == capability
	fs.written(l)
	return 0
}

// mayXattr checks who may change an attribute, when vfs does that itself.
func (fs *FS) mayXattr(c Caller, rec *model.Inode, name string) syscall.Errno {
	if !fs.cfg.CheckAccess || c.UID == 0 {
		return 0
	}
	if strings.HasPrefix(name, "user.") {
		return fs.permit(c, rec, accessWrite)
	}
	if uid, _ := fs.owner(rec); strings.HasPrefix(name, "system.") && c.UID == uid {
		return 0
	}
	return syscall.EPERM
}

// roomForXattr refuses a name that would make the list of names longer than listxattr(2) can give.
func (fs *FS) roomForXattr(rec *model.Inode, name string) syscall.Errno {
	if !rec.HasXattr {
		return 0
	}
	names, err := fs.x.Now().Xattrs(rec.Ino)
	if err != nil {
		return fs.errno("list attributes", err)
	}
	total := len(name) + 1
	for _, n := range names {
		total += len(n) + 1
	}
	if total > MaxXattrList {
		return syscall.ENOSPC
	}
	return 0
}
