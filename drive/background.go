//go:build unix

package drive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// backgroundEnv tells a process that it is the background part of a mount; descriptor 3 is then the pipe on which it tells that it is ready.
const backgroundEnv = "CCDRIVE_BACKGROUND"

// IsBackground tells whether this process was started by StartBackground.
func IsBackground() bool { return os.Getenv(backgroundEnv) == "1" }

// StartBackground runs this very command line again as a process of its own session, and returns when the mount answers. What the process
// says goes to HOME/ccdrive.log.
func StartBackground(ctx context.Context, opt Options, mo MountOptions) error {
	if err := opt.Home.CheckNetwork(opt.Network); err != nil {
		return err
	}
	if _, err := opt.Home.Config(); err != nil {
		return err
	}
	if opt.Home.busy() { // told here, not in the log
		lock, err := opt.Home.acquire(ctx)
		if err != nil {
			return err
		}
		if err := lock.Release(); err != nil {
			return err
		}
	}
	log, err := os.OpenFile(opt.Home.path("ccdrive.log"), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("start in the background: %w", err)
	}
	defer log.Close()
	before, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("start in the background: %w", err)
	}
	cmd, told, err := startSelf(log)
	if err != nil {
		return fmt.Errorf("start in the background: %w", err)
	}
	defer told.Close()
	ready := make(chan bool, 1)
	go func() {
		b := make([]byte, 1)
		n, _ := told.Read(b) // the end of the pipe means that the process ended
		ready <- n == 1
	}()
	select {
	case ok := <-ready:
		if ok {
			return cmd.Process.Release()
		}
	case <-ctx.Done():
		return errors.Join(ctx.Err(), cmd.Process.Signal(syscall.SIGTERM))
	}
	err = cmd.Wait()
	return backgroundError(log, before, err)
}

func startSelf(log *os.File) (*exec.Cmd, *os.File, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer w.Close()
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), backgroundEnv+"=1")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{w}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		r.Close()
		return nil, nil, err
	}
	return cmd, r, nil
}

// backgroundError is what the process said before it ended, of the kind that its exit code tells.
func backgroundError(log *os.File, before int64, err error) error {
	const most = 16 << 10
	b, rerr := io.ReadAll(io.NewSectionReader(log, before, most))
	text := strings.TrimPrefix(strings.TrimSpace(string(b)), filepath.Base(os.Args[0])+": ")
	if rerr != nil || text == "" {
		return fmt.Errorf("the background process ended: %w", err)
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return errors.New(text)
	}
	return &remoteError{msg: text, kind: map[int]error{2: ErrUsage, 4: ErrNotFound}[exit.ExitCode()]}
}

// tellReady tells the process that waits in StartBackground.
func tellReady() {
	if !IsBackground() {
		return
	}
	pipe := os.NewFile(3, "ready")
	_, _ = pipe.Write([]byte{1}) // who waited may be gone
	pipe.Close()
}
