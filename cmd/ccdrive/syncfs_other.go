//go:build unix && !linux

package main

import (
	"os"

	"golang.org/x/sys/unix"
)

func syncfs(*os.File) error { return unix.Sync() }
