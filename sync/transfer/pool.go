package transfer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

// Options of a Pool. The zero value works.
type Options struct {
	Clock  Clock          // nil: the system's
	Rand   func() float64 // uniform in [0,1), for jitter; safe for concurrent use; nil: math/rand/v2
	Logger *slog.Logger   // nil: silent

	PerLease   int           // requests in flight for one lease; 0: 8
	Spare      int64         // bytes of buffers for pieces of other shards, over all reads; 0: 32 MiB
	PutTries   int           // tries of one PutShard; 0: 4
	Rounds     int           // how often a read asks everybody before it gives up; 0: 4
	TryTimeout time.Duration // of one request, to which the time comes that the bytes need at 64 KiB/s; 0: 20 s
}

func (o Options) withDefaults() Options {
	if o.Clock == nil {
		o.Clock = SystemClock{}
	}
	if o.Rand == nil {
		o.Rand = rand.Float64
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.PerLease <= 0 {
		o.PerLease = 8
	}
	if o.Spare <= 0 {
		o.Spare = 32 << 20
	}
	if o.PutTries <= 0 {
		o.PutTries = 4
	}
	if o.Rounds <= 0 {
		o.Rounds = 4
	}
	if o.TryTimeout <= 0 {
		o.TryTimeout = 20 * time.Second
	}
	return o
}

// Pool is the set of leases of a drive. Safe for concurrent use.
type Pool struct {
	opt    Options
	spare  *semaphore.Weighted
	spares buffers
	hedges budget

	life context.Context // ends at Close
	end  context.CancelFunc
	bg   sync.WaitGroup // probes of leases that are down

	mu      sync.Mutex // before any member.mu
	members []*member  // in the order of SetLeases
	byID    map[model.LeaseID]*member
	bad     func(model.PackID, int, error)
	changed func(LeaseState)
}

// LeaseState is what the pool knows of a lease.
type LeaseState struct {
	Info      LeaseInfo
	State     State
	LastError string        // of the newest failed try; "" after a success
	Latency   time.Duration // smoothed, of a small answer; 0 unknown
	Failures  int           // in a row
	Wrong     string        // the newest answer that was cut short or damaged, also when it answered rightly since; "" none
	WrongAt   time.Time
}

// State of a lease in words that `status` prints.
type State string

const (
	StateNew   State = "new"   // not asked yet
	StateOK    State = "ok"    // answered the last time
	StateSlow  State = "slow"  // answers, but much later than the others
	StateDown  State = "down"  // the breaker is open: the last tries failed
	StateEnded State = "ended" // it says that the lease doesn't hold any more
)

// Live tells whether new shards should go there.
func (s State) Live() bool { return s == StateNew || s == StateOK || s == StateSlow }

// NewPool makes a pool without leases. Close ends it.
func NewPool(opt Options) *Pool {
	opt = opt.withDefaults()
	p := &Pool{opt: opt, spare: semaphore.NewWeighted(opt.Spare), byID: map[model.LeaseID]*member{}}
	p.life, p.end = context.WithCancel(context.Background())
	return p
}

// Close ends what runs in the background and waits for it. Reads and puts under way are the callers' to end.
func (p *Pool) Close() error {
	p.end()
	p.bg.Wait()
	return nil
}

// SetLeases replaces the set. What is known of a lease that stays is kept.
func (p *Pool) SetLeases(ls []Shards) {
	p.mu.Lock()
	defer p.mu.Unlock()
	byID := make(map[model.LeaseID]*member, len(ls))
	members := make([]*member, 0, len(ls))
	for _, s := range ls {
		id := s.Info().ID
		m := p.byID[id]
		if m == nil {
			m = newMember(p, id)
		}
		m.setShards(s)
		byID[id] = m
		members = append(members, m)
	}
	p.members, p.byID = members, byID
}

// Leases tells the state of each lease, in the order of SetLeases.
func (p *Pool) Leases() []LeaseState {
	p.mu.Lock()
	members := p.members
	p.mu.Unlock()
	usual := medianLatency(members)
	out := make([]LeaseState, len(members))
	for i, m := range members {
		out[i] = m.state(usual)
	}
	return out
}

// Lease returns the client of a lease, for slots and listings.
func (p *Pool) Lease(id model.LeaseID) (Shards, bool) {
	m := p.member(id)
	if m == nil {
		return nil, false
	}
	return m.client(), true
}

// Bad sets the hook that is told of shards which their provider lacks or answers wrongly. It is called on the goroutine of a
// read and must not block.
func (p *Pool) Bad(fn func(pack model.PackID, shard int, why error)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bad = fn
}

// Changed sets the hook that is told when a lease goes down or comes back. It must not block.
func (p *Pool) Changed(fn func(LeaseState)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.changed = fn
}

// Probe asks a lease for its usage now and notes the outcome, whatever its breaker says.
func (p *Pool) Probe(ctx context.Context, id model.LeaseID) error {
	m := p.member(id)
	if m == nil {
		return fmt.Errorf("lease %s: %w", id, ErrNoLease)
	}
	return m.probe(ctx)
}

// ErrNoLease is returned for a lease that the pool doesn't have.
var ErrNoLease = errors.New("the drive holds no such lease")

func (p *Pool) member(id model.LeaseID) *member {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.byID[id]
}

func (p *Pool) reportBad(pack model.PackID, shard int, why error) {
	p.mu.Lock()
	fn := p.bad
	p.mu.Unlock()
	p.opt.Logger.Warn("shard is bad", "pack", pack, "shard", shard, "err", why)
	if fn != nil {
		fn(pack, shard, why)
	}
}

func (p *Pool) reportChanged(m *member) {
	p.mu.Lock()
	fn := p.changed
	p.mu.Unlock()
	st := m.state(0)
	p.opt.Logger.Info("lease changed", "lease", st.Info.ID, "provider", st.Info.Name, "state", st.State, "err", st.LastError)
	if fn != nil {
		fn(st)
	}
}

// sleep waits for d or until ctx ends.
func (p *Pool) sleep(ctx context.Context, d time.Duration) error {
	fires, stop := p.opt.Clock.Timer(d)
	defer stop()
	select {
	case <-fires:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// backoff is the wait before try n (1 is the second try): doubled each time up to limit, half of it drawn at random.
func (p *Pool) backoff(first, limit time.Duration, n int) time.Duration {
	d := limit
	if n < 30 && first<<(n-1) < limit {
		d = first << (n - 1)
	}
	return d/2 + time.Duration(p.opt.Rand()*float64(d/2))
}
