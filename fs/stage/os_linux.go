package stage

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// datasync makes the bytes of f, and what is needed to find them, durable.
func datasync(f *os.File) error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); err != unix.EINTR {
			return err
		}
	}
}

// freeRange gives the room of a part of f back to the filesystem where it can.
func freeRange(f *os.File, off, n int64) error {
	err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
	if err == unix.EOPNOTSUPP || err == unix.ENOSYS {
		return nil
	}
	if err != nil {
		return fmt.Errorf("free blocks of %s: %w", f.Name(), err)
	}
	return nil
}

func syncDir(dir string) error { return syncFolder(dir) }
