package vault

import (
	"context"
	"errors"
	"io"
	"slices"

	"github.com/cloudcoin/cloudcoin/crypto/merkle"
	"github.com/cloudcoin/cloudcoin/provider/ids"
	"github.com/cloudcoin/cloudcoin/provider/ledger"
	"github.com/cloudcoin/cloudcoin/provider/shardstore"
)

// Damage is a shard or slot whose bytes changed on the disk.
type Damage struct {
	Lease ids.Lease
	Shard ids.Shard
	Slot  string // not empty: it is a slot, which stays until the renter writes it again
}

// Scrubbed is the outcome of a scrub.
type Scrubbed struct {
	Shards  int64 // read and verified, damaged ones included
	Bytes   int64
	Slots   int64
	Damaged []Damage
	Strange []ids.Lease // leases on the disk that the ledger doesn't know; nothing of them is served or removed
}

// Scrub reads every shard and slot and verifies it. Damaged shards are set aside, so that their renters put them again; the counters of
// their leases are counted anew. It goes on beside everything else and ends early with ctx's error, telling what was found until then.
func (v *Vault) Scrub(ctx context.Context) (Scrubbed, error) {
	var r Scrubbed
	leases, err := v.store.Leases()
	if err != nil {
		return r, err
	}
	slices.SortFunc(leases, func(a, b ids.Lease) int { return slices.Compare(a[:], b[:]) })
	for _, id := range leases {
		if _, _, err := v.ledger.Lease(id); errors.Is(err, ledger.ErrNotFound) {
			r.Strange = append(r.Strange, id)
			continue
		}
		if err := v.scrubLease(ctx, id, &r); err != nil {
			return r, err
		}
	}
	return r, nil
}

func (v *Vault) scrubLease(ctx context.Context, id ids.Lease, r *Scrubbed) error {
	before := len(r.Damaged)
	err := v.each(id, func(e shardstore.Entry) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		ok, n, err := v.Verify(id, e.ID)
		if errors.Is(err, shardstore.ErrNotFound) {
			return nil // deleted meanwhile
		}
		if err != nil {
			return err
		}
		r.Shards++
		r.Bytes += n
		if !ok {
			r.Damaged = append(r.Damaged, Damage{Lease: id, Shard: e.ID})
		}
		return nil
	})
	if len(r.Damaged) > before {
		_, rerr := v.Recount(id)
		err = errors.Join(err, rerr)
	}
	if err != nil {
		return err
	}
	return v.scrubSlots(id, r)
}

func (v *Vault) scrubSlots(id ids.Lease, r *Scrubbed) error {
	names, err := v.store.Slots(id)
	if err != nil {
		return err
	}
	for _, name := range names {
		r.Slots++
		if _, err := v.store.Slot(id, name); errors.Is(err, shardstore.ErrDamaged) {
			r.Damaged = append(r.Damaged, Damage{Lease: id, Slot: name})
		} else if err != nil && !errors.Is(err, shardstore.ErrNotFound) {
			return err
		}
	}
	return nil
}

// Verify reads a shard and compares it with its id. A damaged one, or one that the disk can't read, is set aside, and ok is false.
func (v *Vault) Verify(lease ids.Lease, id ids.Shard) (ok bool, size int64, err error) {
	ok, size, err = v.check(lease, id)
	if err != nil || ok {
		return ok, size, err
	}
	whole := v.leaseLock(lease)
	whole.RLock()
	defer whole.RUnlock()
	defer v.keys.lock(key{lease: lease, shard: id})()
	if ok, size, err = v.check(lease, id); err != nil || ok { // it may have been put again meanwhile
		return ok, size, err
	}
	v.logger.Error("a damaged shard was set aside; its renter has to send it again", "lease", lease, "shard", id)
	ins := []ledger.Intent{{Op: ledger.Remove, Lease: lease, Shard: id, Charge: Charge(size)}}
	return false, size, v.remove(ins, func() error { return v.store.SetAside(lease, id) })
}

// check hashes a shard.
func (v *Vault) check(lease ids.Lease, id ids.Shard) (ok bool, size int64, err error) {
	s, err := v.store.Open(lease, id)
	if err != nil {
		return false, 0, err
	}
	defer s.Close() //nolint:errcheck // read only
	h := merkle.NewHasher()
	size, rerr := io.CopyBuffer(h, struct{ io.Reader }{s}, make([]byte, 256<<10))
	if rerr != nil { // a bad sector: the size is still known
		v.logger.Error("the disk can't read a shard", "lease", lease, "shard", id, "err", rerr)
		if size, err = v.store.Stat(lease, id); err != nil {
			return false, 0, err
		}
		return false, size, nil
	}
	return h.Sum() == id, size, nil
}
