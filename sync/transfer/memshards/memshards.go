// Package memshards is a lease in memory: the twin of drive/lease for tests and simulations. It behaves as a provider does: whole
// bytes or nothing, quota in steps of 4 KiB, slots that only go up.
//
// Store is safe for concurrent use. Faults are injected by embedding it and overriding a method; Damage, Lose and SetDown change it from outside.
package memshards

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/cloudcoin/cloudcoin/crypto/merkle"
	"github.com/cloudcoin/cloudcoin/sync/model"
	"github.com/cloudcoin/cloudcoin/sync/transfer"
)

const (
	charge   = 4096 // shards are charged in multiples of it
	pageSize = 1000
	maxSlots = 256
)

// ErrDown is returned by everything while the store is down.
var ErrDown = errors.New("connection refused")

// Store is one lease. The zero value isn't usable.
type Store struct {
	mu     sync.Mutex
	info   transfer.LeaseInfo
	shards map[model.ShardID][]byte
	slots  map[string]transfer.Slot
	used   int64
	down   bool
	calls  int64
}

var _ transfer.Shards = (*Store)(nil)

// New makes an empty lease of info.Size bytes.
func New(info transfer.LeaseInfo) *Store {
	return &Store{info: info, shards: map[model.ShardID][]byte{}, slots: map[string]transfer.Slot{}}
}

// SetDown makes everything fail with ErrDown, or work again.
func (s *Store) SetDown(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

// Damage flips a bit of a stored shard; false when it isn't there.
func (s *Store) Damage(id model.ShardID, off int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := bytes.Clone(s.shards[id])
	if off >= len(b) {
		return false
	}
	b[off] ^= 1
	s.shards[id] = b
	return true
}

// Lose forgets a shard, without asking.
func (s *Store) Lose(id model.ShardID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(id)
}

// Wipe forgets all shards and slots.
func (s *Store) Wipe() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.shards)
	clear(s.slots)
	s.used = 0
}

// Calls counts the requests so far.
func (s *Store) Calls() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

// enter takes the lock, unless the store is down or ctx has ended.
func (s *Store) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	s.calls++
	if s.down {
		s.mu.Unlock()
		return ErrDown
	}
	return nil
}

// Info implements transfer.Shards.
func (s *Store) Info() transfer.LeaseInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	info := s.info
	info.Used = s.used
	return info
}

func charged(n int) int64 { return (int64(n) + charge - 1) / charge * charge }

// Put implements transfer.Shards.
func (s *Store) Put(ctx context.Context, id model.ShardID, body []byte) error {
	if merkle.Root(body) != id {
		return fmt.Errorf("put shard %s: %w", id, transfer.ErrDamaged)
	}
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	if _, ok := s.shards[id]; !ok {
		if s.used+charged(len(body)) > s.info.Size {
			return fmt.Errorf("put shard %s: %w", id, transfer.ErrNoRoom)
		}
		s.used += charged(len(body))
	}
	s.shards[id] = bytes.Clone(body)
	return nil
}

// Get implements transfer.Shards.
func (s *Store) Get(ctx context.Context, id model.ShardID, off int64, p []byte, size int64, verify bool) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	b, ok := s.shards[id]
	s.mu.Unlock() // stored bytes are never changed in place
	switch {
	case !ok:
		return fmt.Errorf("get shard %s: %w", id, transfer.ErrNotFound)
	case int64(len(b)) != size, off < 0, off+int64(len(p)) > size:
		return fmt.Errorf("get shard %s: %d bytes at %d of %d, it has %d: %w", id, len(p), off, size, len(b), transfer.ErrDamaged)
	case verify && merkle.Root(b) != id:
		return fmt.Errorf("get shard %s: %w", id, transfer.ErrDamaged)
	}
	copy(p, b[off:])
	return nil
}

// Has implements transfer.Shards.
func (s *Store) Has(ctx context.Context, ids []model.ShardID) ([]bool, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	out := make([]bool, len(ids))
	for i, id := range ids {
		_, out[i] = s.shards[id]
	}
	return out, nil
}

// Delete implements transfer.Shards.
func (s *Store) Delete(ctx context.Context, ids []model.ShardID) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	for _, id := range ids {
		s.remove(id)
	}
	return nil
}

func (s *Store) remove(id model.ShardID) {
	if b, ok := s.shards[id]; ok {
		s.used -= charged(len(b))
		delete(s.shards, id)
	}
}

// List implements transfer.Shards.
func (s *Store) List(ctx context.Context, after model.ShardID) ([]model.ShardID, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	var out []model.ShardID
	for id := range s.shards {
		if bytes.Compare(id[:], after[:]) > 0 {
			out = append(out, id)
		}
	}
	slices.SortFunc(out, func(a, b model.ShardID) int { return bytes.Compare(a[:], b[:]) })
	return out[:min(len(out), pageSize)], nil
}

// Slots implements transfer.Shards.
func (s *Store) Slots(ctx context.Context) ([]string, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	names := make([]string, 0, len(s.slots))
	for name := range s.slots {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, nil
}

// GetSlot implements transfer.Shards.
func (s *Store) GetSlot(ctx context.Context, name string) (transfer.Slot, error) {
	if err := s.enter(ctx); err != nil {
		return transfer.Slot{}, err
	}
	defer s.mu.Unlock()
	v, ok := s.slots[name]
	if !ok {
		return transfer.Slot{}, fmt.Errorf("get slot %q: %w", name, transfer.ErrNotFound)
	}
	return transfer.Slot{Counter: v.Counter, Payload: bytes.Clone(v.Payload)}, nil
}

// PutSlot implements transfer.Shards.
func (s *Store) PutSlot(ctx context.Context, name string, v transfer.Slot) error {
	if err := transfer.ValidSlot(name, v); err != nil {
		return err
	}
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	old, ok := s.slots[name]
	switch {
	case ok && (v.Counter < old.Counter || v.Counter == old.Counter && !bytes.Equal(v.Payload, old.Payload)):
		return fmt.Errorf("put slot %q: it is at %d: %w", name, old.Counter, transfer.ErrConflict)
	case !ok && len(s.slots) >= maxSlots:
		return fmt.Errorf("put slot %q: %w", name, transfer.ErrNoRoom)
	}
	s.slots[name] = transfer.Slot{Counter: v.Counter, Payload: bytes.Clone(v.Payload)}
	return nil
}

// Usage implements transfer.Shards.
func (s *Store) Usage(ctx context.Context) (transfer.Usage, error) {
	if err := s.enter(ctx); err != nil {
		return transfer.Usage{}, err
	}
	defer s.mu.Unlock()
	return transfer.Usage{Used: s.used, Size: s.info.Size}, nil
}
