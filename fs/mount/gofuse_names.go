//go:build linux || darwin || freebsd

package mount

import (
	"context"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/cloudcoin/cloudcoin/fs/vfs"
)

// background is the context of operations that never wait for the network.
var background = context.Background()

// Lookup finds a name; that there is none is remembered by the kernel too.
func (g *goFuse) Lookup(_ <-chan struct{}, in *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	e, errno := g.fs.Lookup(background, caller(in), in.NodeId, name)
	return g.entry(out, &e, fuse.Status(errno))
}

// entry fills the answer of all operations that end with an entry.
func (g *goFuse) entry(out *fuse.EntryOut, e *vfs.Entry, status fuse.Status) fuse.Status {
	if status.Ok() {
		g.fillEntry(out, e)
	}
	return status
}

// Forget gives references back.
func (g *goFuse) Forget(node, n uint64) { g.fs.Forget(node, n) }

// GetAttr is stat(2).
func (g *goFuse) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	var fh vfs.Handle
	if in.Flags()&fuse.FUSE_GETATTR_FH != 0 {
		fh = in.Fh()
	}
	a, errno := g.fs.GetAttr(background, caller(&in.InHeader), in.NodeId, fh)
	return g.attr(out, &a, fuse.Status(errno))
}

func (g *goFuse) attr(out *fuse.AttrOut, a *vfs.Attr, status fuse.Status) fuse.Status {
	if status.Ok() {
		fillAttr(&out.Attr, a)
		out.SetTimeout(g.opt.AttrTimeout)
	}
	return status
}

// setFields pairs the bits of SETATTR with those of vfs.
var setFields = []struct {
	fuse uint32
	vfs  vfs.Set
}{
	{fuse.FATTR_MODE, vfs.SetMode},
	{fuse.FATTR_UID, vfs.SetUID},
	{fuse.FATTR_GID, vfs.SetGID},
	{fuse.FATTR_SIZE, vfs.SetSize},
	{fuse.FATTR_ATIME, vfs.SetAtime},
	{fuse.FATTR_MTIME, vfs.SetMtime},
	{fuse.FATTR_CTIME, vfs.SetCtime},
	{fuse.FATTR_ATIME_NOW, vfs.SetAtimeNow},
	{fuse.FATTR_MTIME_NOW, vfs.SetMtimeNow},
	{fuse.FATTR_KILL_SUIDGID, vfs.SetKillPriv},
}

// setValid translates which fields hold.
func setValid(valid uint32) (s vfs.Set) {
	for _, f := range setFields {
		if valid&f.fuse != 0 {
			s |= f.vfs
		}
	}
	return s
}

// SetAttr is chmod, chown, truncate and utimensat, and the kernel's word about times of files in its writeback cache.
func (g *goFuse) SetAttr(cancel <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	ctx := newRequest(cancel, in.Pid)
	defer ctx.end()
	var fh vfs.Handle
	if in.Valid&fuse.FATTR_FH != 0 {
		fh = in.Fh
	}
	a, errno := g.fs.SetAttr(ctx, caller(&in.InHeader), in.NodeId, fh, vfs.SetAttr{
		Valid: setValid(in.Valid),
		Mode:  in.Mode & 0o7777,
		UID:   in.Uid,
		GID:   in.Gid,
		Size:  int64(in.Size),
		Atime: joinTime(in.Atime, in.Atimensec),
		Mtime: joinTime(in.Mtime, in.Mtimensec),
		Ctime: joinTime(in.Ctime, in.Ctimensec),
	})
	return g.attr(out, &a, fuse.Status(errno))
}

// Readlink is the target of a symbolic link.
func (g *goFuse) Readlink(_ <-chan struct{}, in *fuse.InHeader) ([]byte, fuse.Status) {
	target, errno := g.fs.Readlink(background, caller(in), in.NodeId)
	return []byte(target), fuse.Status(errno)
}

// Mknod makes files, fifos, sockets and device nodes.
func (g *goFuse) Mknod(_ <-chan struct{}, in *fuse.MknodIn, name string, out *fuse.EntryOut) fuse.Status {
	c := caller(&in.InHeader)
	c.Umask = in.Umask
	e, errno := g.fs.Mknod(background, c, in.NodeId, name, in.Mode, uint64(in.Rdev))
	return g.entry(out, &e, fuse.Status(errno))
}

// Mkdir makes a folder.
func (g *goFuse) Mkdir(_ <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	c := caller(&in.InHeader)
	c.Umask = in.Umask
	e, errno := g.fs.Mkdir(background, c, in.NodeId, name, in.Mode)
	return g.entry(out, &e, fuse.Status(errno))
}

// Symlink makes a symbolic link.
func (g *goFuse) Symlink(_ <-chan struct{}, in *fuse.InHeader, target, name string, out *fuse.EntryOut) fuse.Status {
	e, errno := g.fs.Symlink(background, caller(in), in.NodeId, name, target)
	return g.entry(out, &e, fuse.Status(errno))
}

// Link gives a file another name.
func (g *goFuse) Link(_ <-chan struct{}, in *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	e, errno := g.fs.Link(background, caller(&in.InHeader), in.Oldnodeid, in.NodeId, name)
	return g.entry(out, &e, fuse.Status(errno))
}

// Unlink removes a name.
func (g *goFuse) Unlink(_ <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	return fuse.Status(g.fs.Unlink(background, caller(in), in.NodeId, name))
}

// Rmdir removes an empty folder.
func (g *goFuse) Rmdir(_ <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	return fuse.Status(g.fs.Rmdir(background, caller(in), in.NodeId, name))
}

// Rename is renameat2(2).
func (g *goFuse) Rename(cancel <-chan struct{}, in *fuse.RenameIn, oldName, newName string) fuse.Status {
	ctx := newRequest(cancel, in.Pid)
	defer ctx.end()
	return fuse.Status(g.fs.Rename(ctx, caller(&in.InHeader), in.NodeId, oldName, in.Newdir, newName, in.Flags))
}

// GetXAttr copies a value out; with an empty dest only its length is asked for.
func (g *goFuse) GetXAttr(_ <-chan struct{}, in *fuse.InHeader, name string, dest []byte) (uint32, fuse.Status) {
	value, errno := g.fs.GetXattr(background, caller(in), in.NodeId, name)
	if errno != 0 {
		return 0, fuse.Status(noLabel(name, errno))
	}
	return fit(dest, value)
}

// fit copies v to dest, or says how much room it wants.
func fit(dest, v []byte) (uint32, fuse.Status) {
	if len(v) > len(dest) {
		return uint32(len(v)), fuse.ERANGE
	}
	return uint32(copy(dest, v)), fuse.OK
}

// ListXAttr lists the names, each with a NUL behind it.
func (g *goFuse) ListXAttr(_ <-chan struct{}, in *fuse.InHeader, dest []byte) (uint32, fuse.Status) {
	names, errno := g.fs.ListXattr(background, caller(in), in.NodeId)
	if errno != 0 {
		return 0, fuse.Status(errno)
	}
	return fit(dest, joinNames(names))
}

// joinNames puts a NUL behind each name.
func joinNames(names []string) []byte {
	var b []byte
	for _, n := range names {
		b = append(append(b, n...), 0)
	}
	return b
}

// SetXAttr sets an attribute. data belongs to the library.
func (g *goFuse) SetXAttr(_ <-chan struct{}, in *fuse.SetXAttrIn, name string, data []byte) fuse.Status {
	return fuse.Status(g.fs.SetXattr(background, caller(&in.InHeader), in.NodeId, name, append([]byte(nil), data...), in.Flags))
}

// RemoveXAttr removes an attribute.
func (g *goFuse) RemoveXAttr(_ <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	return fuse.Status(g.fs.RemoveXattr(background, caller(in), in.NodeId, name))
}

// StatFs is statfs(2).
func (g *goFuse) StatFs(_ <-chan struct{}, in *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	s, errno := g.fs.StatFS(background, in.NodeId)
	if errno != 0 {
		return fuse.Status(errno)
	}
	out.Blocks, out.Bfree, out.Bavail = s.Blocks, s.Bfree, s.Bavail
	out.Files, out.Ffree = s.Files, s.Ffree
	out.Bsize, out.Frsize, out.NameLen = s.Bsize, s.Frsize, s.NameLen
	return fuse.OK
}
