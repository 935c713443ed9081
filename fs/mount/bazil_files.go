//go:build linux

package mount

import (
	"syscall"

	"bazil.org/fuse"

	"github.com/cloudcoin/cloudcoin/fs/vfs"
)

// handleFile answers about open files and folders.
func (b *bazil) handleFile(req fuse.Request, h *fuse.Header) func() {
	node := uint64(h.Node)
	switch r := req.(type) {
	case *fuse.OpenRequest:
		return b.open(r, h)
	case *fuse.ReadRequest:
		if r.Dir {
			return b.readDir(r, h)
		}
		return b.read(r, h)
	case *fuse.ReleaseRequest:
		if r.Dir {
			b.fs.ReleaseDir(node, uint64(r.Handle))
		} else {
			b.fs.Release(node, uint64(r.Handle))
		}
		return r.Respond
	}
	ctx, end := b.begin(h)
	defer end()
	switch r := req.(type) {
	case *fuse.WriteRequest:
		n, errno := b.fs.Write(ctx, who(h), node, uint64(r.Handle), r.Data, r.Offset, vfs.WriteFlags{
			KillPriv: r.Flags&fuse.WriteKillSUIDGID != 0,
			Cache:    r.Flags&fuse.WriteCache != 0,
		})
		return done(req, errno, func() { r.Respond(&fuse.WriteResponse{Size: n}) })
	case *fuse.FlushRequest:
		return done(req, b.fs.Flush(ctx, node, uint64(r.Handle)), r.Respond)
	case *fuse.FsyncRequest:
		sync := b.fs.Fsync
		if r.Dir {
			sync = b.fs.FsyncDir
		}
		return done(req, sync(ctx, node, uint64(r.Handle), r.Flags&fsyncDataOnly != 0), r.Respond)
	case *fuse.FAllocateRequest:
		errno := b.fs.Fallocate(ctx, who(h), node, uint64(r.Handle), uint32(r.Mode), int64(r.Offset), int64(r.Length))
		return done(req, errno, r.Respond)
	}
	return nil
}

func (b *bazil) open(r *fuse.OpenRequest, h *fuse.Header) func() {
	c, node := who(h), uint64(h.Node)
	if r.Dir {
		fh, f, errno := b.fs.OpenDir(background, c, node)
		resp := &fuse.OpenResponse{Handle: fuse.HandleID(fh)}
		if f.KeepCache {
			resp.Flags = fuse.OpenKeepCache | fuse.OpenCacheDir
		}
		return done(r, errno, func() { r.Respond(resp) })
	}
	ctx, end := b.begin(h)
	defer end()
	fh, f, errno := b.fs.Open(ctx, c, node, bazilFlags(r.Flags))
	resp := bazilOpen(fh, f)
	return done(r, errno, func() { r.Respond(&resp) })
}

func (b *bazil) read(r *fuse.ReadRequest, h *fuse.Header) func() {
	ctx, end := b.begin(h)
	defer end()
	buf := b.buffers.Get().(*[]byte)
	n, errno := b.fs.Read(ctx, uint64(h.Node), uint64(r.Handle), (*buf)[:min(r.Size, len(*buf))], r.Offset)
	if errno != 0 {
		b.buffers.Put(buf)
		return failed(r, errno)
	}
	return func() {
		r.Respond(&fuse.ReadResponse{Data: (*buf)[:n]})
		b.buffers.Put(buf)
	}
}

func (b *bazil) readDir(r *fuse.ReadRequest, h *fuse.Header) func() {
	if r.Offset < 0 {
		return failed(r, syscall.EINVAL)
	}
	var data []byte
	errno := b.fs.ReadDir(background, who(h), uint64(h.Node), uint64(r.Handle), uint64(r.Offset), false, func(e *vfs.DirEntry) bool {
		var ok bool
		data, ok = appendDirent(data, r.Size, e)
		return ok
	})
	return done(r, errno, func() { r.Respond(&fuse.ReadResponse{Data: data}) })
}
