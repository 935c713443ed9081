package durable

import (
	"os"

	"golang.org/x/sys/unix"
)

// Begin asks the system to start writing a part of a file to the disk. It promises nothing, and its failure means nothing: Data tells.
func Begin(f *os.File, off, n int64) {
	conn, err := f.SyscallConn()
	if err != nil {
		return
	}
	_ = conn.Control(func(fd uintptr) { //nolint:errcheck // only a hint
		_ = unix.SyncFileRange(int(fd), off, n, unix.SYNC_FILE_RANGE_WRITE) //nolint:errcheck // only a hint
	})
}
