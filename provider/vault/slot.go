package vault

import (
	"errors"

	"github.com/cloudcoin/cloudcoin/provider/ids"
	"github.com/cloudcoin/cloudcoin/provider/ledger"
	"github.com/cloudcoin/cloudcoin/provider/shardstore"
)

// PutSlot replaces a slot's value when allow, which is given the stored value (nil when there is none), permits it by nil. It returns allow's error otherwise.
// allow may return ErrSame: then nothing is written and nil is returned. Errors: ErrTerm, ErrDropping, ErrSlots, ledger.ErrNotFound, shardstore.ErrFull.
func (v *Vault) PutSlot(lease ids.Lease, name string, value []byte, allow func(stored []byte) error) error {
	_, _, state, err := v.Lease(lease)
	if err != nil {
		return err
	}
	if state != ledger.StateOpen {
		return ErrTerm
	}
	whole, err := v.enter(lease)
	if err != nil {
		return err
	}
	defer whole.RUnlock()
	defer v.keys.lock(key{lease: lease, slot: name})()
	stored, err := v.store.Slot(lease, name)
	switch {
	case errors.Is(err, shardstore.ErrDamaged):
		v.logger.Warn("a damaged slot is replaced", "lease", lease, "slot", name)
		stored = nil
	case errors.Is(err, shardstore.ErrNotFound):
		if err := v.roomForSlot(lease); err != nil {
			return err
		}
	case err != nil:
		return err
	}
	if err := allow(stored); err != nil {
		if errors.Is(err, ErrSame) {
			return nil
		}
		return err
	}
	if err := v.checkRoom(int64(len(value))); err != nil {
		return err
	}
	return v.store.PutSlot(lease, name, value)
}

// ErrSame is returned by allow when the slot holds the value already.
var ErrSame = errors.New("the slot holds this value")

// roomForSlot tells whether a lease may have one more slot. Slots that are made at the same moment may pass it together.
func (v *Vault) roomForSlot(lease ids.Lease) error {
	names, err := v.store.Slots(lease)
	if err != nil {
		return err
	}
	if len(names) >= MaxSlots {
		return ErrSlots
	}
	return nil
}

// Slot returns a slot's value. shardstore.ErrNotFound, shardstore.ErrDamaged.
func (v *Vault) Slot(lease ids.Lease, name string) ([]byte, error) {
	return v.store.Slot(lease, name)
}

// Slots names a lease's slots in ascending order.
func (v *Vault) Slots(lease ids.Lease) ([]string, error) { return v.store.Slots(lease) }
