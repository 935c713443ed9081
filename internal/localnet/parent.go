package localnet

import (
	"os/exec"
	"runtime"
	"sync"
)

// parent starts all children from one operating system thread that lives as long as the network: Linux sends the parent-death signal
// when the *thread* that started a child ends.
type parent struct {
	work chan func()
	once sync.Once
	done chan struct{}
}

func newParent() *parent {
	p := &parent{work: make(chan func()), done: make(chan struct{})}
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine, after all children
		defer close(p.done)
		for fn := range p.work {
			fn()
		}
	}()
	return p
}

func (p *parent) start(cmd *exec.Cmd) error {
	result := make(chan error, 1)
	p.work <- func() { result <- cmd.Start() }
	return <-result
}

// close ends the thread. No child may be running, and start not be called any more.
func (p *parent) close() {
	p.once.Do(func() { close(p.work) })
	<-p.done
}
