package homelock

import (
	"errors"
	"os"
	"testing"
)

func TestSecondHolderIsTurnedAway(t *testing.T) {
	home := t.TempDir()
	l, err := Acquire(home)
	if err != nil {
		t.Fatal(err)
	}
	var held *HeldError
	if _, err := Acquire(home); !errors.As(err, &held) || held.PID != os.Getpid() {
		t.Fatalf("second Acquire: %v, want HeldError with pid %d", err, os.Getpid())
	}
	if got := Holder(home); got != os.Getpid() {
		t.Fatalf("Holder = %d, want %d", got, os.Getpid())
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	if got := Holder(home); got != 0 {
		t.Fatalf("Holder after Release = %d, want 0", got)
	}
	l, err = Acquire(home)
	if err != nil {
		t.Fatalf("Acquire after Release: %v", err)
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
}

func TestMissingHome(t *testing.T) {
	if _, err := Acquire(t.TempDir() + "/none"); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("got %v, want ErrNotExist", err)
	}
}
