package journal

import (
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// statxMountUnique asks for a mount id that is never used again while the machine is up (Linux 6.8).
const statxMountUnique = 0x4000

func datasync(f *os.File) error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}

// reserve gives the file its size and the blocks for it.
func reserve(f *os.File, size int64) error {
	for {
		err := unix.Fallocate(int(f.Fd()), 0, 0, size)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS):
			return reserveByWriting(f, size)
		case err != nil:
			return os.NewSyscallError("fallocate", err)
		}
		return nil
	}
}

func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "" // nothing is taken for the same boot then
	}
	return strings.TrimSpace(string(b))
}

func mountID(dir string) (uint64, error) {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, dir, 0, statxMountUnique, &st)
	if err == nil && st.Mask&statxMountUnique != 0 {
		return st.Mnt_id, nil
	}
	return deviceID(dir)
}
