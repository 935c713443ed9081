//go:build darwin || freebsd || netbsd

package vfs

import "syscall"

// ErrNoAttr is returned when an extended attribute doesn't exist.
const ErrNoAttr = syscall.ENOATTR

// foreignXattrs: names outside the namespaces of Linux are kept too (com.apple.…, and plain names on FreeBSD).
const foreignXattrs = true
