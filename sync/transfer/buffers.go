package transfer

import "sync"

const (
	keepFrom = 256 << 10 // shorter buffers are left to the garbage collector
	keepSum  = 16 << 20  // bytes of buffers that are kept between reads
)

// buffers keeps the last buffers of other shards' pieces for the next read. Safe for concurrent use.
type buffers struct {
	mu   sync.Mutex
	free [][]byte
	sum  int64
}

// get returns a buffer of n bytes with any content.
func (b *buffers) get(n int64) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := len(b.free) - 1; i >= 0; i-- {
		if f := b.free[i]; int64(cap(f)) >= n && n >= keepFrom {
			b.free = append(b.free[:i], b.free[i+1:]...)
			b.sum -= int64(cap(f))
			return f[:n]
		}
	}
	return make([]byte, n)
}

// put takes buffers back that nobody uses any more.
func (b *buffers) put(list [][]byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, f := range list {
		if n := int64(cap(f)); n >= keepFrom && b.sum+n <= keepSum {
			b.free = append(b.free, f)
			b.sum += n
		}
	}
}
