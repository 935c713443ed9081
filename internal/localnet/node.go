package localnet

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cloudcoin/cloudcoin/internal/homelock"
)

const (
	readyWithin = 30 * time.Second
	stopWithin  = 15 * time.Second // then it is killed
	staleWithin = 10 * time.Second // for a predecessor's process to go
	pollEvery   = 10 * time.Millisecond
	logName     = "ccprovider.log"
	configName  = "ccprovider.toml"
)

// node is one provider.
type node struct {
	net        *Net
	name, home string

	op sync.Mutex // held by start, stop and kill; before mu

	mu   sync.Mutex
	url  string
	proc *process // nil: not running
}

// process is a provider that was started.
type process struct {
	cmd   *exec.Cmd
	stdin io.Closer     // its end ends the provider
	gone  chan struct{} // closed when it was waited for
	err   error         // of Wait; set before gone is closed
}

func (p *node) address() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.url
}

// current is the running process; nil when there is none.
func (p *node) current() *process {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.proc == nil {
		return nil
	}
	select {
	case <-p.proc.gone:
		return nil
	default:
		return p.proc
	}
}

func (p *node) running() bool { return p.current() != nil }

// start makes the HOME when there is none, and runs it, on its old port when that is free.
func (p *node) start(ctx context.Context) error {
	p.op.Lock()
	defer p.op.Unlock()
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	if proc := p.current(); proc != nil {
		if homelock.Holder(p.home) != 0 {
			return nil
		}
		select { // it let go of its folder: it is ending
		case <-proc.gone:
		case <-ctx.Done():
			return fmt.Errorf("start %s: %w", p.name, context.Cause(ctx))
		}
	}
	if _, err := os.Stat(filepath.Join(p.home, configName)); errors.Is(err, os.ErrNotExist) {
		if _, err := p.command(ctx, "init", "--network", "local", "--name", p.name, "--listen", "127.0.0.1:0"); err != nil {
			return err
		}
	}
	if err := p.endStale(ctx); err != nil {
		return err
	}
	listen := "127.0.0.1:0"
	if u, err := url.Parse(p.address()); err == nil && u.Port() != "" {
		listen = "127.0.0.1:" + u.Port()
	}
	err := p.run(ctx, listen)
	if err != nil && ctx.Err() == nil && listen != "127.0.0.1:0" {
		p.net.logger.Warn("a provider can't have its old port; it gets another", "provider", p.name, "listen", listen, "err", err)
		err = p.run(ctx, "127.0.0.1:0")
	}
	return err
}

// endStale ends a process that a predecessor left. This network is ours alone (its lock), so nobody else's provider can be meant.
func (p *node) endStale(ctx context.Context) error {
	deadline := time.Now().Add(staleWithin)
	for asked := false; ; {
		pid := homelock.Holder(p.home)
		if pid == 0 {
			return nil
		}
		if !asked {
			p.net.logger.Warn("ending a provider that was left running", "provider", p.name, "pid", pid)
			if proc, err := os.FindProcess(pid); err == nil {
				_ = proc.Kill() // it may have ended by itself; the lock tells
			}
			asked = true
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: process %d, left by an earlier run, holds its folder and doesn't end", p.name, pid)
		}
		select {
		case <-time.After(pollEvery):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// run starts the process and returns when it serves.
func (p *node) run(ctx context.Context, listen string) error {
	log, err := os.OpenFile(filepath.Join(p.home, logName), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	defer log.Close()
	cmd := exec.Command(p.net.binary, "run", "--home", p.home, "--listen", listen, "--log-level", "warn", "--end-with-parent")
	cmd.Stderr = log
	cmd.SysProcAttr = childAttr()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	if err := p.net.parent.start(cmd); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	proc := &process{cmd: cmd, stdin: stdin, gone: make(chan struct{})}
	p.mu.Lock()
	p.proc = proc
	p.mu.Unlock()
	ready := make(chan string, 1)
	go proc.watch(stdout, ready)
	select {
	case u, ok := <-ready:
		if !ok {
			<-proc.gone
			return fmt.Errorf("%s ended at its start (%v): %s", p.name, proc.err, p.lastWords())
		}
		p.mu.Lock()
		p.url = u
		p.mu.Unlock()
		return nil
	case <-ctx.Done():
		_ = cmd.Process.Kill() // it may have ended by itself
		<-proc.gone
		return fmt.Errorf("start %s: %w", p.name, context.Cause(ctx))
	}
}

// watch reads what the process prints until it ends: the first line tells the URL. ready is closed at the end.
func (pr *process) watch(stdout io.Reader, ready chan<- string) {
	r := bufio.NewReader(io.LimitReader(stdout, 4096))
	line, _ := r.ReadString('\n') // an end without the line shows as such
	if u, ok := strings.CutPrefix(strings.TrimSpace(line), "ready: "); ok {
		ready <- u
	}
	_, _ = io.Copy(io.Discard, stdout) // until it ends
	pr.err = pr.cmd.Wait()
	close(pr.gone)
	close(ready)
}

// lastWords is the end of what the provider logged.
func (p *node) lastWords() string {
	b, err := os.ReadFile(filepath.Join(p.home, logName))
	if err != nil {
		return err.Error()
	}
	b = bytes.TrimSpace(b[max(0, len(b)-500):])
	if len(b) == 0 {
		return "it said nothing"
	}
	return string(b)
}

// stop ends the process in order; after stopWithin, or when ctx ends, by force.
func (p *node) stop(ctx context.Context) error {
	p.op.Lock()
	defer p.op.Unlock()
	proc := p.current()
	if proc == nil {
		return nil
	}
	if err := proc.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		_ = proc.cmd.Process.Kill() // it may have ended by itself
	}
	t := time.NewTimer(stopWithin)
	defer t.Stop()
	select {
	case <-proc.gone:
		return nil
	case <-t.C:
	case <-ctx.Done():
	}
	_ = proc.cmd.Process.Kill() // it may have ended by itself
	<-proc.gone
	p.net.logger.Warn("a provider didn't end in order and was killed", "provider", p.name)
	return nil
}

func (p *node) kill() error {
	p.op.Lock()
	defer p.op.Unlock()
	proc := p.current()
	if proc == nil {
		return nil
	}
	if err := proc.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill %s: %w", p.name, err)
	}
	<-proc.gone
	return nil
}

// command runs another command of the program on the HOME and returns what it prints.
func (p *node) command(ctx context.Context, args ...string) (string, error) {
	var out, errs bytes.Buffer
	cmd := exec.Command(p.net.binary, append(args, "--home", p.home, "--log-level", "warn")...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.SysProcAttr = childAttr()
	if err := p.net.parent.start(cmd); err != nil {
		return "", fmt.Errorf("%s %s: %w", p.name, args[0], err)
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() }) // it may have ended by itself
	defer stop()
	if err := cmd.Wait(); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return "", fmt.Errorf("%s %s: %w: %s", p.name, args[0], err, bytes.TrimSpace(errs.Bytes()))
	}
	return out.String(), nil
}
