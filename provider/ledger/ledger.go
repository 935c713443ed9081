// Package ledger is a provider's durable memory of its leases: who rents how much until when, and how much of it is used.
//
// # Exactness
//
// Usage is counted, never guessed by walking a million files. To be exact after a crash at any moment, each change of what lies on the disk is
// announced before it happens: Begin records an Intent, Sync makes it durable, then the caller changes the disk durably, and Finish records what came
// of it. Finish isn't synced: when it is lost, the intent is found open at the next start, and the caller looks at the disk
// (Open returns these intents through InFlight) and finishes it then. provider/vault is that caller.
//
// # The file
//
// One append-only log of checksummed records, DIR/ledger.log, written anew when most of it is history (docs/formats.md,
// "Provider ledger"). One fsync serves all who wait. A torn record at the end, as a power cut leaves it, is dropped; damage before a position that
// was known to be durable is reported as *DamageError and nothing is opened.
//
// # Concurrency
//
// All methods are safe for concurrent use. One lock, mu, guards the tables; no file is synced while it is held, except when the log is written anew.
package ledger

import (
	"cmp"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/cloudcoin/cloudcoin/provider/ids"
)

var (
	// ErrNotFound is returned when there is no such lease.
	ErrNotFound = errors.New("no such lease")
	// ErrQuota is returned when a reservation doesn't fit into the lease.
	ErrQuota = errors.New("the lease is full")
	// ErrExists is returned by Grant when the lease's id is taken.
	ErrExists = errors.New("there is such a lease already")
	// ErrNoRoom is returned when the disk has no room for the log; nothing was recorded.
	ErrNoRoom = errors.New("the disk of the ledger is full")
	// ErrFailed is returned by every change after the log could not be written or synced: what is on the disk is unknown until the
	// ledger is opened again.
	ErrFailed = errors.New("the ledger failed to write its log and takes no changes until the provider is started again")
)

// Lease is what was agreed, for its whole term.
type Lease struct {
	ID      ids.Lease
	Renter  ed25519.PublicKey
	Size    int64         // quota in bytes
	Created time.Time     // whole seconds, like all times here
	Until   time.Time     // end of the term
	Grace   time.Duration // how long after Until the data can still be fetched; whole seconds
	Note    string        // for the operator
}

// State of a lease at a moment.
type State string

// The states, in their order.
const (
	StateOpen  State = "open"  // everything goes
	StateGrace State = "grace" // the term is over: data can be read and deleted, not added
	StateEnded State = "ended" // the grace period is over: the data may be dropped
)

// maxLeases bounds a ledger, which is held in memory.
const maxLeases = 1 << 20

// At tells the state at a moment.
func (l *Lease) At(now time.Time) State {
	switch {
	case now.Before(l.Until):
		return StateOpen
	case now.Before(l.Until.Add(l.Grace)):
		return StateGrace
	}
	return StateEnded
}

// Usage of a lease.
type Usage struct {
	Bytes  int64 // charged
	Shards int64
}

// Op is a kind of change to what lies on the disk.
type Op uint8

// The kinds of intents.
const (
	Put    Op = 1 // a shard that wasn't there comes
	Remove Op = 2 // a shard goes
	Drop   Op = 3 // everything of a lease goes
)

// Intent is a change that was announced and whose outcome isn't recorded yet.
type Intent struct {
	Seq    uint64 // set by Begin
	Op     Op
	Lease  ids.Lease
	Shard  ids.Shard // zero for Drop
	Charge int64     // bytes that are charged for the shard
}

// account is a lease with its counters.
type account struct {
	lease    Lease
	usage    Usage
	reserved int64 // not in the log
}

type renterKey = [ed25519.PublicKeySize]byte

// Ledger is an open ledger.
type Ledger struct {
	logger *slog.Logger
	path   string

	mu       sync.Mutex
	log      *logFile
	accounts map[ids.Lease]*account
	held     map[renterKey][]ids.Lease // the leases of each renter, in no order
	open     map[uint64]Intent
	seq      uint64 // of the last intent
	clock    Clock
}

// Create makes an empty ledger in dir, unless there is one.
func Create(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("create ledger: %w", err)
	}
	path := filepath.Join(dir, logName)
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	return writeLog(path, nil)
}

// Open reads the ledger in dir, which Create made.
func Open(dir string, logger *slog.Logger) (*Ledger, error) {
	l := &Ledger{
		logger: logger, path: filepath.Join(dir, logName),
		accounts: map[ids.Lease]*account{}, held: map[renterKey][]ids.Lease{}, open: map[uint64]Intent{},
	}
	var err error
	if l.log, err = openLog(l.path, l.replay); err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	return l, nil
}

// Close makes everything durable and closes the file.
func (l *Ledger) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log.close()
}

// Grant records a new lease; it is durable on return.
func (l *Ledger) Grant(lease Lease) error {
	if err := lease.validate(); err != nil {
		return fmt.Errorf("grant lease: %w", err)
	}
	body, err := encodeLease(&lease)
	if err != nil {
		return err
	}
	return l.record(body, func() error {
		if l.accounts[lease.ID] != nil {
			return fmt.Errorf("grant lease %s: %w", lease.ID, ErrExists)
		}
		if len(l.accounts) >= maxLeases {
			return fmt.Errorf("grant lease: the ledger holds %d leases already", maxLeases)
		}
		return nil
	}, func() { l.add(lease) })
}

// add takes a lease into the tables; mu is held.
func (l *Ledger) add(lease Lease) {
	if l.accounts[lease.ID] != nil {
		l.remove(lease.ID)
	}
	l.accounts[lease.ID] = &account{lease: lease}
	key := renterKey(lease.Renter)
	l.held[key] = append(l.held[key], lease.ID)
}

// remove takes a lease out of the tables; mu is held.
func (l *Ledger) remove(id ids.Lease) {
	key := renterKey(l.accounts[id].lease.Renter)
	rest := slices.DeleteFunc(l.held[key], func(other ids.Lease) bool { return other == id })
	if l.held[key] = rest; len(rest) == 0 {
		delete(l.held, key)
	}
	delete(l.accounts, id)
}

// record appends a record unless check objects, applies it, and returns when it is durable. Both functions run under mu.
func (l *Ledger) record(body []byte, check func() error, apply func()) error {
	l.mu.Lock()
	err := check()
	if err == nil {
		err = l.log.append(body, true)
	}
	if err == nil {
		apply()
	}
	log := l.log
	l.mu.Unlock()
	if err != nil {
		return err
	}
	if err := log.sync(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log.append(encodeMark(), false) // tells a reader that the record was durable, so that its damage is noticed
}

// known is the check of records about a lease that has to be there.
func (l *Ledger) known(id ids.Lease) func() error {
	return func() error {
		if l.accounts[id] == nil {
			return fmt.Errorf("lease %s: %w", id, ErrNotFound)
		}
		return nil
	}
}

// Lease returns a lease and its usage. ErrNotFound.
func (l *Ledger) Lease(id ids.Lease) (Lease, Usage, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.accounts[id]
	if a == nil {
		return Lease{}, Usage{}, fmt.Errorf("lease %s: %w", id, ErrNotFound)
	}
	return a.lease, a.usage, nil
}

// Leases returns all leases in the order of their ids.
func (l *Ledger) Leases() []Lease {
	l.mu.Lock()
	defer l.mu.Unlock()
	order := slices.SortedFunc(maps.Keys(l.accounts), func(a, b ids.Lease) int { return slices.Compare(a[:], b[:]) })
	out := make([]Lease, len(order))
	for i, id := range order {
		out[i] = l.accounts[id].lease
	}
	return out
}

// Held returns the leases of a renter's key, oldest first.
func (l *Ledger) Held(renter ed25519.PublicKey) []Lease {
	if len(renter) != ed25519.PublicKeySize {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []Lease
	for _, id := range l.held[renterKey(renter)] {
		out = append(out, l.accounts[id].lease)
	}
	slices.SortFunc(out, func(a, b Lease) int {
		return cmp.Or(a.Created.Compare(b.Created), slices.Compare(a.ID[:], b.ID[:]))
	})
	return out
}

// Reserve sets bytes of the quota aside for a shard that is about to come, until release is called (once). ErrQuota when they don't fit.
// What is reserved is not in the log: it ends with the process.
func (l *Ledger) Reserve(id ids.Lease, bytes int64) (release func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.accounts[id]
	switch {
	case a == nil:
		return nil, fmt.Errorf("lease %s: %w", id, ErrNotFound)
	case bytes < 0 || bytes > a.lease.Size-a.usage.Bytes-a.reserved:
		return nil, fmt.Errorf("%w: %d of %d bytes are used, %d are being written", ErrQuota, a.usage.Bytes, a.lease.Size, a.reserved)
	}
	a.reserved += bytes
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		a.reserved -= bytes
	}, nil
}

// Begin announces changes. They are durable when the next Sync returns; only then may the disk be touched. The caller has made sure that no other intent
// for the same shard is open.
func (l *Ledger) Begin(intents []Intent) ([]Intent, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := slices.Clone(intents)
	for i := range out {
		if l.accounts[out[i].Lease] == nil {
			return nil, fmt.Errorf("lease %s: %w", out[i].Lease, ErrNotFound)
		}
		out[i].Seq = l.seq + 1 + uint64(i)
	}
	if err := l.log.append(encodeIntents(out), keepSpare(out)); err != nil {
		return nil, err
	}
	for _, in := range out {
		l.open[in.Seq] = in
	}
	l.seq += uint64(len(out))
	return out, nil
}

// Sync returns when everything that was recorded before the call is durable.
func (l *Ledger) Sync() error {
	l.mu.Lock()
	log := l.log
	l.mu.Unlock()
	return log.sync()
}

// Finish records the outcome of intents: done tells whether the change is on the disk, durably. It is not synced.
func (l *Ledger) Finish(intents []Intent, done bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	seqs := make([]uint64, len(intents))
	for i, in := range intents {
		if _, ok := l.open[in.Seq]; !ok {
			return fmt.Errorf("finish intent %d: it isn't open", in.Seq)
		}
		seqs[i] = in.Seq
	}
	if err := l.log.append(encodeFinish(seqs, done), false); err != nil {
		return err
	}
	for _, seq := range seqs {
		if err := l.finish(seq, done); err != nil {
			return err
		}
	}
	return l.maybeCompact()
}

// finish applies an intent's outcome to the counters; mu is held.
func (l *Ledger) finish(seq uint64, done bool) error {
	in, ok := l.open[seq]
	if !ok {
		return fmt.Errorf("intent %d isn't open", seq)
	}
	delete(l.open, seq)
	a := l.accounts[in.Lease]
	if !done || a == nil {
		return nil
	}
	switch in.Op {
	case Put:
		a.usage.Bytes += in.Charge
		a.usage.Shards++
	case Remove:
		a.usage.Bytes -= in.Charge
		a.usage.Shards--
	case Drop:
		a.usage = Usage{}
	}
	return nil
}

// Recount replaces a lease's usage by what was counted on the disk; durable on return. No intent of the lease may be open.
func (l *Ledger) Recount(id ids.Lease, u Usage) error {
	return l.record(encodeUsage(id, u), l.known(id), func() { l.accounts[id].usage = u })
}

// Forget removes a lease of which nothing lies on the disk any more; durable on return.
func (l *Ledger) Forget(id ids.Lease) error {
	return l.record(encodeForget(id), l.known(id), func() { l.remove(id) })
}

// InFlight returns the open intents in the order in which they were announced.
func (l *Ledger) InFlight() []Intent {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := slices.Collect(maps.Values(l.open))
	slices.SortFunc(out, func(a, b Intent) int { return int(a.Seq) - int(b.Seq) })
	return out
}

func (l *Lease) validate() error {
	switch {
	case len(l.Renter) != ed25519.PublicKeySize:
		return fmt.Errorf("the renter's key has %d bytes", len(l.Renter))
	case l.Size <= 0:
		return fmt.Errorf("its size is %d bytes", l.Size)
	case l.Grace < 0:
		return fmt.Errorf("its grace period is %s", l.Grace)
	case len(l.Note) > 1024:
		return errors.New("its note is longer than 1,024 bytes")
	}
	return nil
}
