package provider

import (
	"net"
	"sync"
)

// limitedListener closes connections at once that are more than its limits allow, all together or from one address.
type limitedListener struct {
	net.Listener
	all, perAddr int // 0: no limit

	mu     sync.Mutex
	open   int
	byAddr map[string]int
}

func newLimitedListener(ln net.Listener, all, perAddr int) *limitedListener {
	return &limitedListener{Listener: ln, all: all, perAddr: perAddr, byAddr: map[string]int{}}
}

// Accept implements net.Listener.
func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		tcp, ok := c.(*net.TCPConn)
		if !ok {
			return c, nil
		}
		addr := host(tcp.RemoteAddr())
		if l.enter(addr) {
			return &limitedConn{TCPConn: tcp, leave: sync.OnceFunc(func() { l.leave(addr) })}, nil
		}
		c.Close() //nolint:errcheck // refused anyway
	}
}

func host(a net.Addr) string {
	h, _, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	return h
}

func (l *limitedListener) enter(addr string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all > 0 && l.open >= l.all || l.perAddr > 0 && l.byAddr[addr] >= l.perAddr {
		return false
	}
	l.open++
	l.byAddr[addr]++
	return true
}

func (l *limitedListener) leave(addr string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	if l.byAddr[addr]--; l.byAddr[addr] == 0 {
		delete(l.byAddr, addr)
	}
}

// limitedConn is counted until it is closed. It embeds the TCP connection itself, so that files are still sent by the kernel.
type limitedConn struct {
	*net.TCPConn
	leave func()
}

// Close implements net.Conn.
func (c *limitedConn) Close() error {
	c.leave()
	return c.TCPConn.Close()
}
