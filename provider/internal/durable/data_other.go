//go:build !linux

package durable

import "os"

// Data makes a file's bytes and length durable. It may run while another goroutine closes the file.
func Data(f *os.File) error { return f.Sync() }
