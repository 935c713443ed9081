//go:build linux

package mount

import (
	"math"
	"strings"
	"syscall"
	"time"

	"bazil.org/fuse"

	"github.com/cloudcoin/cloudcoin/fs/vfs"
)

// The file that ready opens and polls: its name is never listed, and only the adapter knows it.
const (
	bazilPollName = ".ccdrive-poll"
	bazilPollNode = fuse.NodeID(math.MaxUint64)
)

// failed is the answer with an error.
func failed(r fuse.Request, errno syscall.Errno) func() {
	return func() { r.RespondError(errno) }
}

// done is the answer that is an error or nothing.
func done(r fuse.Request, errno syscall.Errno, respond func()) func() {
	if errno != 0 {
		return failed(r, errno)
	}
	return respond
}

func who(h *fuse.Header) vfs.Caller { return vfs.Caller{UID: h.Uid, GID: h.Gid, PID: h.Pid} }

// handle does what a request asks for, and returns the function that answers.
func (b *bazil) handle(req fuse.Request) func() {
	h := req.Hdr()
	if h.Node == bazilPollNode || h.Node == fuse.RootID && isPollLookup(req) {
		return bazilPoll(req)
	}
	if reply := b.handleName(req, h); reply != nil {
		return reply
	}
	if reply := b.handleAttr(req, h); reply != nil {
		return reply
	}
	if reply := b.handleFile(req, h); reply != nil {
		return reply
	}
	if r, ok := req.(*fuse.DestroyRequest); ok {
		return r.Respond
	}
	return failed(req, syscall.ENOSYS) // LSEEK, RENAME2, READDIRPLUS, …: the kernel stops asking
}

func isPollLookup(req fuse.Request) bool {
	r, ok := req.(*fuse.LookupRequest)
	return ok && r.Name == bazilPollName
}

// bazilPoll answers for the file that ready polls.
func bazilPoll(req fuse.Request) func() {
	attr := fuse.Attr{Mode: 0o400, Inode: uint64(bazilPollNode), Nlink: 1}
	switch r := req.(type) {
	case *fuse.LookupRequest:
		return func() { r.Respond(&fuse.LookupResponse{Node: bazilPollNode, Attr: attr}) }
	case *fuse.GetattrRequest:
		return func() { r.Respond(&fuse.GetattrResponse{Attr: attr}) }
	case *fuse.OpenRequest:
		return func() { r.Respond(&fuse.OpenResponse{}) }
	case *fuse.PollRequest:
		return failed(req, syscall.ENOSYS)
	case *fuse.FlushRequest:
		return r.Respond
	case *fuse.ReleaseRequest:
		return r.Respond
	}
	return failed(req, syscall.EPERM) // not ENOSYS, which would hold for all files
}

// handleName answers what looks names up, makes or removes them.
func (b *bazil) handleName(req fuse.Request, h *fuse.Header) func() {
	c, node := who(h), uint64(h.Node)
	switch r := req.(type) {
	case *fuse.LookupRequest:
		e, errno := b.fs.Lookup(background, c, node, r.Name)
		return b.entered(req, &e, errno, r.Respond)
	case *fuse.MknodRequest:
		c.Umask = unixMode(r.Umask) & 0o777
		e, errno := b.fs.Mknod(background, c, node, r.Name, unixMode(r.Mode), uint64(r.Rdev))
		return b.entered(req, &e, errno, r.Respond)
	case *fuse.MkdirRequest:
		c.Umask = unixMode(r.Umask) & 0o777
		e, errno := b.fs.Mkdir(background, c, node, r.Name, unixMode(r.Mode)&0o7777)
		return b.entered(req, &e, errno, func(l *fuse.LookupResponse) { r.Respond(&fuse.MkdirResponse{LookupResponse: *l}) })
	case *fuse.SymlinkRequest:
		e, errno := b.fs.Symlink(background, c, node, r.NewName, r.Target)
		return b.entered(req, &e, errno, func(l *fuse.LookupResponse) { r.Respond(&fuse.SymlinkResponse{LookupResponse: *l}) })
	case *fuse.LinkRequest:
		e, errno := b.fs.Link(background, c, uint64(r.OldNode), node, r.NewName)
		return b.entered(req, &e, errno, r.Respond)
	case *fuse.RemoveRequest:
		if r.Dir {
			return done(req, b.fs.Rmdir(background, c, node, r.Name), r.Respond)
		}
		return done(req, b.fs.Unlink(background, c, node, r.Name), r.Respond)
	case *fuse.RenameRequest:
		ctx, end := b.begin(h)
		defer end()
		return done(req, b.fs.Rename(ctx, c, node, r.OldName, uint64(r.NewDir), r.NewName, 0), r.Respond)
	case *fuse.CreateRequest:
		return b.create(r, h)
	}
	return nil
}

// entered is the answer of all operations that end with an entry.
func (b *bazil) entered(req fuse.Request, e *vfs.Entry, errno syscall.Errno, respond func(*fuse.LookupResponse)) func() {
	if errno != 0 {
		return failed(req, errno)
	}
	l := b.entry(e)
	return func() { respond(&l) }
}

// bazilFlags are the open flags that vfs is told. With the writeback cache the kernel turns O_APPEND into offsets.
func bazilFlags(f fuse.OpenFlags) uint32 { return openFlags(uint32(f)) &^ vfs.OpenAppend }

func (b *bazil) create(r *fuse.CreateRequest, h *fuse.Header) func() {
	ctx, end := b.begin(h)
	defer end()
	c := who(h)
	c.Umask = unixMode(r.Umask) & 0o777
	e, fh, flags, errno := b.fs.Create(ctx, c, uint64(h.Node), r.Name, bazilFlags(r.Flags), unixMode(r.Mode)&0o7777)
	if errno != 0 {
		return failed(r, errno)
	}
	resp := &fuse.CreateResponse{LookupResponse: b.entry(&e), OpenResponse: bazilOpen(fh, flags)}
	return func() { r.Respond(resp) }
}

// handleAttr answers about attributes.
func (b *bazil) handleAttr(req fuse.Request, h *fuse.Header) func() {
	c, node := who(h), uint64(h.Node)
	switch r := req.(type) {
	case *fuse.GetattrRequest:
		var fh vfs.Handle
		if r.Flags&fuse.GetattrFh != 0 {
			fh = uint64(r.Handle)
		}
		a, errno := b.fs.GetAttr(background, c, node, fh)
		resp := &fuse.GetattrResponse{Attr: b.attr(&a, b.opt.AttrTimeout)}
		return done(req, errno, func() { r.Respond(resp) })
	case *fuse.SetattrRequest:
		return b.setattr(r, h)
	case *fuse.ReadlinkRequest:
		target, errno := b.fs.Readlink(background, c, node)
		return done(req, errno, func() { r.Respond(target) })
	case *fuse.GetxattrRequest:
		v, errno := b.fs.GetXattr(background, c, node, r.Name)
		if errno == 0 && r.Size > 0 && len(v) > int(r.Size) {
			errno = syscall.ERANGE
		}
		return done(req, noLabel(r.Name, errno), func() { r.Respond(&fuse.GetxattrResponse{Xattr: v}) })
	case *fuse.ListxattrRequest:
		names, errno := b.fs.ListXattr(background, c, node)
		v := joinNames(names)
		if errno == 0 && r.Size > 0 && len(v) > int(r.Size) {
			errno = syscall.ERANGE
		}
		return done(req, errno, func() { r.Respond(&fuse.ListxattrResponse{Xattr: v}) })
	case *fuse.SetxattrRequest:
		errno := b.fs.SetXattr(background, c, node, r.Name, append([]byte(nil), r.Xattr...), r.Flags)
		if errno == 0 && strings.HasPrefix(r.Name, "system.posix_acl_") {
			b.kernel().InvalInode(node, -1, 0) // the mode changed with it
		}
		return done(req, errno, r.Respond)
	case *fuse.RemovexattrRequest:
		return done(req, b.fs.RemoveXattr(background, c, node, r.Name), r.Respond)
	case *fuse.StatfsRequest:
		s, errno := b.fs.StatFS(background, node)
		return done(req, errno, func() {
			r.Respond(&fuse.StatfsResponse{
				Blocks: s.Blocks, Bfree: s.Bfree, Bavail: s.Bavail, Files: s.Files, Ffree: s.Ffree,
				Bsize: s.Bsize, Frsize: s.Frsize, Namelen: s.NameLen,
			})
		})
	}
	return nil
}

func (b *bazil) setattr(r *fuse.SetattrRequest, h *fuse.Header) func() {
	ctx, end := b.begin(h)
	defer end()
	var fh vfs.Handle
	if r.Valid.Handle() {
		fh = uint64(r.Handle)
	}
	a, errno := b.fs.SetAttr(ctx, who(h), uint64(h.Node), fh, vfs.SetAttr{
		Valid: setValid(uint32(r.Valid)),
		Mode:  unixMode(r.Mode) & 0o7777,
		UID:   r.Uid, GID: r.Gid,
		Size:  int64(r.Size),
		Atime: nanos(r.Atime), Mtime: nanos(r.Mtime), Ctime: nanos(r.Ctime),
	})
	resp := &fuse.SetattrResponse{Attr: b.attr(&a, b.opt.AttrTimeout)}
	return done(r, errno, func() { r.Respond(resp) })
}

// nanos is a time in nanoseconds since 1970, within what 64 bits hold.
func nanos(t time.Time) int64 { return joinTime(uint64(t.Unix()), uint32(t.Nanosecond())) }
