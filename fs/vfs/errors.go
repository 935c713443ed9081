package vfs

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"syscall"

	"github.com/cloudcoin/cloudcoin/sync/index"
)

// errno is the error number that a caller gets for err; what isn't ordinary is logged with what was being done.
func (fs *FS) errno(doing string, err error) syscall.Errno {
	var no syscall.Errno
	switch {
	case err == nil:
		return 0
	case errors.Is(err, context.Canceled):
		return syscall.EINTR
	case errors.Is(err, index.ErrNotFound):
		return syscall.ENOENT
	case errors.Is(err, syscall.ENOSPC):
		return syscall.ENOSPC
	case errors.As(err, &no) && no != 0 && no != syscall.EIO:
		return no
	}
	fs.log.Error(doing, "err", err)
	return syscall.EIO
}

// guard turns a panic of an operation into EIO and a report. Deferred by every operation that the kernel can ask for.
func (fs *FS) guard(op string, errno *syscall.Errno) {
	r := recover()
	if r == nil {
		return
	}
	fs.log.Error("operation panicked", "op", op, "panic", r, "stack", string(debug.Stack()))
	fs.report(fmt.Sprintf("the file system stumbled over a programming error in %s: %v. "+
		"The request got an I/O error; nothing that was saved is affected. Please report it.", op, r))
	if errno != nil {
		*errno = syscall.EIO
	}
}

func (fs *FS) report(s string) {
	if fs.cfg.Report != nil {
		fs.cfg.Report(s)
	}
}
