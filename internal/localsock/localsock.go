// Package localsock makes Unix sockets that nobody but their owner can connect to, at no moment.
//
// A socket gets its mode from the umask when it is bound, and there is no other way to bind it: whoever may walk the folder could connect before
// a chmod. So it is bound in a folder of its own that only the owner may enter, and moved to its place when its mode is right.
package localsock

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
)

const (
	private = ".s" // the folder in which a socket is bound; short, since a socket's name may have some 100 bytes only
	name    = "s"
)

// Listen makes a socket of mode 0600 at path and listens. A socket that lies there is replaced: the caller holds the lock of the folder. The
// listener doesn't remove the socket's name when it is closed.
func Listen(path string) (*net.UnixListener, error) {
	dir := filepath.Join(filepath.Dir(path), private)
	if err := os.RemoveAll(dir); err != nil { // of a killed process
		return nil, fmt.Errorf("make socket: %w", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make socket: %w", err)
	}
	l, err := listenIn(dir, path)
	if rerr := os.RemoveAll(dir); rerr != nil {
		err = errors.Join(err, rerr)
	}
	if err != nil {
		if l != nil {
			err = errors.Join(err, l.Close())
		}
		return nil, fmt.Errorf("make socket: %w", err)
	}
	return l, nil
}

// listenIn binds a socket in dir and moves it to path. The listener is returned with errors that came after it was made.
func listenIn(dir, path string) (*net.UnixListener, error) {
	short, release, err := shorten(filepath.Join(dir, name))
	if err != nil {
		return nil, err
	}
	defer release()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	bound := filepath.Join(dir, name)
	if err := os.Chmod(bound, 0o600); err != nil {
		return l, err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) { // Windows renames over no socket
		return l, err
	}
	return l, os.Rename(bound, path)
}
