//go:build !linux

package journal

import "os"

func datasync(f *os.File) error { return f.Sync() }

func reserve(f *os.File, size int64) error { return reserveByWriting(f, size) }
