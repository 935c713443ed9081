//go:build unix

package stage

import "golang.org/x/sys/unix"

// diskRoom is how many bytes are free for us on the filesystem of dir, and how many it has in all.
func diskRoom(dir string) (free, size int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0, err
	}
	return int64(st.Bavail) * int64(st.Bsize), int64(st.Blocks) * int64(st.Bsize), nil //nolint:unconvert // types differ between systems
}
