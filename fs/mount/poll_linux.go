package mount

import (
	"errors"
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// stopPolls opens and polls a name of the mount at dir that only the adapter knows and that is never listed. The poll is answered ENOSYS, and
// from then on the kernel never asks again. Otherwise a Go program that opens files of its own mount could block all its processors
// in epoll, where nothing is left to answer, and not even SIGKILL would end it.
func stopPolls(dir, name string) error {
	fd, err := unix.Open(filepath.Join(dir, name), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("first request: %w", err)
	}
	defer unix.Close(fd)
	_, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	if err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("first poll: %w", err)
	}
	return nil
}
