//go:build linux || darwin || freebsd

package mount

import (
	"fmt"
	"runtime"
)

// Adapter names a FUSE library.
type Adapter string

// The adapters, as --fuse takes them.
const (
	Auto   Adapter = "auto" // GoFuse
	GoFuse Adapter = "gofuse"
	Bazil  Adapter = "bazil"
)

// Capabilities is what an adapter can do on this platform. What is false fails in the way that docs/posix.md tells.
type Capabilities struct {
	Writeback     bool // the kernel collects small writes
	ReadDirPlus   bool // listings bring attributes
	MaxRequest    int  // bytes of the largest read or write request
	RenameFlags   bool // renameat2 with NOREPLACE and EXCHANGE
	SeekHole      bool // lseek with SEEK_DATA and SEEK_HOLE
	Tmpfile       bool // O_TMPFILE
	CopyFileRange bool // copy_file_range without reading into the caller
	Fallocate     bool
	KillPriv      bool // suid and sgid are dropped by writes without asking first
	Sticky        bool // the sticky bit is seen
	BirthTime     bool // statx tells when a file was made
	AtomicTrunc   bool // O_TRUNC is part of open
}

// CapabilitiesOf is the table that an adapter declares. Auto is what Auto chooses. posixtest runs over each adapter; what it may fail is pinned
// by name.
func CapabilitiesOf(a Adapter) (Capabilities, error) {
	a, err := a.choose()
	if err != nil {
		return Capabilities{}, err
	}
	if a == Bazil {
		return bazilCapabilities, nil
	}
	return goFuseCapabilities, nil
}

// ParseAdapter reads the value of --fuse.
func ParseAdapter(s string) (Adapter, error) {
	switch a := Adapter(s); a {
	case Auto, GoFuse, Bazil:
		return a, nil
	}
	return "", fmt.Errorf("unknown FUSE adapter %q: auto, gofuse or bazil", s)
}

// choose is the adapter that will be used.
func (a Adapter) choose() (Adapter, error) {
	switch a {
	case "", Auto, GoFuse:
		return GoFuse, nil
	case Bazil:
		if !bazilBuilt {
			return "", fmt.Errorf("the bazil adapter doesn't exist on %s: use --fuse gofuse", runtime.GOOS)
		}
		return Bazil, nil
	}
	return "", fmt.Errorf("unknown FUSE adapter %q: auto, gofuse or bazil", a)
}
