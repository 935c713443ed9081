//go:build darwin || freebsd

package mount

import (
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/cloudcoin/cloudcoin/fs/vfs"
)

// goFuseCapabilities is what this adapter can do: what macFUSE, FUSE-T and FreeBSD have in common.
var goFuseCapabilities = Capabilities{ReadDirPlus: true, MaxRequest: 1 << 20, Sticky: true}

// goFuseExtra: nothing beyond what the library takes by itself.
const goFuseExtra = 0

// goFusePoint leaves mounting to the library.
func goFusePoint(dir string, _ Options) (point string, release func(), err error) {
	return dir, func() { _ = detach(dir) }, nil
}

// goFuseReady: the library mounted itself, and makes the kernel stop polling.
func goFuseReady(s *fuse.Server, _ string) error { return s.WaitMount() }

// openFlags translates flags of open(2) to those of vfs.
func openFlags(f uint32) uint32 {
	out := f & syscall.O_ACCMODE
	for _, p := range []struct{ from, to uint32 }{
		{syscall.O_EXCL, vfs.OpenExcl},
		{syscall.O_TRUNC, vfs.OpenTrunc},
		{syscall.O_APPEND, vfs.OpenAppend},
		{syscall.O_SYNC, vfs.OpenSync},
	} {
		if f&p.from != 0 {
			out |= p.to
		}
	}
	return out
}
