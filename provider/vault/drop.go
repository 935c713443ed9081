package vault

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cloudcoin/cloudcoin/provider/ids"
	"github.com/cloudcoin/cloudcoin/provider/ledger"
)

// DropLease removes all shards and slots of a lease; the lease itself stays. After an error the drop goes on with the next call, the next
// Reap, or with whatever is added to the lease.
func (v *Vault) DropLease(id ids.Lease) error {
	l := v.leaseLock(id)
	l.Lock()
	defer l.Unlock()
	if open, ok := v.drops.Load(id); ok {
		return v.finishDrop(open.(ledger.Intent))
	}
	ins, err := v.ledger.Begin([]ledger.Intent{{Op: ledger.Drop, Lease: id}})
	if err != nil {
		return err
	}
	v.drops.Store(id, ins[0])
	return v.finishDrop(ins[0])
}

// finishDrop makes the announcement durable and lets the lease's data go; the lease's lock is held for writing.
func (v *Vault) finishDrop(in ledger.Intent) error {
	if err := v.ledger.Sync(); err != nil {
		return err
	}
	if err := v.store.DropLease(in.Lease); err != nil {
		return err
	}
	if err := v.ledger.Finish([]ledger.Intent{in}, true); err != nil {
		return err
	}
	v.drops.Delete(in.Lease)
	return nil
}

// enter takes a lease's lock for reading, for a change that adds to it. A drop that failed halfway is ended first: what came before its end would go
// with it at the next start. ErrDropping when it fails again; nothing is locked then.
func (v *Vault) enter(id ids.Lease) (*sync.RWMutex, error) {
	l := v.leaseLock(id)
	for {
		l.RLock()
		if _, open := v.drops.Load(id); !open {
			return l, nil
		}
		l.RUnlock()
		if err := v.endDrop(id); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrDropping, err)
		}
	}
}

// endDrop goes on with a drop that failed halfway, if there is one.
func (v *Vault) endDrop(id ids.Lease) error {
	l := v.leaseLock(id)
	l.Lock()
	defer l.Unlock()
	if open, ok := v.drops.Load(id); ok {
		return v.finishDrop(open.(ledger.Intent))
	}
	return nil
}

// endDrops goes on with all drops that failed halfway.
func (v *Vault) endDrops() (err error) {
	v.drops.Range(func(id, _ any) bool {
		err = errors.Join(err, v.endDrop(id.(ids.Lease)))
		return true
	})
	return err
}

// forgetAfter is how long after its data a lease itself is remembered.
const forgetAfter = 90 * 24 * time.Hour

// Reap drops what lies in leases whose grace period is over, and forgets leases that ended long ago. One wrong reading of the clock
// drops nothing: after a jump it takes a day until the new time is believed (ledger.Look), so Reap is called more often than every ledger.MaxStep.
func (v *Vault) Reap() error {
	if err := v.endDrops(); err != nil {
		return err
	}
	holding, err := v.store.Leases()
	if err != nil {
		return err
	}
	held := map[ids.Lease]bool{}
	for _, id := range holding {
		held[id] = true
	}
	now, err := v.ledger.Look(v.now())
	if err != nil {
		return err
	}
	for _, l := range v.ledger.Leases() {
		if l.At(now) != ledger.StateEnded {
			continue
		}
		switch {
		case held[l.ID]:
			v.logger.Info("the grace period of a lease is over: its data is dropped", "lease", l.ID)
			if err := v.DropLease(l.ID); err != nil {
				return err
			}
		case now.After(l.Until.Add(l.Grace + forgetAfter)):
			if err := v.ledger.Forget(l.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

// Wipe drops the data of all leases. Leases and quotas stay.
func (v *Vault) Wipe() error {
	for _, l := range v.ledger.Leases() {
		if err := v.DropLease(l.ID); err != nil {
			return err
		}
	}
	return nil
}
