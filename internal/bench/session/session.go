// Package session runs the programs of this project for a benchmark or a soak: a local network with a drive mounted on it, as a user has it.
package session

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Drive is a running `ccdrive local`.
type Drive struct {
	Bin   string // folder of ccdrive and ccprovider
	Home  string
	Mount string
	args  []string
	cmd   *exec.Cmd
	log   bytes.Buffer
}

// New says where a drive is to run; nothing runs yet. args are added to `ccdrive local DIR`.
func New(bin, dir string, args ...string) *Drive {
	return &Drive{Bin: bin, Home: filepath.Join(dir, "home"), Mount: filepath.Join(dir, "CloudDrive"), args: args}
}

// Start runs `ccdrive local` and returns when it says that it is ready.
func (d *Drive) Start(ctx context.Context) error {
	return d.start(ctx, append([]string{"local", d.Mount, "--home", d.Home}, d.args...)...)
}

// StartMount runs `ccdrive mount` in the foreground, for a drive whose providers run elsewhere, and returns when it says that it is ready.
func (d *Drive) StartMount(ctx context.Context) error {
	// What a killed drive left mounted there can't be looked at, and is taken over.
	if err := os.MkdirAll(d.Mount, 0o755); err != nil && !errors.Is(err, os.ErrExist) && !errors.Is(err, syscall.ENOTCONN) {
		return err
	}
	return d.start(ctx, append([]string{"mount", d.Mount, "--home", d.Home}, d.args...)...)
}

// StartNetwork runs `ccdrive local --no-drive` and returns when it says that it is ready.
func (d *Drive) StartNetwork(ctx context.Context) error {
	return d.start(ctx, append([]string{"local", "--no-drive", "--home", d.Home}, d.args...)...)
}

func (d *Drive) start(ctx context.Context, args ...string) error {
	bin, err := filepath.Abs(filepath.Join(d.Bin, "ccdrive"))
	if err != nil {
		return err
	}
	d.log.Reset()
	d.cmd = exec.Command(bin, args...)
	d.cmd.Stderr = &d.log
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := d.cmd.Start(); err != nil {
		return err
	}
	ready := make(chan error, 1)
	go func() {
		line, err := bufio.NewReader(out).ReadString('\n')
		if err == nil && !strings.HasPrefix(line, "ready:") {
			err = fmt.Errorf("it printed %q", line)
		}
		ready <- err
		_, _ = io.Copy(io.Discard, out) // until it ends
	}()
	select {
	case err = <-ready:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		return errors.Join(fmt.Errorf("ccdrive %s: %w", args[0], err), d.Kill(), errors.New(d.log.String()))
	}
	return nil
}

// Running tells whether Start succeeded and neither Stop nor Kill was called since.
func (d *Drive) Running() bool { return d.cmd != nil && d.cmd.ProcessState == nil }

// PID of the running drive.
func (d *Drive) PID() int { return d.cmd.Process.Pid }

// Log is what the drive said on stderr since Start; to be called when it ended.
func (d *Drive) Log() string { return d.log.String() }

// Stop ends the drive in order.
func (d *Drive) Stop() error {
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	if err := d.cmd.Wait(); err != nil {
		return fmt.Errorf("ccdrive local: %w: %s", err, d.log.String())
	}
	return nil
}

// Kill ends the drive by SIGKILL; its providers end with it.
func (d *Drive) Kill() error {
	if err := d.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	_ = d.cmd.Wait() // reports the kill
	return nil
}

// Run runs a command of ccdrive on the drive's HOME and returns what it prints.
func (d *Drive) Run(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(d.Bin, "ccdrive"), append(args, "--home", d.Home)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("ccdrive %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return string(out), nil
}

// JSON runs a command with --json and decodes what it prints.
func (d *Drive) JSON(ctx context.Context, v any, args ...string) error {
	out, err := d.Run(ctx, append(args, "--json")...)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(out), v)
}

// Settle returns when the drive has stored everything and has nothing more to do.
func (d *Drive) Settle(ctx context.Context) error {
	_, err := d.Run(ctx, "sync", "--timeout", "10m")
	return err
}

// Used is what the leases hold, in bytes.
func (d *Drive) Used(ctx context.Context) (used int64, err error) {
	var leases []struct{ Used int64 }
	err = d.JSON(ctx, &leases, "leases")
	for _, l := range leases {
		used += l.Used
	}
	return used, err
}

// PeakMemory is the most resident memory that the drive ever had, in bytes.
func (d *Drive) PeakMemory() (int64, error) { return PeakMemoryOf(d.PID()) }

// PeakMemoryOf is the most resident memory that a process ever had, in bytes.
func PeakMemoryOf(pid int) (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kb << 10, err
		}
	}
	return 0, errors.New("no VmHWM in /proc/PID/status")
}

// DropCaches makes the kernel forget clean pages, names and attributes.
func DropCaches() error {
	syscall.Sync()
	return os.WriteFile("/proc/sys/vm/drop_caches", []byte("3\n"), 0o200)
}

// Timed runs fn and returns how long it took.
func Timed(fn func() error) (time.Duration, error) {
	start := time.Now()
	err := fn()
	return time.Since(start), err
}
