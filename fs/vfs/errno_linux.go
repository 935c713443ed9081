package vfs

import "syscall"

// ErrNoAttr is returned when an extended attribute doesn't exist.
const ErrNoAttr = syscall.ENODATA
