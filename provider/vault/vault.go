// Package vault joins a provider's shard store with its ledger, so that what is charged is exactly what lies on the disk, also after a crash at any moment.
//
// The file server puts, reads and deletes through it; the provider drops ended leases and scrubs through it. It checks every
// shard's id, the quota and the term of the lease; who may do what is the file server's concern.
//
// # Order of writes
//
// A new shard: reserve quota (memory) → bytes to a temporary file → announce in the ledger, sync that → rename → sync bytes, then folder → finish in
// the ledger → answer. A deletion: announce, sync → unlink, sync the folder → finish. At Open, what was announced and not finished is looked up on the disk and
// finished; a shard whose bytes a power cut left incomplete under their name is removed then, which is why the announcement comes first.
// A shard that is put again replaces the stored bytes, which heals them if they were damaged, and changes no counter.
//
// A drop of a whole lease that the disk interrupts stays announced, and the next start would go on with it, whatever came since. So nothing comes:
// whoever adds to such a lease first ends the drop, and is refused while that fails.
//
// # Locks
//
// A lease's lock (read for changes of one shard or slot, write for dropping and recounting the whole lease) stands before the lock of a
// shard or slot; several of the latter are taken in ascending order. Neither is held while a renter's bytes are awaited.
// All methods are safe for concurrent use.
package vault

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/cloudcoin/cloudcoin/provider/ids"
	"github.com/cloudcoin/cloudcoin/provider/ledger"
	"github.com/cloudcoin/cloudcoin/provider/shardstore"
)

const (
	// MinCharge is the unit of charging: a shard is charged as its length rounded up to a multiple.
	MinCharge = 4096
	// MaxSlots bounds the slots of a lease, which aren't charged.
	MaxSlots = 256
)

var (
	// ErrTerm is returned when something is to be added to a lease whose term is over.
	ErrTerm = errors.New("the lease's term is over")
	// ErrMismatch is returned when the bytes of a shard don't have the id under which they were to be put.
	ErrMismatch = errors.New("the bytes don't have this shard id")
	// ErrDropping is returned when something is to be added to a lease whose data is being dropped and the disk doesn't let that end.
	ErrDropping = errors.New("the lease's data is being dropped and the disk refuses to finish that")
	// ErrSlots is returned when a lease has MaxSlots slots already.
	ErrSlots = errors.New("the lease has as many slots as it may have")
)

// Charge is what a shard of so many bytes costs of the quota.
func Charge(size int64) int64 { return (size + MinCharge - 1) / MinCharge * MinCharge }

// Vault is a provider's store and ledger as one.
type Vault struct {
	store  shardstore.Store
	ledger *ledger.Ledger
	now    func() time.Time
	logger *slog.Logger

	keys   keyLocks
	mu     sync.Mutex       // guards coming; the innermost lock
	coming map[key]struct{} // shards that have a name and may not be durable yet
	leases sync.Map         // ids.Lease → *sync.RWMutex
	drops  sync.Map         // ids.Lease → ledger.Intent: drops that failed halfway; guarded by the lease's lock
}

// Open finishes in the ledger what a crash left open. The store and the ledger stay the caller's to close.
func Open(store shardstore.Store, book *ledger.Ledger, now func() time.Time, logger *slog.Logger) (*Vault, error) {
	v := &Vault{store: store, ledger: book, now: now, logger: logger}
	for _, in := range book.InFlight() {
		if err := v.settle(in); err != nil {
			return nil, fmt.Errorf("finish what a crash interrupted: %w", err)
		}
	}
	return v, book.Sync()
}

// settle finishes one intent by what the disk says.
func (v *Vault) settle(in ledger.Intent) error {
	one := []ledger.Intent{in}
	if in.Op == ledger.Drop {
		if err := v.store.DropLease(in.Lease); err != nil {
			return err
		}
		return v.ledger.Finish(one, true)
	}
	there, err := v.has(in.Lease, in.Shard)
	if err != nil {
		return err
	}
	if there && in.Op == ledger.Put {
		if there, _, err = v.check(in.Lease, in.Shard); err != nil {
			return err
		}
		if !there {
			if err := v.store.Delete(in.Lease, []ids.Shard{in.Shard}); err != nil {
				return err
			}
		}
	}
	v.logger.Info("finished what a crash interrupted", "lease", in.Lease, "shard", in.Shard, "there", there)
	return v.ledger.Finish(one, there == (in.Op == ledger.Put))
}

// arriving marks a shard as not durable yet, until done is called.
func (v *Vault) arriving(lease ids.Lease, id ids.Shard) (done func()) {
	k := key{lease: lease, shard: id}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.coming == nil {
		v.coming = map[key]struct{}{}
	}
	v.coming[k] = struct{}{}
	return func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		delete(v.coming, k)
	}
}

// has tells whether the store holds a shard, durably.
func (v *Vault) has(lease ids.Lease, id ids.Shard) (bool, error) {
	v.mu.Lock()
	_, coming := v.coming[key{lease: lease, shard: id}]
	v.mu.Unlock()
	if coming {
		return false, nil
	}
	_, err := v.store.Stat(lease, id)
	if errors.Is(err, shardstore.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// Lease returns a lease, its usage and its state now. ledger.ErrNotFound.
func (v *Vault) Lease(id ids.Lease) (ledger.Lease, ledger.Usage, ledger.State, error) {
	l, u, err := v.ledger.Lease(id)
	if err != nil {
		return l, u, "", err
	}
	return l, u, l.At(v.now()), nil
}

// Open opens a shard for reading. shardstore.ErrNotFound.
func (v *Vault) Open(lease ids.Lease, id ids.Shard) (shardstore.Shard, error) {
	return v.store.Open(lease, id)
}

// Has tells for each id whether the store holds it.
func (v *Vault) Has(lease ids.Lease, shards []ids.Shard) ([]bool, error) {
	out := make([]bool, len(shards))
	for i, id := range shards {
		var err error
		if out[i], err = v.has(lease, id); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// List returns at most limit shards above after in ascending order.
func (v *Vault) List(lease ids.Lease, after *ids.Shard, limit int) ([]shardstore.Entry, error) {
	return v.store.List(lease, after, limit)
}

// leaseLock returns the lock of a lease.
func (v *Vault) leaseLock(id ids.Lease) *sync.RWMutex {
	l, _ := v.leases.LoadOrStore(id, &sync.RWMutex{})
	return l.(*sync.RWMutex)
}

// Recount counts a lease anew on the disk and corrects the ledger. Changes of the lease wait meanwhile.
func (v *Vault) Recount(id ids.Lease) (ledger.Usage, error) {
	l := v.leaseLock(id)
	l.Lock()
	defer l.Unlock()
	var u ledger.Usage
	err := v.each(id, func(e shardstore.Entry) error {
		u.Shards++
		u.Bytes += Charge(e.Size)
		return nil
	})
	if err != nil {
		return u, err
	}
	return u, v.ledger.Recount(id, u)
}

// each calls fn for every shard of a lease.
func (v *Vault) each(id ids.Lease, fn func(shardstore.Entry) error) error {
	var after *ids.Shard
	for {
		page, err := v.store.List(id, after, 1000)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, e := range page {
			if err := fn(e); err != nil {
				return err
			}
		}
		after = &page[len(page)-1].ID
	}
}
