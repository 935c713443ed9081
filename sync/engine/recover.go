package engine

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"

	"github.com/fxamacker/cbor/v2"

	"github.com/cloudcoin/cloudcoin/crypto/keychain"
	"github.com/cloudcoin/cloudcoin/sync/index"
	"github.com/cloudcoin/cloudcoin/sync/model"
	"github.com/cloudcoin/cloudcoin/sync/oplog"
	"github.com/cloudcoin/cloudcoin/sync/transfer"
)

// ErrNoHead is returned by Recover when no lease that answers holds a head of this drive.
var ErrNoHead = errors.New("no provider that answers holds a state of this drive")

// Found is what the slots of the leases that answered hold.
type Found struct {
	Heads       []FoundHead // the newest of each device (several when it was forked); best first: descendants before ancestors, then the highest revision
	Slots       []FoundSlot // every head that was read
	Books       []oplog.Book
	Unreachable []Unreachable
	Warnings    []string // slots that don't verify, forked heads
}

// FoundHead is the newest head of one device, and where it lies.
type FoundHead struct {
	Head   *oplog.Head
	Hash   oplog.Hash
	Leases []model.LeaseID
}

// FoundSlot is a head that one lease holds.
type FoundSlot struct {
	Lease model.LeaseID
	Head  *oplog.Head
	Hash  oplog.Hash
}

// Unreachable is a lease that didn't answer.
type Unreachable struct {
	Lease transfer.LeaseInfo
	Err   error
}

// Find reads every slot of every lease. Leases that don't answer are in Found.Unreachable; what doesn't verify is a warning.
func Find(ctx context.Context, keys *keychain.Keychain, leases []transfer.Shards) (Found, error) {
	var f Found
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, l := range leases {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, slotTimeout)
			defer cancel()
			slots, err := readSlots(ctx, l)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				f.Unreachable = append(f.Unreachable, Unreachable{l.Info(), err})
			}
			for _, s := range slots {
				if err := f.add(keys, l.Info().ID, s); err != nil {
					f.Warnings = append(f.Warnings, fmt.Sprintf("A slot of lease %s can't be used: %v", l.Info().ID, err))
				}
			}
		})
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return f, err
	}
	f.choose()
	slices.Sort(f.Warnings)
	return f, nil
}

// add opens and verifies one slot.
func (f *Found) add(keys *keychain.Keychain, lease model.LeaseID, s transfer.Slot) error {
	drive := oplog.Drive{Network: keys.Network(), ID: keys.DriveID()}
	pub := keys.HeadKey().Public().(ed25519.PublicKey)
	signed, err := oplog.Open(s.Payload, keys.Identity(), oplog.MaxSlot)
	if err != nil {
		return err
	}
	if oplog.IsBook(signed) {
		b, err := oplog.OpenBook(signed, drive, pub)
		if err == nil {
			f.Books = append(f.Books, *b)
		}
		return err
	}
	h, hash, err := oplog.OpenHead(signed, drive, pub)
	if err != nil {
		return err
	}
	if h.Counter != s.Counter {
		return fmt.Errorf("head %d in a slot of counter %d: %w", h.Counter, s.Counter, oplog.ErrForeign)
	}
	f.Slots = append(f.Slots, FoundSlot{lease, h, hash})
	return nil
}

// choose keeps the newest heads of each device and orders them.
func (f *Found) choose() {
	f.Heads = nil
	newest := map[model.DeviceID]uint64{}
	for _, s := range f.Slots {
		newest[s.Head.Device] = max(newest[s.Head.Device], s.Head.Counter)
	}
	for _, s := range f.Slots {
		if s.Head.Counter != newest[s.Head.Device] {
			continue
		}
		i := slices.IndexFunc(f.Heads, func(h FoundHead) bool { return h.Head.Device == s.Head.Device && h.Hash == s.Hash })
		if i < 0 {
			if slices.ContainsFunc(f.Heads, func(h FoundHead) bool { return h.Head.Device == s.Head.Device }) {
				f.Warnings = append(f.Warnings, fmt.Sprintf("Device %s has signed two different heads %d: its HOME was copied.", s.Head.Device, s.Head.Counter))
			}
			f.Heads = append(f.Heads, FoundHead{Head: s.Head, Hash: s.Hash})
			i = len(f.Heads) - 1
		}
		f.Heads[i].Leases = append(f.Heads[i].Leases, s.Lease)
	}
	f.warnForks()
	slices.SortFunc(f.Heads, func(a, b FoundHead) int {
		if da, db := a.Head.Ancestor(b.Head.Device, b.Head.Counter), b.Head.Ancestor(a.Head.Device, a.Head.Counter); da != db {
			if da {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(b.Head.Published, a.Head.Published), cmp.Compare(b.Head.Counter, a.Head.Counter),
			slices.Compare(a.Hash[:], b.Hash[:]))
	})
}

// warnForks tells of older heads that the newest one of their device doesn't continue, as far as two heads alone show that.
func (f *Found) warnForks() {
	said := map[model.DeviceID]bool{}
	for _, old := range f.Slots {
		for _, s := range f.Slots {
			if s.Head.Device != old.Head.Device || s.Head.Counter < old.Head.Counter || s.Hash == old.Hash || said[s.Head.Device] {
				continue
			}
			if slices.ContainsFunc(f.Heads, func(h FoundHead) bool { return h.Hash == old.Hash }) {
				continue // two of the same counter: it was told
			}
			forked := s.Head.Counter == old.Head.Counter || s.Head.Counter == old.Head.Counter+1 && s.Head.Prev != old.Hash || s.Head.Published < old.Head.Published
			if forked {
				said[s.Head.Device] = true
				f.Warnings = append(f.Warnings, fmt.Sprintf("Device %s has signed a head %d that its newest one doesn't continue: its HOME was copied, or was restored from a backup. "+
					"What only that head names can't be recovered from the newest one.", old.Head.Device, old.Head.Counter))
			}
		}
	}
}

// Recovered says what Recover did.
type Recovered struct {
	Head     *oplog.Head // the head that was applied
	Records  int64
	Warnings []string
}

// Recover fills an empty index from the best of the found heads: its checkpoint and segments are read through pool. When a piece of it can't be read although
// every lease answered, the next head is taken, and Warnings say so; while a lease is silent that is an error, since it may have the piece. The engine of
// this HOME then continues that head as device, which must be new. ErrNoHead when there is none. After an error the index must be thrown away.
func Recover(ctx context.Context, keys *keychain.Keychain, pool *transfer.Pool, x *index.Index, found Found, device model.DeviceID, log *slog.Logger) (Recovered, error) {
	if len(found.Heads) == 0 {
		return Recovered{}, ErrNoHead
	}
	r := recovery{ctx: ctx, keys: keys, pool: pool, x: x, drive: found.Heads[0].Head.Drive}
	best, err := r.readable(&found)
	if err != nil {
		return r.out, err
	}
	r.out.Head = best.Head
	for _, h := range found.Heads {
		if !best.Head.Ancestor(h.Head.Device, h.Head.Counter) {
			r.out.Warnings = append(r.out.Warnings, fmt.Sprintf("Device %s has published changes (up to %s) that the recovered state doesn't have; they stay at the providers.",
				h.Head.Device, h.Head.Published.Time().UTC().Format("2006-01-02 15:04:05")))
		}
	}
	if c := best.Head.Checkpoint; c != nil {
		if err := r.apply(&c.Blob); err != nil {
			return r.out, fmt.Errorf("read the checkpoint: %w", err)
		}
	}
	for i := range best.Head.Segments {
		s := &best.Head.Segments[i]
		if err := r.apply(&s.Blob); err != nil {
			return r.out, fmt.Errorf("read segments %d to %d: %w", s.First, s.Last, err)
		}
	}
	if err := r.adopt(best, device); err != nil {
		return r.out, err
	}
	if log != nil {
		log.Info("recovered", "device", best.Head.Device, "counter", best.Head.Counter, "records", r.out.Records)
	}
	return r.out, nil
}

// recovery is one run of Recover.
type recovery struct {
	ctx   context.Context
	keys  *keychain.Keychain
	pool  *transfer.Pool
	x     *index.Index
	drive oplog.Drive
	out   Recovered
	spans []span
}

// readable is the best head all of whose pieces can be read. Where there is no other to go to they aren't read here, but when they are applied.
func (r *recovery) readable(found *Found) (best FoundHead, err error) {
	if len(found.Heads) == 1 || len(found.Unreachable) > 0 {
		return found.Heads[0], nil
	}
	var errs []error
	for _, h := range found.Heads {
		err := r.check(h.Head)
		if err == nil {
			return h, nil
		}
		if r.ctx.Err() != nil {
			return best, r.ctx.Err()
		}
		errs = append(errs, err)
		r.out.Warnings = append(r.out.Warnings, fmt.Sprintf("Head %d of device %s, with changes up to %s, can't be read, so an older or another state was recovered: %v",
			h.Head.Counter, h.Head.Device, h.Head.Published.Time().UTC().Format("2006-01-02 15:04:05"), err))
	}
	return best, fmt.Errorf("none of %d heads can be read: %w", len(found.Heads), errors.Join(errs...))
}

// check reads every piece that a head names.
func (r *recovery) check(h *oplog.Head) error {
	for _, b := range blobsOf(h) {
		if err := readBlob(r.ctx, r.pool, r.keys.Identity(), b, io.Discard); err != nil {
			return err
		}
	}
	return nil
}

// recoverBatch is how many records one batch applies.
const recoverBatch = 1000

// apply reads one piece of the log into the index. A wrong hash is noticed at its end; the index is thrown away then.
func (r *recovery) apply(blob *oplog.Blob) error {
	b, n := r.x.Begin(), 0
	commit := func() error {
		b.Local()
		_, err := b.Commit()
		b, n = r.x.Begin(), 0
		return err
	}
	err := readGroups(r.ctx, r.drive, func(w io.Writer) error { return readBlob(r.ctx, r.pool, r.keys.Identity(), blob, w) },
		func(oplog.Header) error { return nil },
		func(g oplog.Group) error {
			r.noteSpan(g)
			for _, rec := range g.Records {
				b.Apply(rec)
				r.out.Records++
				if n++; n >= recoverBatch {
					if err := commit(); err != nil {
						return err
					}
				}
			}
			return nil
		})
	return errors.Join(err, commit())
}

func (r *recovery) noteSpan(g oplog.Group) {
	if g.Device == (model.DeviceID{}) || len(r.spans) > 0 && r.spans[len(r.spans)-1].Device == g.Device {
		return
	}
	r.spans = append(r.spans, span{g.Device, g.Rev})
}

// adopt makes the new device continue the head.
func (r *recovery) adopt(best FoundHead, device model.DeviceID) error {
	if device == best.Head.Device {
		return fmt.Errorf("device %s isn't new", device)
	}
	signed, hash, err := oplog.SignHead(best.Head, r.keys.HeadKey())
	if err != nil {
		return err
	}
	if hash != best.Hash {
		return fmt.Errorf("head %d of device %s isn't in its canonical form: %w", best.Head.Counter, best.Head.Device, oplog.ErrFormat)
	}
	if len(r.spans) == 0 {
		r.spans = []span{{Device: best.Head.Device}}
	}
	raw, err := cbor.Marshal(&localLog{Done: best.Head.Counter, Spans: r.spans})
	if err != nil {
		return err
	}
	b := r.x.Begin()
	b.Local()
	b.PutMeta(metaHead, signed)
	b.PutMeta(metaLog, raw)
	if _, err := b.Commit(); err != nil {
		return err
	}
	return r.x.Sync(r.ctx)
}
