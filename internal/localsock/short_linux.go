package localsock

import (
	"fmt"
	"os"
	"path/filepath"
)

// shorten gives a name of path that fits into a socket address, valid until release: through the folder's descriptor when path is too long.
func shorten(path string) (short string, release func(), err error) {
	if len(path) < 108 {
		return path, func() {}, nil
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", d.Fd(), filepath.Base(path)), func() { d.Close() }, nil //nolint:errcheck,gosec // read only
}
