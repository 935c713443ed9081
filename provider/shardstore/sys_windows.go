package shardstore

import (
	"errors"

	"golang.org/x/sys/windows"
)

// diskRoom returns what the user may still write to the volume of dir, and its size, in bytes.
func diskRoom(dir string) (free, total int64, err error) {
	p, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, 0, err
	}
	var avail, all, unused uint64
	if err := windows.GetDiskFreeSpaceEx(p, &avail, &all, &unused); err != nil {
		return 0, 0, err
	}
	return int64(avail), int64(all), nil
}

// isFull tells an error that means "no room".
func isFull(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL)
}

// renamesOpen tells whether an open file can be renamed.
const renamesOpen = false
