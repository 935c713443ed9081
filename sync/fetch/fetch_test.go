package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"filippo.io/age"
	"go.uber.org/goleak"

	"github.com/cloudcoin/cloudcoin/sync/chunk"
	"github.com/cloudcoin/cloudcoin/sync/erasure"
	"github.com/cloudcoin/cloudcoin/sync/model"
	"github.com/cloudcoin/cloudcoin/sync/pack"
	"github.com/cloudcoin/cloudcoin/sync/transfer"
	"github.com/cloudcoin/cloudcoin/sync/transfer/memshards"
	"github.com/cloudcoin/cloudcoin/sync/transfer/shardstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// counted counts what is asked of a lease.
type counted struct {
	*memshards.Store
	requests, bytes *atomic.Int64
	block           func(ctx context.Context) error
}

func (c *counted) Get(ctx context.Context, id model.ShardID, off int64, p []byte, size int64, verify bool) error {
	c.requests.Add(1)
	c.bytes.Add(int64(len(p)))
	if c.block != nil {
		if err := c.block(ctx); err != nil {
			return err
		}
	}
	return c.Store.Get(ctx, id, off, p, size, verify)
}

// world is a drive's stored side: files in chunks in packs on six leases in memory.
type world struct {
	t        testing.TB
	id       *age.X25519Identity
	key      [32]byte
	pool     *transfer.Pool
	stores   []*counted
	requests atomic.Int64
	bytes    atomic.Int64

	exts    map[model.Ino][]model.Extent
	chunks  map[model.ChunkID]model.Chunk
	packs   map[model.PackID]model.Pack
	filling *pack.Builder
	rename  func(i int) model.LeaseID // nil: lease i is {i+1}
}

func newWorld(t testing.TB) *world {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	check(t, err)
	w := &world{
		t: t, id: id, key: [32]byte{1}, pool: transfer.NewPool(transfer.Options{}),
		exts: map[model.Ino][]model.Extent{}, chunks: map[model.ChunkID]model.Chunk{}, packs: map[model.PackID]model.Pack{},
	}
	t.Cleanup(func() { check(t, w.pool.Close()) })
	var all []transfer.Shards
	for i := range 6 {
		s := memshards.New(transfer.LeaseInfo{ID: model.LeaseID{byte(i + 1)}, Provider: fmt.Sprint(i), Size: 1 << 40})
		w.stores = append(w.stores, &counted{Store: s, requests: &w.requests, bytes: &w.bytes})
		all = append(all, w.stores[i])
	}
	w.pool.SetLeases(all)
	return w
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// add stores bytes of a file at off, cut into chunks of at most chunkLen.
func (w *world) add(ino model.Ino, off int64, content []byte, chunkLen int) {
	w.t.Helper()
	for len(content) > 0 {
		b := content[:min(chunkLen, len(content))]
		content = content[len(b):]
		id := chunk.ID(w.key, b)
		w.exts[ino] = append(w.exts[ino], model.Extent{Off: off, Len: int64(len(b)), Chunk: id})
		off += int64(len(b))
		if w.filling != nil && !w.filling.Fits(len(b)) {
			w.flush()
		}
		if w.filling == nil {
			var err error
			w.filling, err = pack.NewBuilder(w.id.Recipient(), model.PackData)
			check(w.t, err)
		}
		at, err := w.filling.Add(id, b)
		check(w.t, err)
		w.chunks[id] = model.Chunk{ID: id, Len: int64(len(b)), Pack: model.PackID{byte(len(w.packs) + 1)}, Off: at}
	}
}

// flush seals the pack that is being filled and puts its shards.
func (w *world) flush() {
	w.t.Helper()
	if w.filling == nil {
		return
	}
	s, err := w.filling.Finish(4)
	check(w.t, err)
	w.filling = nil
	id := model.PackID{byte(len(w.packs) + 1)}
	p := model.Pack{ID: id, K: 4, M: 2, ShardLen: s.ShardLen, PlainLen: s.PlainLen, Header: s.Header, Tail: s.Tail}
	shards, err := erasure.Encode(s.Age, 4, 2, nil)
	check(w.t, err)
	for i, sid := range erasure.IDs(shards) {
		lease := model.LeaseID{byte((i+len(w.packs))%6 + 1)}
		if w.rename != nil {
			lease = w.rename((i + len(w.packs)) % 6)
		}
		check(w.t, w.pool.PutShard(context.Background(), lease, sid, shards[i]))
		p.Shards = append(p.Shards, model.Shard{ID: sid, Lease: lease})
	}
	s.Release()
	w.packs[id] = p
}

func (w *world) extents(ino model.Ino, _ model.Rev, off, n int64, fn func(model.Extent) bool) error {
	if off < 0 || n < 0 || off > 1<<62-n { // as the index does
		return fmt.Errorf("extents of %d bytes at %d", n, off)
	}
	for _, e := range w.exts[ino] {
		if e.Off+e.Len > off && e.Off < off+n && !fn(e) {
			break
		}
	}
	return nil
}

func (w *world) Chunk(id model.ChunkID) (model.Chunk, bool, error) {
	c, ok := w.chunks[id]
	return c, ok, nil
}

func (w *world) Pack(id model.PackID) (model.Pack, error) {
	p, ok := w.packs[id]
	if !ok {
		return p, errors.New("no such pack")
	}
	return p, nil
}

func (w *world) reader(opt Options) *Reader {
	w.t.Helper()
	w.flush()
	opt.Identity, opt.ChunkKey = w.id, w.key
	r := newReader(w, w.pool, opt)
	w.t.Cleanup(func() { check(w.t, r.Close()) })
	w.requests.Store(0)
	w.bytes.Store(0)
	return r
}

func random(seed uint64, n int) []byte {
	b, _ := shardstest.Bytes(seed, n)
	return b
}

func TestReadAnywhere(t *testing.T) {
	w := newWorld(t)
	content := make([]byte, 22<<20)
	copy(content[1<<20:], random(1, 20<<20)) // holes around and between
	clear(content[9<<20 : 9<<20+12345])
	w.add(1, 1<<20, content[1<<20:9<<20], 1<<20)
	w.exts[1] = append(w.exts[1], model.Extent{Off: 9 << 20, Len: 12345})
	w.add(1, 9<<20+12345, content[9<<20+12345:21<<20], 777_777)
	r := w.reader(Options{})
	b := r.Base(1, 5)
	rnd := rand.New(rand.NewPCG(3, 4))
	for i := range 300 {
		off := rnd.IntN(len(content))
		n := rnd.IntN(min(len(content)-off, 100_000)) + 1
		if i%20 == 0 {
			n = rnd.IntN(min(len(content)-off, 5<<20)) + 1
		}
		p := bytes.Repeat([]byte{0xee}, n)
		if err := b.ReadAt(context.Background(), p, int64(off)); err != nil || !bytes.Equal(p, content[off:off+n]) {
			t.Fatalf("read %d bytes at %d: %v, equal %v", n, off, err, bytes.Equal(p, content[off:off+n]))
		}
	}
	p := bytes.Repeat([]byte{0xee}, 100)
	if err := b.ReadAt(context.Background(), p, 1<<40); err != nil || !bytes.Equal(p, make([]byte, 100)) {
		t.Errorf("read beyond the content: %v", err)
	}
	if err := r.Base(1, 0).ReadAt(context.Background(), p, 1<<20); err != nil || !bytes.Equal(p, make([]byte, 100)) {
		t.Errorf("read of no content: %v", err)
	}
	if r.cache.used > r.opt.Memory {
		t.Errorf("cache holds %d bytes, limit %d", r.cache.used, r.opt.Memory)
	}
}

func TestColdSmallReadFetchesLittle(t *testing.T) {
	w := newWorld(t)
	content := random(2, 16<<20)
	w.add(1, 0, content, 1<<20)
	for i, off := range []int{0, 5<<20 + 65530, 4 << 20, 12_345_678, 15 << 20} {
		r := w.reader(Options{})
		p := make([]byte, 4096)
		check(t, r.Base(1, 5).ReadAt(context.Background(), p, int64(off)))
		if !bytes.Equal(p, content[off:off+4096]) {
			t.Errorf("read %d is wrong", i)
		}
		if got := w.bytes.Load(); got > 256<<10 {
			t.Errorf("a read of 4 KiB at %d fetched %d bytes", off, got)
		}
	}
}

func TestReadingOnFetchesOnceInLargePieces(t *testing.T) {
	w := newWorld(t)
	content := random(3, 80<<20)
	w.add(1, 0, content, 1<<20)
	r := w.reader(Options{})
	b := r.Base(1, 5)
	p := make([]byte, 128<<10)
	for off := 0; off < len(content); off += len(p) {
		check(t, b.ReadAt(context.Background(), p, int64(off)))
		if !bytes.Equal(p, content[off:off+len(p)]) {
			t.Fatalf("wrong bytes at %d", off)
		}
		r.cache.mu.Lock()
		used := r.cache.used
		r.cache.mu.Unlock()
		if used > r.opt.Memory {
			t.Fatalf("%d bytes in memory, limit %d", used, r.opt.Memory)
		}
	}
	if got := w.bytes.Load(); got > int64(len(content))*105/100+1<<20 {
		t.Errorf("%d bytes were fetched of a file of %d", got, len(content))
	}
	if got := w.requests.Load(); got > 100 {
		t.Errorf("%d requests for 80 MiB", got)
	}
}

func TestCrowdOfSmallFilesFetchesThePack(t *testing.T) {
	w := newWorld(t)
	var files [][]byte
	for i := range 1500 {
		files = append(files, random(uint64(100+i), 4000+i))
		w.add(model.Ino(i+1), 0, files[i], 1<<20)
	}
	r := w.reader(Options{})
	for i, f := range files {
		p := make([]byte, len(f))
		check(t, r.Base(model.Ino(i+1), 5).ReadAt(context.Background(), p, 0))
		if !bytes.Equal(p, f) {
			t.Fatalf("file %d is wrong", i)
		}
	}
	if got := w.requests.Load(); got > 12 {
		t.Errorf("%d requests for %d files in %d packs", got, len(files), len(w.packs))
	}
}

func TestSameBlockIsFetchedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		content := random(4, 4<<20)
		w.add(1, 0, content, 1<<20)
		r := w.reader(Options{})
		for _, s := range w.stores {
			s.block = func(context.Context) error {
				time.Sleep(20 * time.Millisecond)
				return nil
			}
		}
		var wg sync.WaitGroup
		for i := range 30 {
			wg.Go(func() {
				off := 2<<20 + i*1000
				p := make([]byte, 1000)
				if err := r.Base(1, 5).ReadAt(context.Background(), p, int64(off)); err != nil || !bytes.Equal(p, content[off:off+1000]) {
					t.Errorf("read: %v", err)
				}
			})
		}
		wg.Wait()
		if got := w.requests.Load(); got > 2 {
			t.Errorf("%d requests for one block", got)
		}
		check(t, r.Close())
		check(t, w.pool.Close())
	})
}

func TestDeadlineIsEIOAndReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.add(1, 0, random(5, 3<<20), 1<<20)
		var told []string
		r := w.reader(Options{Deadline: 30 * time.Second, Report: func(s string) { told = append(told, s) }})
		for _, s := range w.stores {
			s.block = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		}
		start := time.Now()
		err := r.Base(1, 5).ReadAt(context.Background(), make([]byte, 100), 0)
		if !errors.Is(err, syscall.EIO) || time.Since(start) != 30*time.Second {
			t.Errorf("got %v after %v", err, time.Since(start))
		}
		if len(told) != 1 {
			t.Errorf("told %q", told)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		start = time.Now()
		if err := r.Base(1, 5).ReadAt(ctx, make([]byte, 100), 0); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, syscall.EIO) || time.Since(start) != time.Second {
			t.Errorf("interrupted: got %v after %v", err, time.Since(start))
		}
		if len(told) != 1 {
			t.Errorf("an interrupted read was reported: %q", told)
		}
		for _, s := range w.stores {
			s.block = nil
		}
		if err := r.Base(1, 5).ReadAt(context.Background(), make([]byte, 100), 0); err != nil {
			t.Errorf("read after providers answer again: %v", err)
		}
		check(t, r.Close())
		check(t, w.pool.Close())
	})
}

func TestProvidersGoneAndGarbage(t *testing.T) {
	w := newWorld(t)
	content := random(6, 20<<20)
	w.add(1, 0, content, 1<<20)
	r := w.reader(Options{})
	w.stores[0].SetDown(true)
	for _, p := range w.packs {
		for _, sh := range p.Shards {
			w.stores[3].Damage(sh.ID, 100_000)
		}
	}
	got, err := io.ReadAll(io.NewSectionReader(readerAt{r.Base(1, 5)}, 0, int64(len(content))))
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("with one provider down and one wrong: %v, equal %v", err, bytes.Equal(got, content))
	}
}

type readerAt struct{ *Base }

func (r readerAt) ReadAt(p []byte, off int64) (int, error) {
	return len(p), r.Base.ReadAt(context.Background(), p, off)
}

func TestWrongChunkIsDamageNotData(t *testing.T) {
	for _, n := range []int{5000, 3 << 20} {
		w := newWorld(t)
		w.add(1, 0, random(7, n), 1<<20)
		first := w.exts[1][0].Chunk
		c := w.chunks[first]
		delete(w.chunks, first)
		c.ID[0] ^= 1 // the catalogue names other bytes
		w.chunks[c.ID] = c
		w.exts[1][0].Chunk = c.ID
		r := w.reader(Options{})
		err := r.Base(1, 5).ReadAt(context.Background(), make([]byte, c.Len), 0)
		if !errors.Is(err, ErrDamaged) || !errors.Is(err, syscall.EIO) {
			t.Errorf("file of %d bytes: got %v", n, err)
		}
	}
}

func TestCatalogueDamage(t *testing.T) {
	w := newWorld(t)
	w.add(1, 0, random(8, 10_000), 1<<20)
	w.exts[2] = []model.Extent{{Len: 100, Chunk: model.ChunkID{9}}}
	w.exts[3] = []model.Extent{{Len: 100, Chunk: w.exts[1][0].Chunk, Skip: 9_950}}
	far := w.chunks[w.exts[1][0].Chunk]
	far.ID, far.Off = model.ChunkID{8}, 1<<40
	w.chunks[far.ID] = far
	w.exts[4] = []model.Extent{{Len: 100, Chunk: far.ID}}
	r := w.reader(Options{})
	for ino := model.Ino(2); ino <= 4; ino++ {
		if err := r.Base(ino, 5).ReadAt(context.Background(), make([]byte, 100), 0); !errors.Is(err, syscall.EIO) {
			t.Errorf("inode %d: got %v", ino, err)
		}
	}
}

func TestManyReadersShareLittleMemory(t *testing.T) {
	w := newWorld(t)
	content := random(9, 24<<20)
	for i := range 3 {
		w.add(model.Ino(i+1), 0, content[i<<20:], 1<<20)
	}
	r := w.reader(Options{Memory: 18 << 20})
	var wg sync.WaitGroup
	for i := range 9 {
		wg.Go(func() {
			want := content[i%3<<20:]
			got, err := io.ReadAll(io.NewSectionReader(readerAt{r.Base(model.Ino(i%3+1), 5)}, 0, int64(len(want))))
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("reader %d: %v", i, err)
			}
		})
	}
	wg.Wait()
}

func TestHolesAndData(t *testing.T) {
	w := newWorld(t)
	w.add(1, 1000, random(10, 500), 200)
	w.exts[1] = append(w.exts[1], model.Extent{Off: 1500, Len: 500})
	w.add(1, 3000, random(11, 100), 200)
	r := w.reader(Options{})
	b := r.Base(1, 5)
	for _, c := range []struct{ off, data, hole int64 }{
		{0, 1000, 0}, {1000, 1000, 1500}, {1499, 1499, 1500}, {1500, 3000, 1500}, {2500, 3000, 2500}, {3050, 3050, 3100}, {3100, math.MaxInt64, 3100}, {1 << 62, math.MaxInt64, 1 << 62},
	} {
		data, err := b.NextData(c.off)
		check(t, err)
		hole, err := b.NextHole(c.off)
		check(t, err)
		if data != c.data || hole != c.hole {
			t.Errorf("from %d: data %d, hole %d; want %d, %d", c.off, data, hole, c.data, c.hole)
		}
	}
}

func TestReadChunk(t *testing.T) {
	w := newWorld(t)
	content := random(12, 5<<20)
	w.add(1, 0, content, 1<<20)
	r := w.reader(Options{})
	c := w.chunks[w.exts[1][2].Chunk]
	r.Prefetch(c.Pack)
	p := make([]byte, c.Len)
	if err := r.ReadChunk(context.Background(), c, p, 0); err != nil || !bytes.Equal(p, content[2<<20:3<<20]) {
		t.Errorf("ReadChunk: %v", err)
	}
	if err := r.ReadChunk(context.Background(), c, p[:100], c.Len-100); err != nil || !bytes.Equal(p[:100], content[3<<20-100:3<<20]) {
		t.Errorf("ReadChunk of its end: %v", err)
	}
	if r.ReadChunk(context.Background(), c, p, 1) == nil {
		t.Error("ReadChunk beyond the chunk: no error")
	}
}
