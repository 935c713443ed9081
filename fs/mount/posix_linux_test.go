package mount_test

import (
	"testing"

	"github.com/cloudcoin/cloudcoin/fs/mount"
	"github.com/cloudcoin/cloudcoin/fs/mount/posixtest"
)

// What neither adapter does; docs/posix.md says it to users.
var pins = map[string]string{}

// What only the bazil adapter fails: its library can't decode or encode it.
var bazilPins = map[string]string{}

func TestPosixGoFuse(t *testing.T) {
	_, m := mounted(t, mount.GoFuse)
	posixtest.Run(t, m.Dir(), posixtest.Options{Pins: pins, LargeXattrs: true})
}

func TestPosixBazil(t *testing.T) {
	_, m := mounted(t, mount.Bazil)
	all := map[string]string{}
	for _, some := range []map[string]string{pins, bazilPins} {
		for name, why := range some {
			all[name] = why
		}
	}
	posixtest.Run(t, m.Dir(), posixtest.Options{Pins: all, LargeXattrs: true})
}
