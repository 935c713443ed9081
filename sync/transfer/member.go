package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

const (
	breakAfter   = 3                // failures in a row that open the breaker
	firstOpen    = time.Second      // how long it is open at first
	longestOpen  = time.Minute      // and at most
	probeTimeout = 10 * time.Second //
	slowFactor   = 5                // times the median latency
	slowAtLeast  = 250 * time.Millisecond
)

// member is one lease in the pool: who may ask it now, and how it has answered.
type member struct {
	pool *Pool
	id   model.LeaseID
	gate chan struct{} // holds a token for each request in flight

	mu       sync.Mutex
	shards   Shards
	asked    bool
	ended    bool
	failures int // in a row
	late     int // in a row: overtaken by others
	opened   int // how often in a row the breaker has opened; 0: it is closed
	lastErr  string
	wrong    string // the newest answer that was cut short or not what was asked for
	wrongAt  time.Time
	speed    speed
}

func newMember(p *Pool, id model.LeaseID) *member {
	return &member{pool: p, id: id, gate: make(chan struct{}, p.opt.PerLease)}
}

func (m *member) setShards(s Shards) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.shards = s
}

func (m *member) client() Shards {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.shards
}

// state describes the lease; usual is the median latency of all (0: not compared).
func (m *member) state(usual time.Duration) LeaseState {
	m.mu.Lock()
	defer m.mu.Unlock()
	st := LeaseState{Info: m.shards.Info(), LastError: m.lastErr, Latency: m.speed.base, Failures: m.failures, Wrong: m.wrong, WrongAt: m.wrongAt}
	switch {
	case m.ended:
		st.State = StateEnded
	case m.opened > 0:
		st.State = StateDown
	case !m.asked:
		st.State = StateNew
	case usual > 0 && m.speed.base > slowAtLeast && m.speed.base > slowFactor*usual:
		st.State = StateSlow
	default:
		st.State = StateOK
	}
	return st
}

func medianLatency(members []*member) time.Duration {
	var all []time.Duration
	for _, m := range members {
		m.mu.Lock()
		if m.speed.base > 0 && m.opened == 0 {
			all = append(all, m.speed.base)
		}
		m.mu.Unlock()
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[(len(all)-1)/2]
}

// do runs one request of n bytes through the gate, with its timeout, and notes the outcome. When ctx ends meanwhile the request counts
// neither as good nor as bad.
func (m *member) do(ctx context.Context, n int64, req func(ctx context.Context, s Shards) error) error {
	select {
	case m.gate <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-m.gate }()
	limit := m.pool.opt.TryTimeout + time.Duration(n/(64<<10))*time.Second
	tctx, cancel := context.WithTimeoutCause(ctx, limit, errTimeout)
	defer cancel()
	start := m.pool.opt.Clock.Now()
	err := req(tctx, m.client())
	took := m.pool.opt.Clock.Now().Sub(start)
	switch {
	case err == nil:
		m.succeeded(n, took)
	case ctx.Err() != nil: // the caller doesn't want it any more
		return err
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrNoRoom), errors.Is(err, ErrConflict):
		m.succeeded(0, took) // an answer, if not the one that was hoped for
	default:
		m.failed(err)
	}
	return err
}

var errTimeout = errors.New("no answer in time")

// succeeded notes an answer and closes the breaker. took is a sample of the speed when n > 0.
func (m *member) succeeded(n int64, took time.Duration) {
	m.mu.Lock()
	back := m.opened > 0 || m.ended
	m.asked, m.ended, m.failures, m.late, m.opened, m.lastErr = true, false, 0, 0, 0, ""
	if n > 0 {
		m.speed.add(n, took)
	}
	m.mu.Unlock()
	if back {
		m.pool.reportChanged(m)
	}
}

// failed notes a try without an answer, or with a wrong one.
func (m *member) failed(err error) {
	m.mu.Lock()
	m.asked = true
	m.failures++
	m.lastErr = err.Error()
	if errors.Is(err, ErrDamaged) || errors.Is(err, io.ErrUnexpectedEOF) {
		m.wrong, m.wrongAt = m.lastErr, m.pool.opt.Clock.Now()
	}
	ended := errors.Is(err, ErrLease)
	open := m.opened == 0 && (m.failures >= breakAfter || ended)
	m.ended = m.ended || ended
	if open {
		m.opened = 1
	}
	m.mu.Unlock()
	if open {
		m.openBreaker()
	}
}

// overtaken notes that others were asked instead because this one let wait.
func (m *member) overtaken(n int64, waited time.Duration) {
	m.mu.Lock()
	m.speed.add(n, waited)
	m.late++
	open := m.late >= breakAfter && m.opened == 0
	if open {
		m.opened = 1
		m.lastErr = fmt.Sprintf("didn't answer within %v", waited.Round(time.Millisecond))
	}
	m.mu.Unlock()
	if open {
		m.openBreaker()
	}
}

// openBreaker tells of it and probes from now on until the lease answers or the pool closes.
func (m *member) openBreaker() {
	m.pool.reportChanged(m)
	m.pool.mu.Lock()
	defer m.pool.mu.Unlock()
	if m.pool.life.Err() != nil {
		return
	}
	m.pool.bg.Go(m.probeUntilBack)
}

// probeUntilBack is the half-open state: one small question at a time, at growing intervals.
func (m *member) probeUntilBack() {
	for {
		m.mu.Lock()
		n := m.opened
		m.mu.Unlock()
		if n == 0 || m.pool.member(m.id) != m {
			return // somebody got an answer, or the lease is gone
		}
		if m.pool.sleep(m.pool.life, m.pool.backoff(firstOpen, longestOpen, n)) != nil {
			return
		}
		if m.probe(m.pool.life) == nil {
			return
		}
		m.mu.Lock()
		if m.opened > 0 {
			m.opened++
		}
		m.mu.Unlock()
	}
}

// probe asks for the usage, past the gate: it must not wait behind requests that hang.
func (m *member) probe(ctx context.Context) error {
	tctx, cancel := context.WithTimeoutCause(ctx, probeTimeout, errTimeout)
	defer cancel()
	_, err := m.client().Usage(tctx)
	switch {
	case err == nil:
		m.succeeded(0, 0)
	case ctx.Err() == nil:
		m.failed(err)
	}
	return err
}

// isOpen tells whether the breaker is open: others are asked first.
func (m *member) isOpen() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.opened > 0
}

// expect is how long an answer of n bytes should take.
func (m *member) expect(n int64) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.speed.expect(n)
}

// patience is how long to wait for an answer of n bytes before others are asked too.
func (m *member) patience(n int64) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.speed.patience(n)
}
