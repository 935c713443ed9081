package stage

import "golang.org/x/sys/windows"

// diskRoom is how many bytes are free for us on the filesystem of dir, and how many it has in all.
func diskRoom(dir string) (free, size int64, err error) {
	p, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, 0, err
	}
	var avail, total uint64
	err = windows.GetDiskFreeSpaceEx(p, &avail, &total, nil)
	return int64(avail), int64(total), err
}
