package engine

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cloudcoin/cloudcoin/sync/model"
	"github.com/cloudcoin/cloudcoin/sync/oplog"
	"github.com/cloudcoin/cloudcoin/sync/placement"
	"github.com/cloudcoin/cloudcoin/sync/transfer"
)

// Purposes of slots; keychain.SlotName makes names of them that can't be linked between leases.
const purposeBook = "book"

func purposeHead(d model.DeviceID) string { return "head " + d.String() }

// slotTimeout bounds one request for a slot.
const slotTimeout = 30 * time.Second

// errForeignHead is returned when a slot of this device holds a head that it didn't write.
var errForeignHead = errors.New("the slot of this device holds a head that another machine wrote")

// spreadHead puts the newest head to every live lease that lacks it, and returns when enough have it. publishing is held.
func (e *Engine) spreadHead(ctx context.Context) error {
	w := e.ward()
	var have []model.LeaseID
	ls := slices.DeleteFunc(slices.Clone(w.all), func(l placement.Lease) bool {
		acked := e.log.local.Acked[l.ID] == e.log.head.Counter
		if acked {
			have = append(have, l.ID)
		}
		return acked || !w.live[l.ID] // a slot costs no room
	})
	var mu sync.Mutex // guards have, errs and Acked
	var wg sync.WaitGroup
	var errs []error
	for _, l := range ls {
		wg.Go(func() {
			err := e.putHead(ctx, l.ID)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", l.Name, err))
				return
			}
			e.log.local.Acked[l.ID] = e.log.head.Counter
			have = append(have, l.ID)
		})
	}
	wg.Wait()
	err := errors.Join(errs...)
	if errors.Is(err, errForeignHead) {
		e.wakeWatch.set()
		e.uncheck()
		return err
	}
	if have, need := w.differ(have), e.copiesNeeded(); have < need {
		return fmt.Errorf("the newest head is with %d of the %d providers that it needs: %w", have, need, errors.Join(ErrTooFewProviders, err))
	}
	return nil
}

// uncheck holds publishing back until the slots were read again.
func (e *Engine) uncheck() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.checked = false
}

// putHead puts the newest head into the slot of one lease. A slot that holds this very head already is fine: the answer to an earlier
// try was lost.
func (e *Engine) putHead(ctx context.Context, lease model.LeaseID) error {
	l, ok := e.cfg.Pool.Lease(lease)
	if !ok {
		return transfer.ErrNoLease
	}
	sealed, err := oplog.Seal(e.log.signed, e.cfg.Keys.Recipient())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, slotTimeout)
	defer cancel()
	name := e.cfg.Keys.SlotName(lease, purposeHead(e.log.head.Device))
	err = l.PutSlot(ctx, name, transfer.Slot{Counter: e.log.head.Counter, Payload: sealed})
	if !errors.Is(err, transfer.ErrConflict) {
		return err
	}
	s, err := l.GetSlot(ctx, name)
	if err != nil {
		return fmt.Errorf("read the slot after a conflict: %w", err)
	}
	_, hash, err := e.openHead(s)
	switch {
	case err != nil:
		return fmt.Errorf("read the slot after a conflict: %w", err)
	case hash == e.log.hash:
		return nil
	}
	return errForeignHead
}

// openHead opens and verifies what a slot holds.
func (e *Engine) openHead(s transfer.Slot) (*oplog.Head, oplog.Hash, error) {
	signed, err := oplog.Open(s.Payload, e.cfg.Keys.Identity(), oplog.MaxSlot)
	if err != nil {
		return nil, oplog.Hash{}, err
	}
	return oplog.OpenHead(signed, e.drive, e.headKey.Public().(ed25519.PublicKey))
}

// putBooks writes the lease book to every live lease. The counter is the time, so that any device may write it.
func (e *Engine) putBooks(ctx context.Context) error {
	if e.cfg.Book == nil {
		return nil
	}
	now := e.now()
	signed, err := oplog.SignBook(&oplog.Book{Drive: e.drive, Time: now.UnixMilli(), Leases: e.cfg.Book()}, e.headKey)
	if err != nil {
		return err
	}
	w := e.ward()
	var errs []error
	for _, l := range w.all {
		if !w.live[l.ID] {
			continue
		}
		if err := e.putBook(ctx, l.ID, signed, uint64(now.UnixMilli())); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", l.Name, err))
		}
	}
	return errors.Join(errs...)
}

func (e *Engine) putBook(ctx context.Context, lease model.LeaseID, signed []byte, counter uint64) error {
	l, ok := e.cfg.Pool.Lease(lease)
	if !ok {
		return transfer.ErrNoLease
	}
	sealed, err := oplog.Seal(signed, e.cfg.Keys.Recipient())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, slotTimeout)
	defer cancel()
	name := e.cfg.Keys.SlotName(lease, purposeBook)
	err = l.PutSlot(ctx, name, transfer.Slot{Counter: counter, Payload: sealed})
	if !errors.Is(err, transfer.ErrConflict) {
		return err
	}
	// Another device's clock is ahead.
	s, err := l.GetSlot(ctx, name)
	if err != nil {
		return err
	}
	return l.PutSlot(ctx, name, transfer.Slot{Counter: s.Counter + 1, Payload: sealed})
}
