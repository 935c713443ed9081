package mount_test

import (
	"maps"
	"testing"

	"github.com/cloudcoin/cloudcoin/fs/mount"
	"github.com/cloudcoin/cloudcoin/fs/mount/posixtest"
)

// What neither adapter does; docs/posix.md says it to users.
var pins = map[string]string{
	"space/blocks-of-sparse-files": "st_blocks is made from the size",
}

// What only the bazil adapter fails: its library can't decode or encode it.
var bazilPins = map[string]string{
	"open/tmpfile":        "the library knows no TMPFILE",
	"open/tmpfile-excl":   "the library knows no TMPFILE",
	"space/seek-hole":     "the library knows no LSEEK: the kernel takes all for data",
	"rename/noreplace":    "the library knows no RENAME2",
	"rename/exchange":     "the library knows no RENAME2",
	"permission/sticky":   "the library drops the sticky bit from modes that it sends",
	"time/before-1970":    "the library can't encode negative times",
	"time/birth":          "the library knows no STATX",
	"xattr/acl-inherited": "the library can't ask the kernel to leave the umask to us",
	"xattr/acl-decides":   "the library can't ask for POSIX ACLs: they are kept, the kernel doesn't heed them",
}

func TestPosixGoFuse(t *testing.T) {
	posixtest.Run(t, mountedApart(t, mount.GoFuse), posixtest.Options{Pins: pins, LargeXattrs: true})
}

func TestPosixBazil(t *testing.T) {
	all := maps.Clone(pins)
	maps.Copy(all, bazilPins)
	posixtest.Run(t, mountedApart(t, mount.Bazil), posixtest.Options{Pins: all, LargeXattrs: true})
}
