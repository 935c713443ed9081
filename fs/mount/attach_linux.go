package mount

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrNoFusermount is returned when an unprivileged user mounts and the helper for it is missing.
var ErrNoFusermount = errors.New("fusermount3 is missing: install the package fuse3 (Debian, Fedora, Arch: fuse3; Alpine: fuse3)")

// ErrNoFuse is returned when the kernel has no FUSE.
var ErrNoFuse = errors.New("/dev/fuse is missing: load the kernel module with `modprobe fuse`; in a container, give it the device /dev/fuse")

// attach mounts and returns the connection to the kernel: by mount(2) where that is allowed, else by fusermount3. The descriptor is
// closed on exec: a child that kept it would keep a dead mount from being noticed.
func attach(dir string, opt Options) (int, error) {
	fd, err := attachDirect(dir, opt)
	if err == nil || !errors.Is(err, unix.EPERM) {
		return fd, err
	}
	return attachHelper(dir, opt)
}

// kernelOptions are the mount options beside those about who mounts.
func kernelOptions(opt Options) []string {
	o := []string{"default_permissions", fmt.Sprintf("max_read=%d", opt.MaxWrite)}
	if opt.AllowOther {
		o = append(o, "allow_other")
	}
	return o
}

func attachDirect(dir string, opt Options) (int, error) {
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return -1, ErrNoFuse
	case errors.Is(err, unix.EACCES):
		return -1, unix.EPERM
	case err != nil:
		return -1, fmt.Errorf("open /dev/fuse: %w", err)
	}
	data := append([]string{
		fmt.Sprintf("fd=%d", fd), "rootmode=40000",
		fmt.Sprintf("user_id=%d", os.Geteuid()), fmt.Sprintf("group_id=%d", os.Getegid()),
	}, kernelOptions(opt)...)
	flags := uintptr(unix.MS_NOSUID | unix.MS_NODEV)
	if opt.ReadOnly {
		flags |= unix.MS_RDONLY
	}
	if err := unix.Mount(opt.FsName, dir, "fuse."+subtype, flags, strings.Join(data, ",")); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("mount(2): %w", err)
	}
	return fd, nil
}

// attachHelper mounts by the setuid program fusermount3, which sends the descriptor over a socket.
func attachHelper(dir string, opt Options) (int, error) {
	helper, err := fusermount()
	if err != nil {
		return -1, err
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("socket for fusermount3: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "fusermount"), os.NewFile(uintptr(pair[1]), "fusermount-helper")
	defer ours.Close()
	options := append([]string{"fsname=" + escapeOption(opt.FsName), "subtype=" + subtype}, kernelOptions(opt)...)
	if opt.ReadOnly {
		options = append(options, "ro")
	}
	cmd := exec.Command(helper, "-o", strings.Join(options, ","), "--", dir)
	cmd.Env = append(os.Environ(), "_FUSE_COMMFD=3", "LC_ALL=C")
	cmd.ExtraFiles = []*os.File{theirs}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	err = cmd.Run()
	theirs.Close()
	if err != nil {
		return -1, helperError(err, stderr.String())
	}
	return receiveFD(ours)
}

// fusermount is the path of the helper.
func fusermount() (string, error) {
	if p, err := exec.LookPath("fusermount3"); err == nil {
		return p, nil
	}
	for _, p := range []string{"/usr/bin/fusermount3", "/bin/fusermount3", "/usr/local/bin/fusermount3"} {
		if _, err := os.Stat(p); err == nil {
			return p, nil
		}
	}
	return "", ErrNoFusermount
}

// helperError says what the helper said, and what to do where that is known.
func helperError(err error, stderr string) error {
	said := strings.TrimSpace(stderr)
	if said == "" {
		return fmt.Errorf("fusermount3: %w", err)
	}
	if strings.Contains(said, "user_allow_other") {
		return fmt.Errorf("%s: add the line `user_allow_other` to /etc/fuse.conf, or mount without --allow-other", said)
	}
	return errors.New(said)
}

// escapeOption hides the characters that separate options.
func escapeOption(s string) string { return strings.NewReplacer(`\`, `\\`, `,`, `\,`).Replace(s) }

// receiveFD takes the descriptor that the helper sent.
func receiveFD(sock *os.File) (int, error) {
	c, err := net.FileConn(sock)
	if err != nil {
		return -1, fmt.Errorf("socket of fusermount3: %w", err)
	}
	defer c.Close()
	buf, oob := make([]byte, 32), make([]byte, 64)
	_, n, _, _, err := c.(*net.UnixConn).ReadMsgUnix(buf, oob) // sets MSG_CMSG_CLOEXEC
	if err != nil {
		return -1, fmt.Errorf("read from fusermount3: %w", err)
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(messages) != 1 {
		return -1, fmt.Errorf("fusermount3 sent %d control messages, want 1: %w", len(messages), errors.Join(err, unix.EPROTO))
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return -1, fmt.Errorf("fusermount3 sent %d descriptors, want 1: %w", len(fds), errors.Join(err, unix.EPROTO))
	}
	return fds[0], nil
}
