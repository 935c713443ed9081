//go:build linux || darwin || freebsd

package mount

import (
	"fmt"
	"log/slog"
	"runtime/debug"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/cloudcoin/cloudcoin/fs/vfs"
)

// goFuse is the adapter of hanwen/go-fuse on its raw API.
type goFuse struct {
	fuse.RawFileSystem // answers ENOSYS to what isn't overridden: locks, ACCESS, IOCTL, so that the kernel stops asking
	fs                 *vfs.FS
	opt                Options
	dir                string
	server             *fuse.Server
}

var (
	_ fuse.RawFileSystem = (*goFuse)(nil)
	_ connection         = (*goFuse)(nil)
)

// dialGoFuse mounts and shakes hands with the kernel.
func dialGoFuse(dir string, fs *vfs.FS, opt Options) (connection, error) {
	g := &goFuse{RawFileSystem: fuse.NewDefaultRawFileSystem(), fs: fs, opt: opt, dir: dir}
	point, release, err := goFusePoint(dir, opt)
	if err != nil {
		return nil, err
	}
	server, err := fuse.NewServer(g, point, g.options())
	if err != nil {
		release()
		return nil, err
	}
	g.server = server
	return g, nil
}

func (g *goFuse) options() *fuse.MountOptions {
	o := &fuse.MountOptions{
		AllowOther:               g.opt.AllowOther,
		FsName:                   g.opt.FsName,
		Name:                     subtype,
		Options:                  []string{"default_permissions"},
		MaxBackground:            maxBackground,
		MaxWrite:                 g.opt.MaxWrite,
		ExplicitDataCacheControl: true,
		EnableSymlinkCaching:     true,
		EnableAcl:                true,
		DisableSplice:            true, // contents come as bytes, never as descriptors
		ExtraCapabilities:        goFuseExtra,
		PanicHandler:             g.panicked,
		Logger:                   slog.NewLogLogger(g.opt.Logger.Handler(), slog.LevelWarn),
	}
	if g.opt.ReadOnly {
		o.Options = append(o.Options, "ro")
	}
	return o
}

// panicked reports a panic of a handler.
func (g *goFuse) panicked(v any) fuse.Status {
	reportPanic(g.opt, v)
	return fuse.EIO
}

// reportPanic tells of a panic: the sentence to status, the stack to the log.
func reportPanic(opt Options, v any) {
	opt.Logger.Error("panic in a file operation", "panic", v, "stack", string(debug.Stack()))
	opt.Report(fmt.Sprintf("a file operation failed by a fault in the program (%v): it got an input/output error, the rest goes on", v))
}

func (g *goFuse) serve() error {
	g.server.Serve()
	return nil
}

// ready makes the kernel stop polling.
func (g *goFuse) ready() error { return goFuseReady(g.server, g.dir) }

func (g *goFuse) kernel() vfs.Kernel { return goFuseKernel{g.server} }

// String is the name of the type after "fuse.".
func (g *goFuse) String() string { return subtype }

// SetDebug is of no use here.
func (g *goFuse) SetDebug(bool) {}

// Init and OnUnmount have nothing to do.
func (g *goFuse) Init(*fuse.Server) {}

// OnUnmount is called after the last request.
func (g *goFuse) OnUnmount() {}

// goFuseKernel tells the kernel what it must forget. ENOENT (it had nothing) and ENODEV (unmounted) mean that there is nothing to do.
type goFuseKernel struct{ server *fuse.Server }

// InvalEntry makes the kernel look the name up again.
func (k goFuseKernel) InvalEntry(parent vfs.NodeID, name string) { k.server.EntryNotify(parent, name) }

// InvalInode makes the kernel ask for attributes and pages again.
func (k goFuseKernel) InvalInode(node vfs.NodeID, off, n int64) { k.server.InodeNotify(node, off, n) }

// caller is who asks.
func caller(h *fuse.InHeader) vfs.Caller {
	return vfs.Caller{UID: h.Uid, GID: h.Gid, PID: h.Pid}
}

func fillAttr(out *fuse.Attr, a *vfs.Attr) {
	out.Ino = a.Ino
	out.Size = uint64(a.Size)
	out.Blocks = uint64(a.Blocks)
	out.Atime, out.Atimensec = splitTime(a.Atime)
	out.Mtime, out.Mtimensec = splitTime(a.Mtime)
	out.Ctime, out.Ctimensec = splitTime(a.Ctime)
	out.Mode = a.Mode
	out.Nlink = a.Nlink
	out.Uid = a.UID
	out.Gid = a.GID
	out.Rdev = uint32(a.Rdev)
	out.Blksize = a.Blksize
}

func (g *goFuse) fillEntry(out *fuse.EntryOut, e *vfs.Entry) {
	valid := e.EntryValid
	if g.opt.EntryTimeout > 0 {
		valid = g.opt.EntryTimeout
	}
	out.NodeId = e.Node
	out.Generation = e.Generation
	out.SetEntryTimeout(valid)
	out.SetAttrTimeout(e.AttrValid)
	if e.Node != 0 {
		fillAttr(&out.Attr, &e.Attr)
	}
}

func (g *goFuse) fillOpen(out *fuse.OpenOut, fh vfs.Handle, f vfs.OpenFlags) {
	out.Fh = fh
	if f.KeepCache {
		out.OpenFlags |= fuse.FOPEN_KEEP_CACHE
	}
	if f.DirectIO {
		out.OpenFlags |= fuse.FOPEN_DIRECT_IO
	}
}
