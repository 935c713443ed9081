package durable

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Data makes a file's bytes and length durable. It may run while another goroutine closes the file.
func Data(f *os.File) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var serr error
	err = conn.Control(func(fd uintptr) {
		for {
			if serr = unix.Fdatasync(int(fd)); serr != unix.EINTR {
				return
			}
		}
	})
	return errors.Join(err, serr)
}
