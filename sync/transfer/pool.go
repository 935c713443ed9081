package transfer

import (
	"context"
	"log/slog"
	"time"

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
	TryTimeout time.Duration // of one request; 0: 30 s and the time that the bytes need at 64 KiB/s
}

// Pool is the set of leases of a drive. Safe for concurrent use.
type Pool struct{}

// LeaseState is what the pool knows of a lease.
type LeaseState struct {
	Info      LeaseInfo
	State     State
	LastError string        // of the newest failed try; "" after a success
	Latency   time.Duration // smoothed, of small answers; 0 unknown
	Failures  int           // in a row
}

// State of a lease in words that `status` prints.
type State string

const (
	StateNew   State = "new"   // not asked yet
	StateOK    State = "ok"    // answered the last time
	StateSlow  State = "slow"  // answers, but much later than the others
	StateDown  State = "down"  // the breaker is open: the last tries failed
	StateLease State = "ended" // it says that the lease doesn't hold any more
)

// NewPool makes a pool without leases.
func NewPool(opt Options) *Pool { panic("being built") }

// SetLeases replaces the set. What is known of a lease that stays is kept.
func (p *Pool) SetLeases(ls []Shards) { panic("being built") }

// Leases tells the state of each lease, in the order of SetLeases.
func (p *Pool) Leases() []LeaseState { panic("being built") }

// Lease returns the client of a lease, for slots and listings.
func (p *Pool) Lease(id model.LeaseID) (Shards, bool) { panic("being built") }

// Bad sets the hook that is told of shards which their provider lacks or answers wrongly. It is called on the goroutine of the
// read and must not block.
func (p *Pool) Bad(fn func(pack model.PackID, shard int, why error)) { panic("being built") }

// PutShard stores a shard with one lease, with retries. Nil means that a verified receipt was given.
func (p *Pool) PutShard(ctx context.Context, lease model.LeaseID, id model.ShardID, body []byte) error {
	panic("being built")
}

// ReadRange fills dst from byte off of the age file of a pack. check tells whether the bytes are authentic (nil: every piece
// is checked by its proof instead); when it refuses, the range is asked for again with proofs, and who lied is reported.
func (p *Pool) ReadRange(ctx context.Context, pack *model.Pack, off int64, dst []byte, check func([]byte) error) error {
	panic("being built")
}

// ReadShard returns one whole shard, verified by its id; rebuilt from others when its provider doesn't give it.
func (p *Pool) ReadShard(ctx context.Context, pack *model.Pack, i int) ([]byte, error) {
	panic("being built")
}

// Close ends what runs in the background.
func (p *Pool) Close() error { panic("being built") }
