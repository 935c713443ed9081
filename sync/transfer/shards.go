// Package transfer moves shards between packs and leases: parallel, retried, hedged, verified.
//
// Its nouns: Shards is one lease (drive/lease implements it, memshards is its twin in memory, shardstest the suite that both pass). Pool is
// all leases of a drive; it limits the requests in flight for each, remembers how each answers, and decides whom to ask. fetch reads through it, engine puts
// and repairs through it.
//
// # Reading
//
// A range of a pack is asked of the data shard that holds it. When the provider lacks it, lies, or lets wait longer than its own history
// lets expect, the same range of the best k other shards is asked for and the range is rebuilt; whoever is first wins. A *breaker* of each lease opens after three
// failures in a row (or three answers that others overtook): then others are asked first and a small question each second to minute finds out whether it is
// back. It only changes the order: whoever is needed to reach k is asked, whatever its breaker says. Asking twice because of mere slowness is
// limited to a tenth of all reads.
//
// Bytes are checked by the caller's check (age blocks authenticate themselves); only when it refuses are proofs asked for, which tell who lied. Shards
// that a provider lacks or answers wrongly are reported to the hook of Bad.
//
// # Concurrency and memory
//
// Everything is safe for concurrent use, except that hooks are set before use. Reads write into the caller's memory and beyond that hold at most Options.Spare bytes of other
// shards' pieces. No goroutine touches the caller's memory after a call has returned. Nothing here survives a crash or needs to.
package transfer

import (
	"context"
	"errors"
	"fmt"

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
	// Get fills p from byte off of the shard, which has size bytes. With verify the range is checked against id: a whole shard by its
	// hash, a part by a proof. Without, the caller checks it by other means (the pack's age blocks are authenticated).
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

// Bounds of slots, the same for every provider.
const (
	MaxSlotName    = 64
	MaxSlotPayload = 64 << 10
)

// ValidSlot tells whether a slot can be stored under a name.
func ValidSlot(name string, s Slot) error {
	if len(name) < 1 || len(name) > MaxSlotName {
		return fmt.Errorf("slot name has %d bytes, may have 1 to %d", len(name), MaxSlotName)
	}
	for _, c := range []byte(name) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-') {
			return fmt.Errorf("slot name %q: only letters, digits, _ and - are allowed", name)
		}
	}
	if len(s.Payload) > MaxSlotPayload {
		return fmt.Errorf("slot %q has %d bytes, may have %d", name, len(s.Payload), MaxSlotPayload)
	}
	return nil
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
