package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cloudcoin/cloudcoin/crypto/keychain"
	"github.com/cloudcoin/cloudcoin/sync/index"
	"github.com/cloudcoin/cloudcoin/sync/journal"
	"github.com/cloudcoin/cloudcoin/sync/model"
	"github.com/cloudcoin/cloudcoin/sync/transfer"
	"github.com/cloudcoin/cloudcoin/sync/transfer/memshards"
)

// fakeClock moves only when it is told to.
type fakeClock struct {
	mu     sync.Mutex
	now    time.Time
	timers map[*fakeTimer]struct{}
}

type fakeTimer struct {
	at time.Time
	c  chan time.Time
}

func newFakeClock() *fakeClock {
	return &fakeClock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), timers: map[*fakeTimer]struct{}{}}
}

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) Timer(d time.Duration) (<-chan time.Time, func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &fakeTimer{c.now.Add(d), make(chan time.Time, 1)}
	if d <= 0 {
		t.c <- c.now
		return t.c, func() {}
	}
	c.timers[t] = struct{}{}
	return t.c, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.timers, t)
	}
}

func (c *fakeClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	for t := range maps.Clone(c.timers) {
		if !t.at.After(c.now) {
			t.c <- c.now
			delete(c.timers, t)
		}
	}
}

// world is six leases in memory and the homes of the drives on them.
type world struct {
	t      testing.TB
	clock  transfer.Clock
	keys   *keychain.Keychain
	stores []*memshards.Store
	wrap   func(i int, s *memshards.Store) transfer.Shards
}

func newWorld(t testing.TB, n int) *world {
	w := &world{t: t, clock: transfer.SystemClock{}, keys: keychain.New([64]byte{7}, "local")}
	for i := range n {
		var id model.LeaseID
		id[0] = byte(i + 1)
		w.stores = append(w.stores, memshards.New(transfer.LeaseInfo{
			ID: id, Provider: fmt.Sprintf("p%d", i), Name: fmt.Sprintf("provider-%d", i+1), Network: "loopback", Size: 1 << 30,
		}))
	}
	w.wrap = func(_ int, s *memshards.Store) transfer.Shards { return s }
	return w
}

func (w *world) pool() *transfer.Pool {
	p := transfer.NewPool(transfer.Options{PutTries: 1, Rounds: 1})
	var ls []transfer.Shards
	for i, s := range w.stores {
		ls = append(ls, w.wrap(i, s))
	}
	p.SetLeases(ls)
	w.t.Cleanup(func() { p.Close() })
	return p
}

// home is one device: an index, contents in memory, a pool, and perhaps a running engine.
type home struct {
	w    *world
	dir  string
	j    *journal.Journal
	x    *index.Index
	pool *transfer.Pool
	e    *Engine
	c    *contents
	stop func()
	dev  model.DeviceID
	ro   chan string

	packs map[model.PackID][]byte // read by tree; emptied with each call
}

func (w *world) home(dir string, dev byte) *home {
	h := &home{w: w, dir: dir, dev: model.DeviceID{dev}, ro: make(chan string, 1), stop: func() {}}
	h.open()
	h.c = &contents{x: h.x, files: map[model.Ino]map[uint64][]byte{}, at: map[key]([]byte){}}
	return h
}

func (h *home) open() {
	t := h.w.t
	var err error
	if h.j, err = journal.Open(filepath.Join(h.dir, "journal"), journal.Options{}); err != nil {
		t.Fatal(err)
	}
	h.x, err = index.Open(filepath.Join(h.dir, "index"), h.j, index.Options{HashKey: h.w.keys.NameKey(), DevicePart: uint32(h.dev[0]), Clock: h.w.clock.Now, Network: "local"})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.j.Replay(h.x.ReplayRecord); err != nil {
		t.Fatal(err)
	}
	if err := h.x.Ready(); err != nil {
		t.Fatal(err)
	}
	h.pool = h.w.pool()
	if h.c != nil {
		h.c.x = h.x
	}
}

func (h *home) close() {
	h.stop()
	h.stop = func() {}
	if err := errors.Join(h.x.Close(), h.j.Close()); err != nil {
		h.w.t.Error(err)
	}
}

// start makes an engine and runs it.
func (h *home) start(change ...func(*Config)) *Engine {
	t := h.w.t
	cfg := Config{
		Index: h.x, Pool: h.pool, Keys: h.w.keys, Device: h.dev, Files: h.c, Contents: h.c, Clock: h.w.clock,
		ReadOnly: func(why string) { h.ro <- why },
	}
	for _, c := range change {
		c(&cfg)
	}
	e, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	h.e = e
	h.pool.Bad(e.Bad)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	h.stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		h.e = nil
		h.stop = func() {}
	}
	return e
}

func (h *home) sync() {
	h.w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := h.e.Sync(ctx); err != nil {
		h.w.t.Fatalf("sync: %v (%+v)", err, h.e.Status())
	}
}

type key struct {
	ino model.Ino
	rev model.Rev
}

// contents is the stage and the tree's locks, in memory.
type contents struct {
	x     *index.Index
	lock  sync.Mutex // held by Content and by whoever changes an inode
	mu    sync.Mutex
	files map[model.Ino]map[uint64][]byte // by version
	at    map[key][]byte                  // what is stored as of a revision
	waits map[model.Ino]chan struct{}     // closed when a content of the inode is stored
}

// stored is closed when the next content of an inode is stored.
func (c *contents) stored(ino model.Ino) <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waits == nil {
		c.waits = map[model.Ino]chan struct{}{}
	}
	c.waits[ino] = make(chan struct{})
	return c.waits[ino]
}

func (c *contents) Freeze(_ context.Context, ino model.Ino, _ bool) (bool, error) {
	c.lock.Lock()
	defer c.lock.Unlock()
	b := c.x.Begin()
	b.Settle(ino)
	_, err := b.Commit()
	return err == nil, err
}

func (c *contents) Content(_ model.Ino, fn func() error) error {
	c.lock.Lock()
	defer c.lock.Unlock()
	return fn()
}

func (c *contents) Snapshot(ino model.Ino, version uint64, base model.Rev) (Snapshot, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b, ok := c.files[ino][version]
	if !ok {
		return nil, fmt.Errorf("no version %d of inode %d", version, ino)
	}
	return &snapshot{b: b, base: c.at[key{ino, base}]}, nil
}

func (c *contents) Stored(ino model.Ino, version uint64, rev model.Rev) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at[key{ino, rev}] = c.files[ino][version]
	if done := c.waits[ino]; done != nil {
		close(done)
		delete(c.waits, ino)
	}
	return nil
}

// snapshot compares blocks of 4 KiB to find what is dirty.
type snapshot struct{ b, base []byte }

func (s *snapshot) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	return bytes.NewReader(s.b).ReadAt(p, off)
}
func (s *snapshot) Size() int64  { return int64(len(s.b)) }
func (s *snapshot) Close() error { return nil }
func (s *snapshot) DirtyRanges(fn func(off, n int64) bool) error {
	for off := 0; off < len(s.b); off += 4096 {
		end := min(off+4096, len(s.b))
		if end > len(s.base) || !bytes.Equal(s.b[off:end], s.base[off:end]) {
			if !fn(int64(off), int64(end-off)) {
				break
			}
		}
	}
	return nil
}

func (s *snapshot) NextData(off int64) (int64, error) { return s.next(off, false), nil }
func (s *snapshot) NextHole(off int64) (int64, error) { return s.next(off, true), nil }

func (s *snapshot) next(off int64, zero bool) int64 {
	for o := off; o < s.Size(); o = (o/4096 + 1) * 4096 {
		end := min((o/4096+1)*4096, s.Size())
		if bytes.Equal(s.b[o:end], make([]byte, end-o)) == zero {
			return o
		}
	}
	return s.Size()
}

// mkroot makes the root folder.
func (h *home) mkroot() {
	b := h.x.Begin()
	b.PutInode(&model.Inode{Ino: model.RootIno, Mode: model.TypeDir | 0o755, Nlink: 2})
	h.commit(b)
}

func (h *home) commit(b *index.Batch) model.Rev {
	h.w.t.Helper()
	rev, err := b.Commit()
	if err != nil {
		h.w.t.Fatal(err)
	}
	return rev
}

// touch writes the root's inode, as every change of a name in it does.
func (h *home) touch(b *index.Batch) {
	root, err := h.x.Now().Inode(model.RootIno)
	if err != nil {
		h.w.t.Fatal(err)
	}
	root.Mtime++
	b.PutInode(&root)
}

// create makes an empty file in the root.
func (h *home) create(name string) model.Ino {
	ino, err := h.x.NextIno()
	if err != nil {
		h.w.t.Fatal(err)
	}
	b := h.x.Begin()
	b.PutInode(&model.Inode{Ino: ino, Mode: model.TypeRegular | 0o644, Nlink: 1, Parent: model.RootIno, Name: name})
	b.PutDirent(model.RootIno, name, ino, model.TypeRegular)
	h.touch(b)
	h.commit(b)
	return ino
}

// write gives a file a new content, staged.
func (h *home) write(ino model.Ino, data []byte) {
	h.c.lock.Lock()
	defer h.c.lock.Unlock()
	n, err := h.x.Now().Inode(ino)
	if err != nil {
		h.w.t.Fatal(err)
	}
	v := n.Content.Version + 1
	h.c.mu.Lock()
	if h.c.files[ino] == nil {
		h.c.files[ino] = map[uint64][]byte{}
	}
	h.c.files[ino][v] = data
	h.c.mu.Unlock()
	n.Size, n.Content = int64(len(data)), model.Content{Kind: model.ContentStaged, Version: v, Rev: n.Content.Rev}
	b := h.x.Begin()
	b.PutInode(&n)
	h.commit(b)
	if h.e != nil {
		h.e.Dirty(ino)
	}
}

// rename moves a name over another.
func (h *home) rename(from, to string) {
	v := h.x.Now()
	d, err := v.Lookup(model.RootIno, from)
	if err != nil {
		h.w.t.Fatal(err)
	}
	b := h.x.Begin()
	if old, err := v.Lookup(model.RootIno, to); err == nil {
		n, err := v.Inode(old.Ino)
		if err != nil {
			h.w.t.Fatal(err)
		}
		n.Nlink--
		b.PutInode(&n)
	}
	b.RemoveDirent(model.RootIno, from)
	b.PutDirent(model.RootIno, to, d.Ino, d.Type)
	h.touch(b)
	h.commit(b)
}

func (h *home) remove(name string) {
	v := h.x.Now()
	d, err := v.Lookup(model.RootIno, name)
	if err != nil {
		h.w.t.Fatal(err)
	}
	n, err := v.Inode(d.Ino)
	if err != nil {
		h.w.t.Fatal(err)
	}
	n.Nlink--
	b := h.x.Begin()
	b.RemoveDirent(model.RootIno, name)
	b.PutInode(&n)
	h.touch(b)
	h.commit(b)
}

// tree reads all names of the root and their stored contents, as of a revision, from the providers.
func (h *home) tree(at model.Rev) map[string]string {
	h.w.t.Helper()
	h.packs = map[model.PackID][]byte{}
	defer func() { h.packs = nil }()
	out := map[string]string{}
	v := h.x.At(at)
	var names []model.Dirent
	if err := v.ReadDir(model.RootIno, 0, func(d model.Dirent) bool { names = append(names, d); return true }); err != nil {
		h.w.t.Fatal(err)
	}
	for _, d := range names {
		n, err := v.Inode(d.Ino)
		if err != nil {
			h.w.t.Fatalf("inode of %s: %v", d.Name, err)
		}
		out[d.Name] = string(h.read(&n))
	}
	return out
}

func (h *home) read(n *model.Inode) []byte {
	h.w.t.Helper()
	if h.packs == nil {
		h.packs = map[model.PackID][]byte{}
	}
	b, err := h.tryRead(n)
	if err != nil {
		h.w.t.Fatal(err)
	}
	return b
}

func (h *home) tryRead(n *model.Inode) ([]byte, error) {
	buf := make([]byte, n.Size)
	switch n.Content.Kind {
	case model.ContentNone:
		return buf, nil
	case model.ContentStaged:
		return h.c.files[n.Ino][n.Content.Version], nil
	}
	e := &Engine{cfg: Config{Pool: h.pool, Keys: h.w.keys}}
	list, err := extentsAt(h.x, n.Ino, n.Content.Rev, n.Size)
	if err != nil {
		return nil, err
	}
	packs := h.packs
	for _, x := range list {
		c, ok, err := h.x.Chunk(x.Chunk)
		if err != nil || !ok {
			return nil, fmt.Errorf("chunk %s of inode %d isn't known: %w", x.Chunk, n.Ino, err)
		}
		if packs[c.Pack] == nil {
			p, err := h.x.Pack(c.Pack)
			if err != nil {
				return nil, err
			}
			if packs[c.Pack], err = e.readPack(context.Background(), &p); err != nil {
				return nil, err
			}
		}
		copy(buf[x.Off:min(x.Off+x.Len, n.Size)], packs[c.Pack][c.Off+x.Skip:c.Off+x.Skip+x.Len])
	}
	return buf, nil
}

// recover makes a new home from the leases alone.
func (w *world) recover(dev byte) (*home, Recovered, Found) {
	w.t.Helper()
	h := w.home(w.t.TempDir(), dev)
	var ls []transfer.Shards
	for i, s := range w.stores {
		ls = append(ls, w.wrap(i, s))
	}
	found, err := Find(context.Background(), w.keys, ls)
	if err != nil {
		w.t.Fatal(err)
	}
	r, err := Recover(context.Background(), w.keys, h.pool, h.x, found, h.dev, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return h, r, found
}

func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)})
	io.ReadFull(r, b)
	return b
}

func sameTree(t testing.TB, got, want map[string]string) {
	t.Helper()
	for _, n := range slices.Sorted(maps.Keys(want)) {
		g, ok := got[n]
		if !ok {
			t.Errorf("%s is missing", n)
		} else if g != want[n] {
			t.Errorf("%s has %d other bytes (want %d)", n, len(g), len(want[n]))
		}
	}
	for n := range got {
		if _, ok := want[n]; !ok {
			t.Errorf("%s should not be there", n)
		}
	}
}
