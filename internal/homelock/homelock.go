// Package homelock lets one process at a time work in a HOME. The lock is the kernel's (flock; LockFileEx on Windows), so it ends with
// its process, however that ends; the file beside it only tells people who holds it.
package homelock

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Lock is held until Release or the end of the process.
type Lock struct{ file *os.File }

// HeldError is returned when another process works in the HOME.
type HeldError struct {
	Home string
	PID  int // 0 when it can't be told
}

func (e *HeldError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("%s is in use by another process; end it first, or choose another --home", e.Home)
	}
	return fmt.Sprintf("%s is in use by process %d; end it first, or choose another --home", e.Home, e.PID)
}

// errHeld is returned by tryLock when somebody else holds the lock.
var errHeld = errors.New("locked")

// Holder has the lock for a moment to find out; Acquire doesn't take that for somebody who works there.
const (
	looks    = 4
	lookTime = 5 * time.Millisecond
)

// Acquire takes the lock of home, which must exist. It waits no longer than a look at the lock takes: *HeldError tells who has it.
func Acquire(home string) (*Lock, error) {
	path := filepath.Join(home, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", home, err)
	}
	err = tryLock(f)
	for range looks {
		if !errors.Is(err, errHeld) {
			break
		}
		time.Sleep(lookTime)
		err = tryLock(f)
	}
	if err != nil {
		defer f.Close()
		if errors.Is(err, errHeld) {
			return nil, &HeldError{Home: home, PID: readPID(path)}
		}
		return nil, fmt.Errorf("lock %s: %w", home, err)
	}
	if err := writePID(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", home, err)
	}
	return &Lock{f}, nil
}

// Release gives the lock back. The file stays: removing it would let two processes lock two files of one name.
func (l *Lock) Release() error {
	if err := l.file.Truncate(0); err != nil && !errors.Is(err, os.ErrClosed) {
		l.file.Close()
		return fmt.Errorf("release lock: %w", err)
	}
	return l.file.Close()
}

// Holder tells which process holds the lock of home; 0 when none does or it can't be told.
func Holder(home string) int {
	path := filepath.Join(home, "lock")
	f, err := os.OpenFile(path, os.O_RDWR, 0o600)
	if err != nil {
		return 0
	}
	defer f.Close()
	if err := tryLock(f); errors.Is(err, errHeld) {
		return readPID(path)
	}
	return 0
}

func writePID(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

func readPID(path string) int {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0
	}
	return pid
}
