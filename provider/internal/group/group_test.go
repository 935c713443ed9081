package group

import (
	"errors"
	"sync"
	"testing"
)

// TestShare holds a first run open, lets 50 callers arrive meanwhile, and counts: they share runs, and none is served by the first.
func TestShare(t *testing.T) {
	var c Call
	enter, leave := make(chan struct{}), make(chan struct{})
	var runs int
	fn := func() error {
		runs++ // guarded by the call's turn
		if runs == 1 {
			close(enter)
			<-leave
			return errors.New("first")
		}
		return nil
	}
	first := make(chan error)
	go func() { first <- c.Do(fn) }()
	<-enter
	var wg sync.WaitGroup
	errs := make(chan error, 50)
	for range 50 {
		wg.Go(func() { errs <- c.Do(fn) })
	}
	close(leave) // the callers may or may not have arrived; either way none may see the first run's error
	if err := <-first; err == nil {
		t.Error("the first caller misses its error")
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Errorf("a later caller got %v", err)
		}
	}
	if runs < 2 || runs > 51 {
		t.Errorf("%d runs", runs)
	}
}
