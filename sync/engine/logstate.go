package engine

import (
	"crypto/ed25519"
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"github.com/cloudcoin/cloudcoin/sync/index"
	"github.com/cloudcoin/cloudcoin/sync/model"
	"github.com/cloudcoin/cloudcoin/sync/oplog"
)

// Meta keys of the index that the engine owns.
const (
	metaHead = "engine.head" // newest signed head of this device, written before it is sent to anybody
	metaLog  = "engine.log"  // localLog
)

// logState is the newest head and what is known of where it lies.
type logState struct {
	head   oplog.Head
	hash   oplog.Hash
	signed []byte // nil: this device has no head yet
	local  localLog

	// While the newest head isn't on enough leases:
	named  []model.Rev // groups that it names and that are in the outbox still
	unsure bool        // it was written before this start, and what of the outbox it names isn't known
}

// settled tells whether the newest head is on enough leases: the outbox holds exactly what it doesn't name.
func (l *logState) settled() bool { return l.local.Done == l.head.Counter }

// localLog is what a device remembers of its log beside the head. Only this machine reads it.
type localLog struct {
	Done  uint64                   `cbor:"1,keyasint"` // counter up to which heads are on enough leases
	Acked map[model.LeaseID]uint64 `cbor:"2,keyasint"` // counter that each lease confirmed
	Trash []trash                  `cbor:"3,keyasint"` // what heads don't name any more
	Spans []span                   `cbor:"4,keyasint"` // which device made which revisions
}

// trash is a piece of the log that goes when no lease needs it any more.
type trash struct {
	Counter uint64        `cbor:"1,keyasint"` // of the first head that doesn't name it
	Time    int64         `cbor:"2,keyasint"` // seconds since 1970
	Shards  []model.Shard `cbor:"3,keyasint"`
}

// span begins the revisions of a device.
type span struct {
	Device model.DeviceID `cbor:"1,keyasint"`
	From   model.Rev      `cbor:"2,keyasint"`
}

// loadLog reads the newest head of this device, or begins a log.
func (e *Engine) loadLog() error {
	x := e.cfg.Index
	raw, err := x.Meta(metaLog)
	if err != nil && !errors.Is(err, index.ErrNotFound) {
		return fmt.Errorf("read the state of the log: %w", err)
	}
	if err == nil && len(raw) > 0 {
		if err := cbor.Unmarshal(raw, &e.log.local); err != nil {
			return fmt.Errorf("read the state of the log: %w", err)
		}
	}
	if e.log.local.Acked == nil {
		e.log.local.Acked = map[model.LeaseID]uint64{}
	}
	signed, err := x.Meta(metaHead)
	if err != nil && !errors.Is(err, index.ErrNotFound) {
		return fmt.Errorf("read the newest head: %w", err)
	}
	if errors.Is(err, index.ErrNotFound) || len(signed) == 0 {
		e.log.head = oplog.Head{Drive: e.drive, Device: e.device, NextSegment: 1}
		return nil
	}
	h, hash, err := oplog.OpenHead(signed, e.drive, e.headKey.Public().(ed25519.PublicKey))
	if err != nil {
		return fmt.Errorf("read the newest head: %w", err)
	}
	e.log.head, e.log.hash, e.log.signed = *h, hash, signed
	e.published = h.Published
	if h.Device != e.device {
		e.continueHead(e.device)
	}
	e.log.unsure = !e.log.settled()
	e.hold()
	return nil
}

// continueHead makes the present head the parent of the log of a new device.
func (e *Engine) continueHead(device model.DeviceID) {
	h := &e.log.head
	if h.Counter > 0 {
		h.Parents = append([]oplog.Parent{{Device: h.Device, Counter: h.Counter, Hash: e.log.hash}}, h.Parents...)
		if len(h.Parents) > maxParents {
			h.Parents = h.Parents[:maxParents]
		}
	}
	h.Device, h.Counter, h.NextSegment, h.LastTip = device, 0, 1, oplog.Hash{}
	e.log.hash, e.log.signed = oplog.Hash{}, nil
	e.log.local.Done, e.log.local.Acked = 0, map[model.LeaseID]uint64{}
	e.log.named, e.log.unsure = nil, false
}

// maxParents bounds the ancestors that a head names.
const maxParents = 64

// DeviceOf tells which device made a revision, as far as this index knows.
func (e *Engine) DeviceOf(rev model.Rev) model.DeviceID {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := len(e.spans) - 1; i >= 0; i-- {
		if e.spans[i].From <= rev {
			return e.spans[i].Device
		}
	}
	if len(e.spans) > 0 {
		return e.spans[0].Device
	}
	return e.device
}

// noteSpan writes down that revisions from now on are this device's.
func (e *Engine) noteSpan(from model.Rev) {
	spans := e.log.local.Spans
	if n := len(spans); n == 0 || spans[n-1].Device != e.device {
		e.log.local.Spans = append(spans, span{e.device, from})
	}
	e.spans = append([]span(nil), e.log.local.Spans...)
}

// saveLog adds the state of the log to a batch.
func (e *Engine) saveLog(b *index.Batch) error {
	raw, err := cbor.Marshal(&e.log.local)
	if err != nil {
		return fmt.Errorf("write the state of the log: %w", err)
	}
	b.PutMeta(metaLog, raw)
	return nil
}

// blobShards lists where a piece of the log lies.
func blobShards(b *oplog.Blob) (out []model.Shard) {
	for _, c := range b.Copies {
		out = append(out, model.Shard{ID: c.ID, Lease: c.Lease})
	}
	for i := range b.Packs {
		out = append(out, b.Packs[i].Shards...)
	}
	if b.List != nil {
		out = append(out, blobShards(b.List)...)
	}
	return out
}

// discard notes that a piece of the log isn't named by heads from counter on. packs are those that a list names.
func (e *Engine) discard(counter uint64, b *oplog.Blob, packs []model.Pack) {
	t := trash{Counter: counter, Time: e.now().Unix(), Shards: blobShards(b)}
	for i := range packs {
		t.Shards = append(t.Shards, packs[i].Shards...)
	}
	e.log.local.Trash = append(e.log.local.Trash, t)
}
