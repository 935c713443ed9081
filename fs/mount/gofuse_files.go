//go:build linux || darwin || freebsd

package mount

import (
	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/cloudcoin/cloudcoin/fs/vfs"
)

// fileFlags are the open flags that vfs is told. With the writeback cache the kernel turns O_APPEND into offsets.
func fileFlags(f uint32) uint32 {
	f = openFlags(f)
	if goFuseCapabilities.Writeback {
		f &^= vfs.OpenAppend
	}
	return f
}

// Create makes a file and opens it.
func (g *goFuse) Create(cancel <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	ctx := newRequest(cancel, in.Pid)
	defer ctx.end()
	c := caller(&in.InHeader)
	c.Umask = in.Umask
	e, fh, flags, errno := g.fs.Create(ctx, c, in.NodeId, name, fileFlags(in.Flags), in.Mode)
	return g.created(out, &e, fh, flags, fuse.Status(errno))
}

// Tmpfile makes a file without a name.
func (g *goFuse) Tmpfile(cancel <-chan struct{}, in *fuse.CreateIn, out *fuse.CreateOut) fuse.Status {
	ctx := newRequest(cancel, in.Pid)
	defer ctx.end()
	c := caller(&in.InHeader)
	c.Umask = in.Umask
	e, fh, flags, errno := g.fs.Tmpfile(ctx, c, in.NodeId, fileFlags(in.Flags), in.Mode)
	return g.created(out, &e, fh, flags, fuse.Status(errno))
}

func (g *goFuse) created(out *fuse.CreateOut, e *vfs.Entry, fh vfs.Handle, f vfs.OpenFlags, status fuse.Status) fuse.Status {
	if status.Ok() {
		g.fillEntry(&out.EntryOut, e)
		g.fillOpen(&out.OpenOut, fh, f)
	}
	return status
}

// Open opens a file. A truncation by somebody who may not keep suid and sgid comes first.
func (g *goFuse) Open(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	ctx := newRequest(cancel, in.Pid)
	defer ctx.end()
	c := caller(&in.InHeader)
	flags := fileFlags(in.Flags)
	if flags&vfs.OpenTrunc != 0 && in.Mode&fuse.OPEN_KILL_SUIDGID != 0 {
		if _, errno := g.fs.SetAttr(ctx, c, in.NodeId, 0, vfs.SetAttr{Valid: vfs.SetSize | vfs.SetKillPriv}); errno != 0 {
			return fuse.Status(errno)
		}
		flags &^= vfs.OpenTrunc
	}
	fh, f, errno := g.fs.Open(ctx, c, in.NodeId, flags)
	if errno != 0 {
		return fuse.Status(errno)
	}
	g.fillOpen(out, fh, f)
	return fuse.OK
}

// Read fills the library's buffer.
func (g *goFuse) Read(cancel <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	ctx := newRequest(cancel, in.Pid)
	defer ctx.end()
	n, errno := g.fs.Read(ctx, in.NodeId, in.Fh, buf, int64(in.Offset))
	if errno != 0 {
		return nil, fuse.Status(errno)
	}
	return fuse.ReadResultData(buf[:n]), fuse.OK
}

// Write takes bytes, mostly from the kernel's writeback.
func (g *goFuse) Write(cancel <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	ctx := newRequest(cancel, in.Pid)
	defer ctx.end()
	n, errno := g.fs.Write(ctx, caller(&in.InHeader), in.NodeId, in.Fh, data, int64(in.Offset), vfs.WriteFlags{
		KillPriv: in.WriteFlags&fuse.WRITE_KILL_SUIDGID != 0,
		Cache:    in.WriteFlags&fuse.WRITE_CACHE != 0,
	})
	return uint32(n), fuse.Status(errno)
}

// CopyFileRange copies inside the drive.
func (g *goFuse) CopyFileRange(cancel <-chan struct{}, in *fuse.CopyFileRangeIn) (uint32, fuse.Status) {
	ctx := newRequest(cancel, in.Pid)
	defer ctx.end()
	const most = 1<<32 - 4096 // the answer has 32 bits
	n, errno := g.fs.CopyFileRange(ctx, caller(&in.InHeader), in.NodeId, in.FhIn, int64(in.OffIn),
		in.NodeIdOut, in.FhOut, int64(in.OffOut), int64(min(in.Len, most)))
	return uint32(n), fuse.Status(errno)
}

// Lseek finds data and holes; other whences the kernel knows itself.
func (g *goFuse) Lseek(cancel <-chan struct{}, in *fuse.LseekIn, out *fuse.LseekOut) fuse.Status {
	ctx := newRequest(cancel, in.Pid)
	defer ctx.end()
	off, errno := g.fs.Lseek(ctx, in.NodeId, in.Fh, int64(in.Offset), in.Whence)
	out.Offset = uint64(off)
	return fuse.Status(errno)
}

// Fallocate is fallocate(2).
func (g *goFuse) Fallocate(cancel <-chan struct{}, in *fuse.FallocateIn) fuse.Status {
	ctx := newRequest(cancel, in.Pid)
	defer ctx.end()
	return fuse.Status(g.fs.Fallocate(ctx, caller(&in.InHeader), in.NodeId, in.Fh, in.Mode, int64(in.Offset), int64(in.Length)))
}

// Flush is close(2).
func (g *goFuse) Flush(cancel <-chan struct{}, in *fuse.FlushIn) fuse.Status {
	ctx := newRequest(cancel, in.Pid)
	defer ctx.end()
	return fuse.Status(g.fs.Flush(ctx, in.NodeId, in.Fh))
}

// Release ends an open file.
func (g *goFuse) Release(_ <-chan struct{}, in *fuse.ReleaseIn) { g.fs.Release(in.NodeId, in.Fh) }

// fsyncDataOnly is the bit of FSYNC that fdatasync(2) sets.
const fsyncDataOnly = 1

// Fsync makes a file durable.
func (g *goFuse) Fsync(cancel <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	ctx := newRequest(cancel, in.Pid)
	defer ctx.end()
	return fuse.Status(g.fs.Fsync(ctx, in.NodeId, in.Fh, in.FsyncFlags&fsyncDataOnly != 0))
}

// OpenDir opens a folder. The kernel caches the listing until the folder changes.
func (g *goFuse) OpenDir(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	fh, f, errno := g.fs.OpenDir(background, caller(&in.InHeader), in.NodeId)
	if errno != 0 {
		return fuse.Status(errno)
	}
	out.Fh = fh
	if f.KeepCache {
		out.OpenFlags |= fuse.FOPEN_KEEP_CACHE | fuse.FOPEN_CACHE_DIR
	}
	return fuse.OK
}

// ReadDir lists names.
func (g *goFuse) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return fuse.Status(g.fs.ReadDir(background, caller(&in.InHeader), in.NodeId, in.Fh, in.Offset, false, func(e *vfs.DirEntry) bool {
		return out.AddDirEntry(fuse.DirEntry{Mode: e.Type, Name: e.Name, Ino: e.Ino, Off: e.Cookie})
	}))
}

// ReadDirPlus lists names with attributes.
func (g *goFuse) ReadDirPlus(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return fuse.Status(g.fs.ReadDir(background, caller(&in.InHeader), in.NodeId, in.Fh, in.Offset, true, func(e *vfs.DirEntry) bool {
		entry := out.AddDirLookupEntry(fuse.DirEntry{Mode: e.Type, Name: e.Name, Ino: e.Ino, Off: e.Cookie})
		if entry == nil {
			return false
		}
		if e.Entry.Node != 0 {
			g.fillEntry(entry, &e.Entry)
		}
		return true
	}))
}

// ReleaseDir ends an open folder.
func (g *goFuse) ReleaseDir(in *fuse.ReleaseIn) { g.fs.ReleaseDir(in.NodeId, in.Fh) }

// FsyncDir makes the names of a folder durable.
func (g *goFuse) FsyncDir(cancel <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	ctx := newRequest(cancel, in.Pid)
	defer ctx.end()
	return fuse.Status(g.fs.FsyncDir(ctx, in.NodeId, in.Fh, in.FsyncFlags&fsyncDataOnly != 0))
}
