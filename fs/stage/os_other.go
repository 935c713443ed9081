//go:build !linux

package stage

import (
	"os"
	"runtime"
)

// datasync makes the bytes of f, and what is needed to find them, durable.
func datasync(f *os.File) error { return f.Sync() }

// freeRange gives the room of a part of f back to the filesystem where it can: here it can't.
func freeRange(*os.File, int64, int64) error { return nil }

func syncDir(dir string) error {
	if runtime.GOOS == "windows" { // folders can't be synced there
		return nil
	}
	return syncFolder(dir)
}
