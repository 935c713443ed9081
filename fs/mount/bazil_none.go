//go:build darwin || freebsd

package mount

import (
	"errors"

	"github.com/cloudcoin/cloudcoin/fs/vfs"
)

// bazilBuilt: bazil.org/fuse dropped macOS in 2020, and its last version does not build on FreeBSD (it names Linux constants of x/sys there).
const bazilBuilt = false

var bazilCapabilities = Capabilities{}

func dialBazil(string, *vfs.FS, Options) (connection, error) {
	return nil, errors.New("the bazil adapter doesn't exist on this system")
}
