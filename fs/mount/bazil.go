//go:build linux

package mount

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"syscall"

	"bazil.org/fuse"

	"github.com/cloudcoin/cloudcoin/fs/vfs"
)

const bazilBuilt = true

// bazilMaxRequest is the library's limit of one read or write, in bytes.
const bazilMaxRequest = 128 << 10

// bazilCapabilities is what this adapter can do. The library decodes neither RENAME2, LSEEK, READDIRPLUS, COPY_FILE_RANGE, TMPFILE nor
// STATX, and drops the sticky bit from the modes that it sends.
var bazilCapabilities = Capabilities{Writeback: true, MaxRequest: bazilMaxRequest, Fallocate: true, KillPriv: true}

// bazilReaders is how many goroutines may wait for requests.
const bazilReaders = 4

// bazil is the adapter of bazil.org/fuse on its request loop.
type bazil struct {
	fs   *vfs.FS
	opt  Options
	dir  string
	conn *fuse.Conn

	waiting atomic.Int32   // goroutines that wait for a request
	loops   sync.WaitGroup // goroutines that wait or answer
	broken  atomic.Pointer[error]

	buffers sync.Pool // *[]byte of bazilMaxRequest, for reads

	mu       sync.Mutex
	inflight map[fuse.RequestID]chan struct{} // requests that FUSE_INTERRUPT may name; closed by it
}

var _ connection = (*bazil)(nil)

// dialBazil mounts and shakes hands with the kernel.
func dialBazil(dir string, fs *vfs.FS, opt Options) (connection, error) {
	if err := bazilHelper(); err != nil {
		return nil, err
	}
	o := []fuse.MountOption{
		fuse.FSName(opt.FsName), fuse.Subtype(subtype), fuse.DefaultPermissions(),
		fuse.MaxReadahead(DefaultMaxWrite), fuse.AsyncRead(), fuse.WritebackCache(), fuse.CacheSymlinks(),
		fuse.ExplicitInvalidateData(), fuse.MaxBackground(maxBackground), fuse.CongestionThreshold(maxBackground * 3 / 4),
		fuse.HandleKillPriv(),
	}
	if opt.AllowOther {
		o = append(o, fuse.AllowOther())
	}
	if opt.ReadOnly {
		o = append(o, fuse.ReadOnly())
	}
	conn, err := fuse.Mount(dir, o...)
	if err != nil {
		return nil, err
	}
	return &bazil{
		fs: fs, opt: opt, dir: dir, conn: conn,
		buffers:  sync.Pool{New: func() any { b := make([]byte, bazilMaxRequest); return &b }},
		inflight: map[fuse.RequestID]chan struct{}{},
	}, nil
}

func (b *bazil) kernel() vfs.Kernel { return bazilKernel{b.conn} }

// serve reads requests until the end.
func (b *bazil) serve() error {
	b.waiting.Add(1)
	b.loops.Add(1)
	b.loop()
	b.loops.Wait()
	_ = b.conn.Close() // everything was answered
	if err := b.broken.Load(); err != nil {
		return *err
	}
	return nil
}

// loop reads a request, lets another goroutine read on, and answers.
func (b *bazil) loop() {
	defer b.loops.Done()
	for {
		req, err := b.conn.ReadRequest()
		left := b.waiting.Add(-1)
		if err != nil {
			if b.goesOn(err) {
				b.waiting.Add(1)
				continue
			}
			b.cancelAll()
			return
		}
		if left == 0 {
			b.waiting.Add(1)
			b.loops.Add(1)
			go b.loop()
		}
		b.answer(req)
		if b.waiting.Add(1) > bazilReaders {
			b.waiting.Add(-1)
			return
		}
	}
}

// goesOn tells whether an error of reading concerns one request only.
func (b *bazil) goesOn(err error) bool {
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ENODEV), errors.Is(err, syscall.EBADF):
		return false
	case errors.Is(err, syscall.EINTR), errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.ENOENT):
		return true
	}
	if errno := syscall.Errno(0); errors.As(err, &errno) {
		err = fmt.Errorf("read from /dev/fuse: %w", err)
		b.broken.CompareAndSwap(nil, &err)
		return false
	}
	b.opt.Logger.Warn("a request of the kernel was not understood", "error", err)
	return true
}

// answer answers one request, whatever happens.
func (b *bazil) answer(req fuse.Request) {
	answered := false
	defer func() {
		if v := recover(); v != nil {
			reportPanic(b.opt, v)
			if !answered {
				req.RespondError(syscall.EIO)
			}
		}
	}()
	switch r := req.(type) {
	case *fuse.InterruptRequest:
		b.interrupt(r.IntrID)
		r.Respond()
		return
	case *fuse.ForgetRequest:
		b.fs.Forget(uint64(r.Node), r.N)
		r.Respond()
		return
	case *fuse.BatchForgetRequest:
		for _, f := range r.Forget {
			b.fs.Forget(uint64(f.NodeID), f.N)
		}
		r.Respond()
		return
	}
	reply := b.handle(req)
	answered = true // Respond gives the request's memory back
	reply()
}

// ops are the operations in flight: begin makes a request's context, and the function that ends it.
func (b *bazil) begin(h *fuse.Header) (*request, func()) {
	interrupted := make(chan struct{})
	b.mu.Lock()
	b.inflight[h.ID] = interrupted
	b.mu.Unlock()
	id, r := h.ID, newRequest(interrupted, h.Pid)
	return r, func() {
		b.mu.Lock()
		delete(b.inflight, id)
		b.mu.Unlock()
		r.end()
	}
}

func (b *bazil) interrupt(id fuse.RequestID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c, ok := b.inflight[id]; ok {
		delete(b.inflight, id)
		close(c)
	}
}

// cancelAll interrupts everything: the kernel is gone.
func (b *bazil) cancelAll() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id, c := range b.inflight {
		delete(b.inflight, id)
		close(c)
	}
}

// bazilKernel tells the kernel what it must forget. Errors mean that it had nothing or is gone.
type bazilKernel struct{ conn *fuse.Conn }

// InvalEntry makes the kernel look the name up again.
func (k bazilKernel) InvalEntry(parent vfs.NodeID, name string) {
	_ = k.conn.InvalidateEntry(fuse.NodeID(parent), name)
}

// InvalInode makes the kernel ask for attributes and pages again.
func (k bazilKernel) InvalInode(node vfs.NodeID, off, n int64) {
	_ = k.conn.InvalidateNode(fuse.NodeID(node), off, n)
}
