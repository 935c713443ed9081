package transfer

import (
	"sync"
	"time"
)

const (
	smallAnswer   = 64 << 10 // answers up to here tell the latency, longer ones the throughput
	guessBase     = 100 * time.Millisecond
	guessRate     = 8 << 20 // bytes per second
	patienceFloor = 50 * time.Millisecond
	patienceRate  = 40 << 20 // bytes per second that patience grants beside the floor
	patienceLimit = 4 * time.Second
)

// speed is what observed answers of one lease say about the next one: a base latency with its deviation, smoothed as TCP does it,
// and a rate beyond.
type speed struct {
	base, dev time.Duration // 0: unknown
	rate      float64       // bytes per second; 0: unknown
}

func (s *speed) add(n int64, took time.Duration) {
	took = max(took, time.Microsecond)
	if n > smallAnswer {
		rate := float64(n) / max(took-s.base/2, took/4).Seconds()
		if s.rate == 0 {
			s.rate = rate
		}
		s.rate += (rate - s.rate) / 8
		return
	}
	if s.base == 0 {
		s.base, s.dev = took, took/2
		return
	}
	diff := took - s.base
	s.base += diff / 8
	s.dev += (diff.Abs() - s.dev) / 4
}

func (s *speed) expect(n int64) time.Duration {
	base, rate := s.base, s.rate
	if base == 0 {
		base = guessBase
	}
	if rate == 0 {
		rate = guessRate
	}
	if n <= smallAnswer {
		return base
	}
	return base + time.Duration(float64(n)/rate*float64(time.Second))
}

func (s *speed) patience(n int64) time.Duration {
	floor := patienceFloor + time.Duration(n)*time.Second/patienceRate
	return min(max(2*s.expect(n)+4*s.dev, floor), patienceLimit)
}

// budget keeps asking twice from becoming the rule: each read adds a tenth of a hedge, up to ten whole ones.
type budget struct {
	mu    sync.Mutex
	spent int // tenths below the full budget
}

const budgetFull = 100

func (b *budget) earn() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spent = max(b.spent-1, 0)
}

func (b *budget) spend() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.spent+10 > budgetFull {
		return false
	}
	b.spent += 10
	return true
}
