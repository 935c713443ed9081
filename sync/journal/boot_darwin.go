package journal

import "golang.org/x/sys/unix"

func bootID() string {
	id, err := unix.Sysctl("kern.bootsessionuuid")
	if err != nil {
		return "" // nothing is taken for the same boot then
	}
	return id
}

func mountID(dir string) (uint64, error) { return deviceID(dir) }
