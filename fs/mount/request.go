//go:build linux || darwin || freebsd

package mount

import (
	"context"
	"sync"
	"time"
)

// request is the context of one request of the kernel. It costs one allocation; a goroutine only runs when somebody asks for
// Done, which only waits for the network do.
type request struct {
	interrupt <-chan struct{} // closed by FUSE_INTERRUPT
	pid       uint32          // the thread that waits, 0: unknown

	mu    sync.Mutex
	done  chan struct{} // nil until somebody asks
	ended chan struct{} // made with done
	over  bool          // end was called
	err   error
}

// pendingEvery is how often an interrupted request looks whether its thread is to end: the kernel interrupts once only.
const pendingEvery = 100 * time.Millisecond

var _ context.Context = (*request)(nil)

func newRequest(interrupt <-chan struct{}, pid uint32) *request {
	return &request{interrupt: interrupt, pid: pid}
}

// end is called when the request was answered.
func (r *request) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
	if r.ended != nil {
		close(r.ended)
		r.ended = nil
	}
}

// Deadline is none: who waits sets one.
func (r *request) Deadline() (time.Time, bool) { return time.Time{}, false }

// Value holds nothing.
func (r *request) Value(any) any { return nil }

// Err is context.Canceled once Done is closed.
func (r *request) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// Done is closed when the request was interrupted by a signal that ends programs.
func (r *request) Done() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done == nil {
		r.done = make(chan struct{})
		if !r.over {
			r.ended = make(chan struct{})
			go r.watch(r.ended)
		}
	}
	return r.done
}

func (r *request) watch(ended <-chan struct{}) {
	select {
	case <-ended:
		return
	case <-r.interrupt:
	}
	if !wantsEnd(r.pid) {
		tick := time.NewTicker(pendingEvery)
		defer tick.Stop()
		for !wantsEnd(r.pid) {
			select {
			case <-ended:
				return
			case <-tick.C:
			}
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.err = context.Canceled
		close(r.done)
	}
}
