package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/cloudcoin/cloudcoin/sync/model"
	"github.com/cloudcoin/cloudcoin/sync/oplog"
	"github.com/cloudcoin/cloudcoin/sync/transfer"
)

// watchEvery is how often the slots of all leases are read.
const watchEvery = 10 * time.Minute

// watchLoop reads the slots at the start, when leases change, and now and then. Publishing begins when it has read them once.
func (e *Engine) watchLoop(ctx context.Context) error {
	for {
		if err := e.watch(ctx); err != nil {
			return err
		}
		d := watchEvery
		if !e.wasChecked() {
			d = 2 * time.Second
		}
		if err := e.wait(ctx, d, e.wakeWatch); err != nil {
			return err
		}
	}
}

// verdict is what the slots say of this device.
type verdict int

const (
	inOrder  verdict = iota
	copied           // the slot of this device holds what it never wrote: this HOME is a copy, or was restored
	overtook         // another device wrote what this one doesn't know
)

// judge compares a head that was found with this device's newest one. It is pure.
func judge(own *oplog.Head, ownHash oplog.Hash, found *oplog.Head, foundHash oplog.Hash) verdict {
	switch {
	case found.Device == own.Device && (found.Counter > own.Counter || found.Counter == own.Counter && foundHash != ownHash):
		return copied
	case found.Device == own.Device:
		return inOrder
	case own.Ancestor(found.Device, found.Counter):
		return inOrder
	}
	return overtook
}

// watch reads all slots once and draws the consequences.
func (e *Engine) watch(ctx context.Context) error {
	var leases []transfer.Shards
	for _, st := range e.cfg.Pool.Leases() {
		if l, ok := e.cfg.Pool.Lease(st.Info.ID); ok && st.State != transfer.StateEnded {
			leases = append(leases, l)
		}
	}
	if len(leases) == 0 {
		return nil
	}
	acked := e.ackedNow() // what is confirmed while the slots are read isn't in what was read before
	found, err := Find(ctx, e.cfg.Keys, leases)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		e.Warn(err.Error())
		return nil
	}
	for _, w := range found.Warnings {
		e.Warn(w)
	}
	if len(found.Unreachable) == len(leases) {
		return nil // nothing was learned
	}
	e.publishing.Lock()
	defer e.publishing.Unlock()
	if err := e.conclude(ctx, &found); err != nil {
		return err
	}
	e.noteRollbacks(&found, leases, acked)
	e.mu.Lock()
	first := !e.checked
	e.checked = true
	e.mu.Unlock()
	if first {
		e.wakePublish.set()
		e.wakeCare.set()
	}
	return nil
}

// conclude judges every head. publishing is held.
func (e *Engine) conclude(ctx context.Context, found *Found) error {
	var copies, overtaking *oplog.Head
	for i := range found.Heads {
		h := found.Heads[i].Head
		switch judge(&e.log.head, e.log.hash, h, found.Heads[i].Hash) {
		case copied:
			copies = h
		case overtook:
			overtaking = h
		}
	}
	if copies != nil {
		if err := e.becomeNew(ctx); err != nil {
			return err
		}
		overtaking = copies
	}
	if overtaking == nil || e.isReadOnly() {
		return nil
	}
	reason := fmt.Sprintf("another device (%s) has changed this drive on %s, which this one doesn't know of. It is read-only until the two can be merged: "+
		"what was not yet sent from here stays on this machine.", overtaking.Device, time.UnixMilli(overtaking.Time).UTC().Format(time.RFC3339))
	e.mu.Lock()
	e.readOnly = reason
	e.mu.Unlock()
	e.Warn(reason)
	if e.cfg.ReadOnly != nil {
		e.cfg.ReadOnly(reason)
	}
	e.wakeSyncers()
	return nil
}

// becomeNew makes this HOME a new device. publishing is held.
func (e *Engine) becomeNew(ctx context.Context) error {
	if e.cfg.NewDevice == nil {
		return nil
	}
	d, err := e.cfg.NewDevice(ctx)
	if err != nil {
		return fmt.Errorf("make this HOME, a copy of another, a device of its own: %w", err)
	}
	e.Warn("This HOME is a copy of another one, or was restored: it is a device of its own from now on.")
	e.mu.Lock()
	e.device = d
	e.mu.Unlock()
	e.continueHead(d)
	return nil
}

// ackedNow is what each lease has confirmed of this device's heads.
func (e *Engine) ackedNow() map[model.LeaseID]uint64 {
	e.publishing.Lock()
	defer e.publishing.Unlock()
	return maps.Clone(e.log.local.Acked)
}

// noteRollbacks warns of leases that show an older head of this device than they had confirmed before the slots were read, and lets them have the newest again.
// publishing is held.
func (e *Engine) noteRollbacks(found *Found, leases []transfer.Shards, confirmed map[model.LeaseID]uint64) {
	own := map[model.LeaseID]uint64{}
	for _, h := range found.Slots {
		if h.Head.Device == e.log.head.Device {
			own[h.Lease] = h.Head.Counter
		}
	}
	silent := map[model.LeaseID]bool{}
	for _, u := range found.Unreachable {
		silent[u.Lease.ID] = true
	}
	for _, l := range leases {
		info := l.Info()
		acked := min(confirmed[info.ID], e.log.local.Acked[info.ID]) // none when this has become a new device meanwhile
		if silent[info.ID] || acked == 0 || own[info.ID] >= acked {
			continue
		}
		e.Warn(fmt.Sprintf("The provider of lease %s shows an older state of the drive than it confirmed: it was restored from a backup, wiped, or rolls back. "+
			"Its data is checked and sent again.", e.leaseName(info.ID)))
		delete(e.log.local.Acked, info.ID)
		e.mu.Lock()
		e.recheck[info.ID] = true
		e.mu.Unlock()
		e.wakeCare.set()
	}
}

// readSlots reads all slots of one lease.
func readSlots(ctx context.Context, l transfer.Shards) (map[string]transfer.Slot, error) {
	names, err := l.Slots(ctx)
	if err != nil {
		return nil, fmt.Errorf("list slots: %w", err)
	}
	out := map[string]transfer.Slot{}
	for _, n := range names {
		s, err := l.GetSlot(ctx, n)
		if errors.Is(err, transfer.ErrNotFound) {
			continue
		}
		if err != nil {
			return out, fmt.Errorf("read slot %s: %w", n, err)
		}
		out[n] = s
	}
	return out, nil
}
