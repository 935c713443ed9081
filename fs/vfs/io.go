package vfs

import (
	"context"
	"errors"
	"io"
	"syscall"
	"time"

	"github.com/cloudcoin/cloudcoin/fs/stage"
)

// recordEvery is how long the index record of a file that is being written may lag behind.
const recordEvery = time.Second

// Read reads at off into p; less than len(p) only at the end of the file. It ends with EINTR when ctx does.
func (fs *FS) Read(ctx context.Context, node NodeID, fh Handle, p []byte, off int64) (n int, errno syscall.Errno) {
	defer fs.guard("read", &errno)
	h := fs.handle(fh)
	if h == nil {
		return 0, syscall.EBADF
	}
	if off < 0 {
		return 0, syscall.EINVAL
	}
	var err error
	f, r, errno := fs.reading(h)
	switch {
	case errno != 0:
		return 0, errno
	case r != nil:
		n, err = r.ReadAt(ctx, p, off)
	default:
		n, err = f.ReadAt(ctx, p, off)
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if err != nil {
		return 0, fs.errno("read", err)
	}
	return n, 0
}

// reading is where the bytes of a handle are: in the local content, or in a version that doesn't change.
func (fs *FS) reading(h *handle) (*stage.File, *Reader, syscall.Errno) {
	l := h.live
	switch {
	case h.reader != nil:
		return nil, h.reader, 0
	case l == nil:
		return nil, nil, syscall.EBADF
	}
	l.mu.RLock()
	f, r := l.file, l.reader
	l.mu.RUnlock()
	if f != nil || r != nil {
		return f, r, 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.reader != nil {
		return nil, l.reader, 0
	}
	f, errno := fs.content(l)
	return f, nil, errno
}

// writing readies a file for a change of its content: what was at rest is frozen, suid and sgid are dropped. Holds l.io.
func (fs *FS) writing(l *live, kill bool) (*stage.File, syscall.Errno) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.kept != nil {
		return nil, syscall.ESTALE // the content was replaced: what is written here would be nowhere
	}
	if errno := fs.writable(); errno != 0 {
		return nil, errno
	}
	if l.rested {
		rec, errno := fs.record(l.ino)
		if errno == 0 {
			errno = fs.settle(l, &rec)
		}
		if errno != 0 {
			return nil, errno
		}
		l.rested = false
	}
	if kill && l.suid {
		if errno := fs.dropPriv(l); errno != 0 {
			return nil, errno
		}
	}
	return fs.content(l)
}

// dropPriv takes suid, sgid and capabilities away before a write. Holds l.mu.
func (fs *FS) dropPriv(l *live) syscall.Errno {
	rec, errno := fs.statLive(l)
	if errno != 0 {
		return errno
	}
	b := fs.x.Begin()
	fs.killPriv(b, &rec)
	fs.put(b, l, &rec)
	if errno := fs.commit(b); errno != 0 {
		return errno
	}
	fs.written(l)
	l.suid = false
	return 0
}

// wrote notes size and times after a change of the content. Holds l.io.
func (fs *FS) wrote(l *live, f *stage.File) syscall.Errno {
	now := fs.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ahead {
		rec, errno := fs.statLive(l)
		if errno != 0 {
			return errno
		}
		l.atime = rec.Atime
		if l.recorded.IsZero() {
			l.recorded = now
		}
	}
	l.ahead, l.explicit = true, false
	l.size, l.mtime, l.ctime = f.Size(), now.UnixNano(), now.UnixNano()
	f.SetAttr(l.mtime, l.ctime)
	if !l.dirty && !l.orphan {
		l.dirty = true
		fs.tellDirty(l.ino)
	}
	if now.Sub(l.recorded) < recordEvery {
		return 0
	}
	return fs.flushRecord(l)
}

// Write writes p at off (at the end, when the handle was opened with OpenAppend and the write isn't from the cache).
func (fs *FS) Write(ctx context.Context, c Caller, node NodeID, fh Handle, p []byte, off int64, wf WriteFlags) (n int, errno syscall.Errno) {
	defer fs.guard("write", &errno)
	h, errno := fs.file(fh)
	if errno != 0 {
		return 0, errno
	}
	if !h.writes() && !wf.Cache {
		return 0, syscall.EBADF
	}
	l := h.live
	l.io.Lock()
	defer l.io.Unlock()
	f, errno := fs.writing(l, wf.KillPriv || c.UID != 0 && !wf.Cache)
	if errno != 0 {
		return 0, errno
	}
	if h.flags&OpenAppend != 0 && !wf.Cache {
		off = f.Size()
	}
	switch {
	case off < 0:
		return 0, syscall.EINVAL
	case off+int64(len(p)) > MaxFileSize || off+int64(len(p)) < 0:
		return 0, syscall.EFBIG
	case len(p) == 0:
		return 0, 0
	}
	if err := f.WriteAt(ctx, p, off); err != nil {
		return 0, fs.errno("write", err)
	}
	return len(p), fs.wrote(l, f)
}

// truncate sets the size of a file. Holds l.io.
func (fs *FS) truncate(ctx context.Context, l *live, size int64) syscall.Errno {
	f, errno := fs.truncating(l)
	if errno != 0 {
		return errno
	}
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.opens--
		fs.idle(l)
	}()
	if f.Size() != size {
		if err := f.Truncate(ctx, size); err != nil {
			return fs.errno("truncate", err)
		}
	}
	if errno := fs.wrote(l, f); errno != 0 {
		return errno
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.writers > 0 {
		return 0
	}
	fs.settleFile(l)
	errno = fs.flushRecord(l)
	if l.dirty {
		l.dirty = false
		fs.tellDirty(l.ino)
	}
	return errno
}

// truncating readies l for a truncate, which may come without a handle, and counts one for its time.
func (fs *FS) truncating(l *live) (*stage.File, syscall.Errno) {
	l.mu.Lock()
	if l.writers == 0 {
		rec, errno := fs.statLive(l)
		if errno != 0 {
			l.mu.Unlock()
			return nil, errno
		}
		l.rested = fs.restedNow(l, &rec)
	}
	l.opens++
	l.mu.Unlock()
	f, errno := fs.writing(l, false)
	if errno != 0 {
		l.mu.Lock()
		l.opens--
		fs.idle(l)
		l.mu.Unlock()
	}
	return f, errno
}

// Fallocate is fallocate(2), modes of this package.
func (fs *FS) Fallocate(ctx context.Context, c Caller, node NodeID, fh Handle, mode uint32, off, n int64) (errno syscall.Errno) {
	defer fs.guard("fallocate", &errno)
	h, errno := fs.file(fh)
	switch {
	case errno != 0:
		return errno
	case !h.writes():
		return syscall.EBADF
	case off < 0 || n <= 0:
		return syscall.EINVAL
	case off+n < 0 || off+n > MaxFileSize:
		return syscall.EFBIG
	case mode&^uint32(FallocKeepSize|FallocPunchHole|FallocZeroRange|FallocUnshare) != 0,
		mode&FallocPunchHole != 0 && mode&FallocKeepSize == 0,
		mode&FallocPunchHole != 0 && mode&FallocZeroRange != 0:
		return syscall.EOPNOTSUPP
	}
	l := h.live
	l.io.Lock()
	defer l.io.Unlock()
	f, errno := fs.writing(l, c.UID != 0)
	if errno != 0 {
		return errno
	}
	if err := fs.allocate(ctx, f, mode, off, n); err != nil {
		return fs.errno("fallocate", err)
	}
	if mode == FallocKeepSize {
		return 0
	}
	return fs.wrote(l, f)
}

func (fs *FS) allocate(ctx context.Context, f *stage.File, mode uint32, off, n int64) error {
	if mode&(FallocPunchHole|FallocZeroRange) != 0 && off < f.Size() {
		if err := f.Punch(ctx, off, min(n, f.Size()-off)); err != nil {
			return err
		}
	}
	if mode&FallocPunchHole == 0 {
		if err := f.Reserve(n); err != nil {
			return err
		}
	}
	if mode&FallocKeepSize == 0 && off+n > f.Size() {
		return f.Truncate(ctx, off+n)
	}
	return nil
}

// Lseek finds data or a hole at or behind off; ENXIO at the end.
func (fs *FS) Lseek(ctx context.Context, node NodeID, fh Handle, off int64, whence uint32) (pos int64, errno syscall.Errno) {
	defer fs.guard("lseek", &errno)
	h := fs.handle(fh)
	switch {
	case h == nil:
		return 0, syscall.EBADF
	case whence != SeekData && whence != SeekHole:
		return 0, syscall.EINVAL
	}
	f, r, errno := fs.reading(h)
	var err error
	switch {
	case errno != 0:
		return 0, errno
	case r != nil:
		pos, err = r.seek(off, int(whence))
	case off < 0 || off >= f.Size():
		return 0, syscall.ENXIO
	default:
		pos, err = f.Seek(ctx, off, int(whence))
	}
	return pos, fs.errno("seek", err)
}

// copyUnit is how much CopyFileRange holds in memory, copyMost how much it copies for one request.
const (
	copyUnit = 1 << 20
	copyMost = 64 << 20
)

// CopyFileRange copies n bytes; it may copy fewer.
func (fs *FS) CopyFileRange(ctx context.Context, c Caller, inNode NodeID, inFh Handle, inOff int64, outNode NodeID, outFh Handle, outOff, n int64) (done int64, errno syscall.Errno) {
	defer fs.guard("copy_file_range", &errno)
	in, out := fs.handle(inFh), fs.handle(outFh)
	switch {
	case in == nil || out == nil:
		return 0, syscall.EBADF
	case inOff < 0 || outOff < 0 || n < 0:
		return 0, syscall.EINVAL
	case in.live != nil && in.live == out.live && inOff < outOff+n && outOff < inOff+n:
		return 0, syscall.EINVAL
	}
	n = min(n, copyMost)
	buf := make([]byte, min(n, copyUnit))
	for done < n {
		got, errno := fs.Read(ctx, inNode, inFh, buf[:min(int64(len(buf)), n-done)], inOff+done)
		if errno == 0 && got > 0 {
			_, errno = fs.Write(ctx, c, outNode, outFh, buf[:got], outOff+done, WriteFlags{})
		}
		if errno != 0 && done > 0 {
			return done, 0
		}
		if errno != 0 || got == 0 {
			return done, errno
		}
		done += int64(got)
	}
	return done, 0
}
