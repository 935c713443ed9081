package mount

import (
	"errors"
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// bazilHelper tells whether the program exists by which the library mounts, also for root.
func bazilHelper() error {
	_, err := fusermount()
	return err
}

// ready asks for a poll, which is answered ENOSYS, so that the kernel never polls again. Otherwise a Go program that reads its own
// mount could block all its processors in epoll_ctl.
func (b *bazil) ready() error {
	fd, err := unix.Open(filepath.Join(b.dir, bazilPollName), unix.O_RDONLY|unix.O_CLOEXEC, 0)
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
