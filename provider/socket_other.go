//go:build !linux

package provider

import (
	"fmt"
	"path/filepath"
)

// socketAddress is the name of HOME/admin.sock, which has to fit into a socket address.
func socketAddress(home string) (path string, release func(), err error) {
	path = filepath.Join(home, socketFile)
	if len(path) >= 104 {
		return "", nil, fmt.Errorf("%s is too long a name for a socket of this system (at most 103 characters): choose a shorter --home", path)
	}
	return path, func() {}, nil
}
