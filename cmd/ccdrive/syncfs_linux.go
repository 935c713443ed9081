package main

import (
	"os"

	"golang.org/x/sys/unix"
)

func syncfs(dir *os.File) error { return unix.Syncfs(int(dir.Fd())) }
