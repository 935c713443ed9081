//go:build !linux

package drive

import "fmt"

// maxSocket is the longest path of a Unix socket, with its NUL.
const maxSocket = 104

// withShortPath calls fn with path, which must fit into a socket address.
func withShortPath(path string, fn func(string) error) error {
	if len(path) >= maxSocket {
		return fmt.Errorf("the path %s is too long for a socket: choose a --home whose path has less than %d bytes", path, maxSocket-len("/api.sock"))
	}
	return fn(path)
}
