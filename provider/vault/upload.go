package vault

import (
	"errors"
	"fmt"
	"io"

	"github.com/cloudcoin/cloudcoin/crypto/merkle"
	"github.com/cloudcoin/cloudcoin/provider/ids"
	"github.com/cloudcoin/cloudcoin/provider/ledger"
	"github.com/cloudcoin/cloudcoin/provider/shardstore"
)

// Upload is a shard that is being put. Not safe for concurrent use.
type Upload struct {
	vault   *Vault
	lease   ids.Lease
	id      ids.Shard
	size    int64
	hash    *merkle.Hasher
	writer  shardstore.Writer
	release func() // of the reserved quota; nil when none is reserved
}

// Put begins a shard of exactly size bytes: the quota is reserved and the disk has room for it. The caller ends it by Commit or Abort.
// Errors: ErrTerm, ledger.ErrNotFound, ledger.ErrQuota, shardstore.ErrFull.
func (v *Vault) Put(lease ids.Lease, id ids.Shard, size int64) (*Upload, error) {
	_, _, state, err := v.Lease(lease)
	if err != nil {
		return nil, err
	}
	if state != ledger.StateOpen {
		return nil, ErrTerm
	}
	there, err := v.has(lease, id)
	if err != nil {
		return nil, err
	}
	u := &Upload{vault: v, lease: lease, id: id, size: size, hash: merkle.NewHasher()}
	if !there {
		if u.release, err = v.ledger.Reserve(lease, Charge(size)); err != nil {
			return nil, err
		}
	}
	if err := v.checkRoom(size); err != nil {
		return nil, errors.Join(err, u.Abort())
	}
	if u.writer, err = v.store.Create(lease, id); err != nil {
		return nil, errors.Join(err, u.Abort())
	}
	return u, nil
}

func (v *Vault) checkRoom(size int64) error {
	free, _, err := v.store.Room()
	if err != nil {
		return err
	}
	if free < size {
		return fmt.Errorf("%w: %d bytes are left", shardstore.ErrFull, free)
	}
	return nil
}

// Write takes the next bytes of the shard.
func (u *Upload) Write(p []byte) (int, error) {
	if u.hash.Size()+int64(len(p)) > u.size {
		return 0, fmt.Errorf("%w: there are more than %d bytes", ErrMismatch, u.size)
	}
	if _, err := u.hash.Write(p); err != nil {
		return 0, err
	}
	return u.writer.Write(p)
}

// Commit checks the id and makes the shard durable, or drops it. fresh tells that it wasn't there before.
func (u *Upload) Commit() (fresh bool, err error) {
	defer func() { err = errors.Join(err, u.Abort()) }()
	if got := u.hash.Sum(); u.hash.Size() != u.size || got != u.id {
		return false, fmt.Errorf("%w: %d bytes have the id %x", ErrMismatch, u.hash.Size(), got)
	}
	v := u.vault
	whole, err := v.enter(u.lease)
	if err != nil {
		return false, err
	}
	defer whole.RUnlock()
	defer v.keys.lock(key{lease: u.lease, shard: u.id})()
	there, err := v.has(u.lease, u.id)
	switch {
	case err != nil:
		return false, err
	case there:
		if err := u.writer.Sync(); err != nil {
			return false, err
		}
		return false, u.writer.Commit()
	}
	return true, u.commitNew()
}

// commitNew makes a shard durable that isn't there; its locks are held.
func (u *Upload) commitNew() error {
	v := u.vault
	if u.release == nil { // it was there when the upload began and was deleted since
		var err error
		if u.release, err = v.ledger.Reserve(u.lease, Charge(u.size)); err != nil {
			return err
		}
	}
	ins, err := v.ledger.Begin([]ledger.Intent{{Op: ledger.Put, Lease: u.lease, Shard: u.id, Charge: Charge(u.size)}})
	if err != nil {
		return err
	}
	defer v.arriving(u.lease, u.id)()
	if err = v.ledger.Sync(); err == nil {
		err = u.writer.Publish()
	}
	if err == nil {
		return v.ledger.Finish(ins, true)
	}
	// Whether the name stands, and over what, is not known: it goes. If that can't be done either, the intent stays open and the next start looks.
	if derr := v.store.Delete(u.lease, []ids.Shard{u.id}); derr != nil {
		return errors.Join(err, derr)
	}
	return errors.Join(err, v.ledger.Finish(ins, false))
}

// Abort drops the upload; after Commit it does nothing.
func (u *Upload) Abort() error {
	var err error
	if u.writer != nil {
		err = u.writer.Abort()
		u.writer = nil
	}
	if u.release != nil {
		u.release()
		u.release = nil
	}
	return err
}

var _ io.Writer = (*Upload)(nil)

// Delete removes shards durably and returns how many of them were there.
func (v *Vault) Delete(lease ids.Lease, shards []ids.Shard) (int, error) {
	whole := v.leaseLock(lease)
	whole.RLock()
	defer whole.RUnlock()
	sorted, unlock := v.keys.lockShards(lease, shards)
	defer unlock()
	var ins []ledger.Intent
	var gone []ids.Shard
	for _, id := range sorted {
		size, err := v.store.Stat(lease, id)
		if errors.Is(err, shardstore.ErrNotFound) {
			continue
		}
		if err != nil {
			return 0, err
		}
		ins = append(ins, ledger.Intent{Op: ledger.Remove, Lease: lease, Shard: id, Charge: Charge(size)})
		gone = append(gone, id)
	}
	if len(ins) == 0 {
		return 0, nil
	}
	return len(ins), v.remove(ins, func() error { return v.store.Delete(lease, gone) })
}

// remove announces that shards go, lets them go and finishes; their locks are held.
func (v *Vault) remove(ins []ledger.Intent, act func() error) error {
	ins, err := v.ledger.Begin(ins)
	if err != nil {
		return err
	}
	if err := v.ledger.Sync(); err != nil {
		return err
	}
	if err := act(); err == nil {
		return v.ledger.Finish(ins, true)
	} else { //nolint:revive // the error of act belongs to this branch
		for _, in := range ins {
			there, serr := v.has(in.Lease, in.Shard)
			if serr != nil {
				return errors.Join(err, serr)
			}
			if ferr := v.ledger.Finish([]ledger.Intent{in}, !there); ferr != nil {
				return errors.Join(err, ferr)
			}
		}
		return err
	}
}
