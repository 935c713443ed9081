package shardstore

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/cloudcoin/cloudcoin/provider/ids"
)

// Memory is a Store that forgets everything with the process: for tests. Limit bounds its bytes; 0 means no bound.
type Memory struct {
	Limit int64

	mu     sync.Mutex
	used   int64
	leases map[ids.Lease]*memoryLease
}

type memoryLease struct {
	shards map[ids.Shard][]byte
	aside  map[ids.Shard][]byte
	slots  map[string][]byte
}

var _ Store = (*Memory)(nil)

// NewMemory makes an empty store.
func NewMemory() *Memory { return &Memory{leases: map[ids.Lease]*memoryLease{}} }

// lease returns a lease's namespace; mu is held.
func (m *Memory) lease(id ids.Lease) *memoryLease {
	l := m.leases[id]
	if l == nil {
		l = &memoryLease{map[ids.Shard][]byte{}, map[ids.Shard][]byte{}, map[string][]byte{}}
		m.leases[id] = l
	}
	return l
}

// memoryWriter collects a shard's bytes.
type memoryWriter struct {
	store *Memory
	lease ids.Lease
	id    ids.Shard
	buf   []byte
	ended bool
}

// Create implements Store.
func (m *Memory) Create(lease ids.Lease, id ids.Shard) (Writer, error) {
	return &memoryWriter{store: m, lease: lease, id: id}, nil
}

func (w *memoryWriter) Write(p []byte) (int, error) {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	if w.store.Limit > 0 && w.store.used+int64(len(p)) > w.store.Limit {
		return 0, fmt.Errorf("write shard: %w", ErrFull)
	}
	w.store.used += int64(len(p))
	w.buf = append(w.buf, p...)
	return len(p), nil
}

func (w *memoryWriter) Sync() error { return nil }

func (w *memoryWriter) Commit() error {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	w.ended = true
	shards := w.store.lease(w.lease).shards
	w.store.used -= int64(len(shards[w.id]))
	shards[w.id] = w.buf
	return nil
}

func (w *memoryWriter) Publish() error { return w.Commit() }

func (w *memoryWriter) Abort() error {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	if !w.ended {
		w.store.used -= int64(len(w.buf))
		w.buf, w.ended = nil, true
	}
	return nil
}

type memoryShard struct{ *bytes.Reader }

func (memoryShard) Close() error { return nil }

// Open implements Store.
func (m *Memory) Open(lease ids.Lease, id ids.Shard) (Shard, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.lease(lease).shards[id]
	if !ok {
		return nil, ErrNotFound
	}
	return memoryShard{bytes.NewReader(b)}, nil
}

// Stat implements Store.
func (m *Memory) Stat(lease ids.Lease, id ids.Shard) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.lease(lease).shards[id]
	if !ok {
		return 0, ErrNotFound
	}
	return int64(len(b)), nil
}

// Delete implements Store.
func (m *Memory) Delete(lease ids.Lease, shards []ids.Shard) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	held := m.lease(lease).shards
	for _, id := range shards {
		m.used -= int64(len(held[id]))
		delete(held, id)
	}
	return nil
}

// SetAside implements Store.
func (m *Memory) SetAside(lease ids.Lease, id ids.Shard) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.lease(lease)
	b, ok := l.shards[id]
	if !ok {
		return ErrNotFound
	}
	delete(l.shards, id)
	l.aside[id] = b
	return nil
}

// List implements Store.
func (m *Memory) List(lease ids.Lease, after *ids.Shard, limit int) ([]Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var page []Entry
	for id, b := range m.lease(lease).shards {
		if after == nil || bytes.Compare(id[:], after[:]) > 0 {
			page = append(page, Entry{ID: id, Size: int64(len(b))})
		}
	}
	slices.SortFunc(page, func(a, b Entry) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return page[:min(limit, len(page))], nil
}

// Leases implements Store.
func (m *Memory) Leases() ([]ids.Lease, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []ids.Lease
	for id, l := range m.leases {
		if len(l.shards)+len(l.slots) > 0 {
			out = append(out, id)
		}
	}
	return out, nil
}

// DropLease implements Store.
func (m *Memory) DropLease(lease ids.Lease) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, b := range m.lease(lease).shards {
		m.used -= int64(len(b))
	}
	for _, b := range m.lease(lease).aside {
		m.used -= int64(len(b))
	}
	delete(m.leases, lease)
	return nil
}

// PutSlot implements Store.
func (m *Memory) PutSlot(lease ids.Lease, name string, value []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lease(lease).slots[name] = slices.Clone(value)
	return nil
}

// Slot implements Store.
func (m *Memory) Slot(lease ids.Lease, name string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.lease(lease).slots[name]
	if !ok {
		return nil, ErrNotFound
	}
	return slices.Clone(b), nil
}

// Slots implements Store.
func (m *Memory) Slots(lease ids.Lease) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.lease(lease).slots)), nil
}

// Room implements Store.
func (m *Memory) Room() (free, total int64, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.Limit == 0 {
		return 1 << 50, 1 << 50, nil
	}
	return m.Limit - m.used, m.Limit, nil
}

// Close implements Store.
func (m *Memory) Close() error { return nil }
