// Package group lets many goroutines that wait for the same slow and cumulative thing, such as the fsync of one file, share one run of it.
//
// A call that arrives while a run is under way is not served by it, since what the caller has just written may have come too
// late; it shares the next run with everybody else who arrives until that starts.
package group

import "sync"

// Call is one such thing. The zero value is ready. Safe for concurrent use.
type Call struct {
	turn sync.Mutex // held by the run under way; taken before mu
	mu   sync.Mutex
	next *run // the run that has not started yet; nil when nobody waits for one
}

type run struct {
	done chan struct{}
	err  error
}

// Do returns when a run of fn that began after the call of Do has ended, with its error. All callers must pass an equivalent fn.
func (c *Call) Do(fn func() error) error {
	c.mu.Lock()
	r, leader := c.next, false
	if r == nil {
		r, leader = &run{done: make(chan struct{})}, true
		c.next = r
	}
	c.mu.Unlock()
	if !leader {
		<-r.done
		return r.err
	}
	c.turn.Lock()
	defer c.turn.Unlock()
	c.mu.Lock()
	c.next = nil
	c.mu.Unlock()
	defer close(r.done)
	r.err = fn()
	return r.err
}
