package drive

import (
	"fmt"
	"os"
	"path/filepath"
)

// maxSocket is the longest path of a Unix socket, with its NUL.
const maxSocket = 108

// withShortPath calls fn with a name of path that fits into a socket address: through the folder's descriptor when path is too long.
func withShortPath(path string, fn func(string) error) error {
	if len(path) < maxSocket {
		return fn(path)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return fn(fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path)))
}
