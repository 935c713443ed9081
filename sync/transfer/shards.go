package transfer

import (
	"context"
	"errors"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

// Errors that an implementation of Shards returns (wrapped); anything else means "could not be asked", which is retried.
var (
	ErrNotFound = errors.New("the provider doesn't have it")         // it answered that it lacks the shard or slot
	ErrDamaged  = errors.New("the bytes don't match their name")     // answer didn't verify: garbage, truncated or a wrong proof
	ErrNoRoom   = errors.New("the lease is full")                    // 413 or 507
	ErrLease    = errors.New("the lease doesn't hold any more")      // 401, 402 or 403
	ErrConflict = errors.New("the slot holds a newer or other head") // 409
)

// Shards is one lease, as transfer and engine see it. Implemented by drive/lease. Safe for concurrent use.
// Every method obeys ctx and returns only after it has verified what it says.
type Shards interface {
	// Info describes the lease as last known, without asking the provider.
	Info() LeaseInfo
	// Put stores a shard and returns when a signed receipt for exactly these bytes was verified.
	Put(ctx context.Context, id model.ShardID, body []byte) error
	// Get fills p from byte off of the shard. With verify the range is checked by a proof against id (whole shards always are).
	// Without, the caller checks it by other means (the pack's age blocks are authenticated).
	Get(ctx context.Context, id model.ShardID, off int64, p []byte, size int64, verify bool) error
	// Has tells for each id whether the provider says that it holds it (up to 1,000 ids are one request; more are split).
	Has(ctx context.Context, ids []model.ShardID) ([]bool, error)
	// Delete removes shards; ids that aren't there are no error.
	Delete(ctx context.Context, ids []model.ShardID) error
	// List returns up to 1,000 shards after cursor (the zero id at first), in order of their ids.
	List(ctx context.Context, after model.ShardID) ([]model.ShardID, error)
	// Slots names the slots of the lease.
	Slots(ctx context.Context) ([]string, error)
	// GetSlot returns a slot's newest value, its signature verified. ErrNotFound when there is none.
	GetSlot(ctx context.Context, name string) (Slot, error)
	// PutSlot signs and stores a value. ErrConflict unless the counter is above the stored one (or equal with the same bytes).
	PutSlot(ctx context.Context, name string, s Slot) error
	// Usage asks the provider.
	Usage(ctx context.Context) (Usage, error)
}

// Slot is the value of a small mutable place at a provider: at most 64 KiB.
type Slot struct {
	Counter uint64
	Payload []byte
}

// Usage of a lease in bytes.
type Usage struct{ Used, Size int64 }

// LeaseInfo is what placement needs to know of a lease.
type LeaseInfo struct {
	ID       model.LeaseID
	Provider string // fingerprint of the provider's key: two leases with one provider share it
	Name     string // for people
	URL      string
	Operator string // declared; "" unknown
	Country  string // declared; "" unknown
	Network  string // of the address: /16 for IPv4, /32 for IPv6, "loopback"
	Size     int64
	Used     int64
	Until    int64 // unix seconds
}
