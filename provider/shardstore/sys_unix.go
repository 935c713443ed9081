//go:build unix

package shardstore

import (
	"errors"

	"golang.org/x/sys/unix"
)

// diskRoom returns what an unprivileged user may still write to the filesystem of dir, and its size, in bytes.
func diskRoom(dir string) (free, total int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0, err
	}
	unit := int64(st.Bsize) //nolint:unconvert // its type differs between systems
	return int64(st.Bavail) * unit, int64(st.Blocks) * unit, nil
}

// isFull tells an error that means "no room".
func isFull(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EFBIG)
}

// renamesOpen tells whether an open file can be renamed.
const renamesOpen = true
