package posixtest

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// childEnv names what a child process has to do.
const childEnv = "CCDRIVE_POSIX_CHILD"

// Main does what a child process of a case has to do and ends the process; in any other process it returns. Call it first in TestMain.
func Main() {
	job := os.Getenv(childEnv)
	if job == "" {
		return
	}
	args := strings.Split(job, "\x01")
	var err error
	switch args[0] {
	case "append":
		err = childAppend(args[1], args[2], args[3])
	case "lock":
		err = childLock(args[1], args[2])
	default:
		err = fmt.Errorf("unknown job %q", args[0])
	}
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// childAppend appends count lines of 100 bytes that begin with tag.
func childAppend(path, tag, count string) error {
	n, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_APPEND, 0)
	if err != nil {
		return err
	}
	for i := range n {
		line := fmt.Sprintf("%s %d %s", tag, i, strings.Repeat("x", 100))[:99] + "\n"
		if k, err := unix.Write(fd, []byte(line)); err != nil || k != len(line) {
			return fmt.Errorf("wrote %d: %w", k, err)
		}
	}
	return unix.Close(fd)
}

// childLock takes a lock, says "locked", and holds it until its input ends.
func childLock(path, kind string) error {
	fd, err := unix.Open(path, unix.O_RDWR, 0)
	if err != nil {
		return err
	}
	fmt.Println("waiting")
	switch kind {
	case "flock":
		err = unix.Flock(fd, unix.LOCK_EX)
	case "fcntl": // bytes 10 to 19
		err = unix.FcntlFlock(uintptr(fd), unix.F_SETLKW, &unix.Flock_t{Type: unix.F_WRLCK, Start: 10, Len: 10})
	}
	if err != nil {
		return err
	}
	fmt.Println("locked")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// child is a process that runs a job.
type child struct {
	t     *T
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   *bufio.Reader
}

func (t *T) child(job ...string) *child {
	exe, err := os.Executable()
	t.ok(err)
	c := &child{t: t, cmd: exec.Command(exe)}
	c.cmd.Env = append(os.Environ(), childEnv+"="+strings.Join(job, "\x01"))
	c.cmd.Stderr = os.Stderr
	c.stdin, err = c.cmd.StdinPipe()
	t.ok(err)
	out, err := c.cmd.StdoutPipe()
	t.ok(err)
	c.out = bufio.NewReader(out)
	t.ok(c.cmd.Start())
	t.closers = append(t.closers, func() {
		if c.cmd.ProcessState == nil {
			_ = c.cmd.Process.Kill()
			_ = c.cmd.Wait()
		}
	})
	return c
}

// says waits for a line of the child.
func (c *child) says(want string) {
	line, err := c.out.ReadString('\n')
	if strings.TrimSpace(line) != want {
		c.t.fatalf("child says %q (%v), want %q", line, err, want)
	}
}

// end lets the child end and wants it to end well.
func (c *child) end() {
	_ = c.stdin.Close()
	rest, _ := io.ReadAll(c.out)
	if err := c.cmd.Wait(); err != nil {
		c.t.errorf("child: %v: %s", err, rest)
	}
}

// setGroups sets the groups of this thread only.
func setGroups(n int, list *uint32) error {
	if _, _, e := syscall.RawSyscall(unix.SYS_SETGROUPS, uintptr(n), uintptr(unsafe.Pointer(list)), 0); e != 0 {
		return e
	}
	return nil
}
