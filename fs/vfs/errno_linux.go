package vfs

import "syscall"

// ErrNoAttr is returned when an extended attribute doesn't exist.
const ErrNoAttr = syscall.ENODATA

// foreignXattrs: names outside the namespaces of Linux are kept too.
const foreignXattrs = false
