package stage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/cloudcoin/cloudcoin/sync/journal"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// Many goroutines on few files, with checkpoints, evictions and syncs beside them: each block always holds one whole write.
func TestConcurrent(t *testing.T) {
	r := newRig(t, Options{IdleNodes: 2, CacheLimit: 1 << 20})
	var wg sync.WaitGroup
	errs := make(chan error, 100)
	work := func(fn func(i int) error) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := 0; i < 60; i++ {
				if err := fn(i); err != nil {
					errs <- err
					return
				}
			}
		}()
	}
	for g := 0; g < 4; g++ {
		work(func(i int) error {
			f, err := r.s.Open(model.Ino(2+(g+i)%3), nil, 0)
			if err != nil {
				return err
			}
			p := bytes.Repeat([]byte{byte(i*4+g) | 1}, BlockSize)
			err = errors.Join(f.WriteAt(bg, p, int64((i*7+g)%40)*BlockSize), f.Flush())
			if i%5 == 0 {
				err = errors.Join(err, f.Sync(bg))
			}
			if i%9 == 0 {
				_, ferr := f.Freeze()
				err = errors.Join(err, ferr)
			}
			return errors.Join(err, f.Close())
		})
	}
	for g := 0; g < 2; g++ {
		work(func(i int) error {
			f, err := r.s.Open(model.Ino(2+i%3), nil, 0)
			if err != nil {
				return err
			}
			p := make([]byte, BlockSize)
			n, err := f.ReadAt(bg, p, int64(i%40)*BlockSize)
			for _, b := range p[:n] {
				if b != p[0] {
					err = fmt.Errorf("a block holds %d and %d", p[0], b)
				}
			}
			return errors.Join(err, f.Close())
		})
	}
	work(func(int) error {
		lsn := r.j.End()
		return errors.Join(r.s.SyncLayers(bg), r.s.Checkpoint(), r.j.Checkpoint(lsn))
	})
	work(func(int) error {
		_, err := r.s.Evict(1 << 30)
		return err
	})
	wg.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
}

// While a base hangs, the file can be read elsewhere, written, and other files don't care.
func TestBaseHangs(t *testing.T) {
	r := newRig(t, Options{})
	const size = 1 << 20
	h := &hangingBase{memBase: memBase{b: pattern(1, size)}, entered: make(chan struct{}), let: make(chan struct{})}
	f := r.file(2, h, size)
	must(t, f.WriteAt(bg, pattern(2, BlockSize), 8*BlockSize))
	done := make(chan error)
	go func() {
		_, err := f.ReadAt(bg, make([]byte, 100), 0)
		done <- err
	}()
	<-h.entered
	_, err := f.ReadAt(bg, make([]byte, BlockSize), 8*BlockSize)
	must(t, err)
	must(t, f.WriteAt(bg, pattern(3, BlockSize), 0))
	must(t, f.Sync(bg))
	close(h.let)
	must(t, <-done)
	got := make([]byte, BlockSize)
	_, err = f.ReadAt(bg, got, 0)
	must(t, err)
	if !bytes.Equal(got, pattern(3, BlockSize)) {
		t.Error("what came late from the base hides what was written since")
	}
	h.err = context.DeadlineExceeded
	if _, err := f.ReadAt(bg, got, 100*BlockSize); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("read with a failing base: %v", err)
	}
	if err := f.WriteAt(bg, []byte("x"), 100*BlockSize+1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("partial write over a failing base: %v", err)
	}
	must(t, f.Close())
}

type hangingBase struct {
	memBase
	once         sync.Once
	entered, let chan struct{}
}

func (h *hangingBase) ReadAt(ctx context.Context, p []byte, off int64) error {
	h.once.Do(func() { close(h.entered) })
	<-h.let
	return h.memBase.ReadAt(ctx, p, off)
}

// Contents of inodes that the index doesn't know are dropped.
func TestOrphans(t *testing.T) {
	r := newRig(t, Options{})
	for ino := model.Ino(2); ino < 4; ino++ {
		f := r.file(ino, nil, 0)
		must(t, f.WriteAt(bg, pattern(1, 100_000), 0))
		must(t, f.Sync(bg))
		must(t, f.Close())
	}
	must(t, r.s.Close())
	must(t, r.j.Close())
	j, s := r.openOnly()
	must(t, s.Ready(func(ino model.Ino) bool { return ino == 3 }))
	r.j, r.s = j, s
	var got []model.Ino
	must(t, s.DirtyInos(func(ino model.Ino, version uint64, size, mtime, ctime int64) bool {
		got = append(got, ino)
		if size != 100_000 || version == 0 {
			t.Errorf("inode %d: size %d, version %d", ino, size, version)
		}
		return true
	}))
	if len(got) != 1 || got[0] != 3 {
		t.Errorf("dirty inodes: %v", got)
	}
}

func (r *rig) openOnly() (*journal.Journal, *Stage) {
	j, err := journal.Open(r.home+"/journal", journal.Options{BootID: r.boot, SegmentSize: 1 << 20})
	must(r.t, err)
	s, err := Open(r.home+"/stage", j, r.opt)
	must(r.t, err)
	must(r.t, j.Replay(func(rec journal.Record) error {
		if rec.Kind < journal.FirstStageKind {
			return nil
		}
		return s.ReplayRecord(rec)
	}))
	return j, s
}

// Many tiny writes to one file don't pile up pieces, and memory doesn't follow the number of dirty files.
func TestBounded(t *testing.T) {
	r := newRig(t, Options{IdleNodes: 50})
	f := r.file(2, nil, 0)
	for i := 0; i < 5000; i++ {
		must(t, f.WriteAt(bg, []byte{byte(i)}, int64(i*7%9000)))
	}
	if n := len(f.n.top().pieces); n > 6000 {
		t.Errorf("%d pieces", n)
	}
	for i := 0; i < 5000; i++ {
		must(t, f.WriteAt(bg, []byte{byte(i)}, int64(i%3000)))
	}
	if n := len(f.n.top().pieces); n > 3500 {
		t.Errorf("%d pieces", n)
	}
	must(t, f.Close())
	for i := 0; i < 1000; i++ {
		f := r.file(model.Ino(10+i), nil, 0)
		must(t, f.WriteAt(bg, []byte("small"), 0))
		must(t, f.Close())
	}
	must(t, r.s.trim())
	if n := len(r.s.inMemory()); n > 60 {
		t.Errorf("%d contents in memory", n)
	}
	f = r.file(500, nil, 0)
	wantBytes(t, f, []byte("small"))
	must(t, f.Close())
}

// Stored small contents leave with their segments, oldest first; a segment with dirty content stays.
func TestEvictSegments(t *testing.T) {
	r := newRig(t, Options{IdleNodes: 8})
	want := map[model.Ino][]byte{}
	for i := 0; i < 100; i++ { // several segments of 1 MiB
		ino := model.Ino(2 + i)
		want[ino] = pattern(byte(i), 50_000)
		f := r.file(ino, nil, 0)
		must(t, f.WriteAt(bg, want[ino], 0))
		v, err := f.Freeze()
		must(t, err)
		must(t, f.Close())
		if ino != 3 {
			must(t, r.s.Stored(ino, v))
		}
	}
	r.checkpoint()
	u := r.s.Usage()
	freed, err := r.s.Evict(1 << 40)
	must(t, err)
	after := r.s.Usage()
	if after.Dirty != 50_000 || u.Cached-after.Cached != freed || freed < 3_000_000 {
		t.Errorf("freed %d; before %+v, after %+v", freed, u, after)
	}
	r.reopen()
	for ino, b := range want {
		var base Base
		if ino != 3 {
			base = &memBase{b: b}
		}
		f := r.file(ino, base, int64(len(b)))
		wantBytes(t, f, b)
		must(t, f.Close())
	}
}

// What is stored and must stay does stay: in a layer of its own, and in a segment of the journal also when it isn't in memory.
func TestEvictKeeps(t *testing.T) {
	keep := map[model.Ino]bool{3: true, 60: true}
	r := newRig(t, Options{IdleNodes: 8, Keep: func(ino model.Ino) bool { return keep[ino] }, Kept: func() []model.Ino { return []model.Ino{3, 60} }})
	for i := 0; i < 59; i++ {
		ino, n := model.Ino(2+i), 50_000
		if ino == 60 {
			n = 300_000
		}
		f := r.file(ino, nil, 0)
		must(t, f.WriteAt(bg, pattern(byte(i), n), 0))
		v, err := f.Freeze()
		must(t, err)
		must(t, f.Close())
		must(t, r.s.Stored(ino, v))
	}
	r.checkpoint()
	if _, kept, err := r.s.EvictFile(60); err != nil || kept < 300_000 {
		t.Errorf("%v: %d bytes are kept", err, kept)
	}
	freed, err := r.s.Evict(1 << 40)
	must(t, err)
	if freed == 0 {
		t.Error("nothing was evicted")
	}
	for ino, n := range map[model.Ino]int{3: 50_000, 60: 300_000} {
		f := r.file(ino, nil, int64(n)) // no base to fall back on
		wantBytes(t, f, pattern(byte(ino-2), n))
		must(t, f.Close())
	}
	keep = nil
	if freed, _, err := r.s.EvictFile(60); err != nil || freed == 0 {
		t.Errorf("%v: %d bytes went when nothing keeps them", err, freed)
	}
}

// A few dirty small contents don't keep many old segments from being used again.
func TestMoveForward(t *testing.T) {
	r := newRig(t, Options{})
	for i := 0; i < 10; i++ {
		f := r.file(model.Ino(2+i), nil, 0)
		must(t, f.WriteAt(bg, pattern(byte(i), 3000), 0))
		must(t, f.Close())
		g := r.file(100, nil, 0) // fills the segment with what goes at once
		for k := 0; k < 20; k++ {
			must(t, g.WriteAt(bg, pattern(byte(k), 60_000), 0))
		}
		must(t, g.Close())
	}
	must(t, r.s.Drop(100))
	for i := 0; i < 3; i++ {
		r.checkpoint()
	}
	if n := len(r.s.segs.all()); n > 2 {
		t.Errorf("%d segments are pinned by 30 kB", n)
	}
	r.boot = "boot-2"
	r.reopen()
	for i := 0; i < 10; i++ {
		f := r.file(model.Ino(2+i), nil, 0)
		wantBytes(t, f, pattern(byte(i), 3000))
		must(t, f.Close())
	}
}

// Clean layers of one file don't pile up, whichever of two is the larger.
func TestMergeClean(t *testing.T) {
	for _, first := range []int{30_000, 2_000_000} {
		r := newRig(t, Options{})
		want := pattern(1, 100_000+first)
		base := &memBase{b: bytes.Clone(want)}
		f := r.file(2, base, int64(len(want)))
		for i := 0; i < 12; i++ {
			p := pattern(byte(40+i), 7000+i*first/12)
			off := i * 9000
			must(t, f.WriteAt(bg, p, int64(off)))
			want = append(want, make([]byte, max(off+len(p)-len(want), 0))...)
			copy(want[off:], p)
			switch i % 4 {
			case 1:
				want = want[:len(want)-5003]
				must(t, f.Truncate(bg, int64(len(want))))
			case 2:
				want = append(want, make([]byte, 30_000)...)
				must(t, f.Truncate(bg, int64(len(want))))
			case 3:
				must(t, f.Punch(bg, 20_000, 30_000))
				clear(want[20_000:50_000])
			}
			v, err := f.Freeze()
			must(t, err)
			must(t, r.s.Stored(2, v))
			r.checkpoint()
			wantBytes(t, f, want)
		}
		if n := len(f.n.layers); n > maxClean+1 {
			t.Errorf("%d layers", n)
		}
		must(t, f.Close())
		r.crash()
		f = r.file(2, &memBase{b: want}, int64(len(want)))
		wantBytes(t, f, want)
		must(t, f.Close())
		r.boot = "boot-2"
		r.reopen()
		f = r.file(2, &memBase{b: want}, int64(len(want)))
		wantBytes(t, f, want)
		if c, d := r.s.recount(); c != r.s.cleanBytes.Load() || d != 0 {
			t.Errorf("accounts say clean %d, there are %d (dirty %d)", r.s.cleanBytes.Load(), c, d)
		}
		must(t, f.Close())
	}
}
