package provider

import (
	"fmt"
	"os"
	"path/filepath"
)

// socketAddress is a name for HOME/admin.sock that fits into a socket address, valid until release. A long HOME is reached through an open descriptor of it.
func socketAddress(home string) (path string, release func(), err error) {
	path = filepath.Join(home, socketFile)
	if len(path) < 104 {
		return path, func() {}, nil
	}
	d, err := os.Open(home)
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", d.Fd(), socketFile), func() { d.Close() }, nil //nolint:errcheck,gosec // read only
}
