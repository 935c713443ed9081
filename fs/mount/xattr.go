//go:build linux || darwin || freebsd

package mount

import (
	"syscall"

	"github.com/cloudcoin/cloudcoin/fs/vfs"
)

// noLabel answers who asks for an SELinux label that isn't there. ls(1) asks for it at every file that it lists, and the kernel doesn't
// remember the answer; only when labels are not supported at all does ls stop asking. A label that is there is given.
func noLabel(name string, errno syscall.Errno) syscall.Errno {
	if errno == vfs.ErrNoAttr && name == "security.selinux" {
		return syscall.EOPNOTSUPP
	}
	return errno
}
