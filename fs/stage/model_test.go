package stage

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

// naive is what a file should be.
type naive struct {
	now    []byte
	synced []byte
	stored []byte // content of the base that the index would name
	dirty  bool
	frozen map[uint64][]byte
	order  []uint64
	f      *File
	snaps  map[*Snapshot][]byte
	maxVer uint64
}

type machine struct {
	t     *rapid.T
	r     *rig
	files map[model.Ino]*naive
}

func (m *machine) pick() (model.Ino, *naive) {
	ino := model.Ino(rapid.IntRange(1, 3).Draw(m.t, "ino"))
	x := m.files[ino]
	if x == nil {
		n := rapid.SampledFrom([]int{0, 0, 5000, 60_000, 150_000}).Draw(m.t, "base")
		x = &naive{stored: pattern(byte(ino), n), frozen: map[uint64][]byte{}, snaps: map[*Snapshot][]byte{}}
		x.now = bytes.Clone(x.stored)
		m.files[ino] = x
	}
	return ino, x
}

func (m *machine) open(ino model.Ino, x *naive) *File {
	if x.f == nil {
		f, err := m.r.s.Open(ino, &memBase{b: x.stored}, int64(len(x.stored)))
		must(m.t, err)
		x.f = f
	}
	return x.f
}

func (m *machine) off(x *naive) int64 {
	limit := len(x.now) + 9000
	if rapid.Bool().Draw(m.t, "small") {
		limit = min(limit, InlineLimit)
	}
	o := int64(rapid.IntRange(0, limit).Draw(m.t, "off"))
	if rapid.Bool().Draw(m.t, "aligned") {
		o = blockFloor(o)
	}
	return o
}

func (x *naive) grow(n int64) {
	if int64(len(x.now)) < n {
		x.now = append(x.now[:len(x.now):len(x.now)], make([]byte, n-int64(len(x.now)))...)
	} else {
		x.now = bytes.Clone(x.now)
	}
}

func (m *machine) step() error {
	ino, x := m.pick()
	f := m.open(ino, x)
	op := rapid.SampledFrom([]string{
		"write", "write", "write", "write", "truncate", "punch", "read", "sync", "flush", "freeze", "freeze",
		"stored", "evict", "evictfile", "snapshot", "unsnap", "close", "checkpoint", "trim", "kill", "reopen", "seek", "drop",
	}).Draw(m.t, "op")
	switch op {
	case "write":
		off := m.off(x)
		n := rapid.SampledFrom([]int{1, 100, 4096, 5000, 20_000, 70_000}).Draw(m.t, "n")
		p := pattern(byte(rapid.IntRange(0, 255).Draw(m.t, "seed")), n)
		must(m.t, f.WriteAt(bg, p, off))
		x.grow(off + int64(n))
		copy(x.now[off:], p)
		x.dirty = true
	case "truncate":
		n := m.off(x)
		if n == int64(len(x.now)) {
			break
		}
		must(m.t, f.Truncate(bg, n))
		if n < int64(len(x.now)) {
			x.now = bytes.Clone(x.now[:n])
		}
		x.grow(n)
		x.dirty = true
	case "punch":
		off := m.off(x)
		n := int64(rapid.IntRange(0, 30_000).Draw(m.t, "n"))
		must(m.t, f.Punch(bg, off, n))
		x.grow(0)
		if off < int64(len(x.now)) {
			end := min(off+n, int64(len(x.now)))
			clear(x.now[off:end])
			x.dirty = f.Dirty()
			// whole blocks are holes now
			if from := blockCeil(off); from+BlockSize <= end {
				if h, err := f.Seek(bg, from, SeekHole); err != nil || h != from {
					return fmt.Errorf("hole at %d after punch: %d, %v", from, h, err)
				}
			}
		}
	case "read":
		if f.Size() != int64(len(x.now)) {
			return fmt.Errorf("size %d, want %d", f.Size(), len(x.now))
		}
		off := m.off(x)
		p := make([]byte, rapid.IntRange(0, 50_000).Draw(m.t, "n"))
		n, err := f.ReadAt(bg, p, off)
		if err != nil {
			return err
		}
		want := []byte{}
		if off < int64(len(x.now)) {
			want = x.now[off:min(off+int64(len(p)), int64(len(x.now)))]
		}
		if !bytes.Equal(p[:n], want) {
			return errors.New("read differs")
		}
	case "seek":
		return m.seek(f, x)
	case "sync":
		must(m.t, f.Sync(bg))
		x.synced = x.now
	case "flush":
		must(m.t, f.Flush())
	case "freeze":
		v, err := f.Freeze()
		must(m.t, err)
		if v != f.Version() {
			return fmt.Errorf("froze %d, version is %d", v, f.Version())
		}
		if x.dirty {
			if v < x.maxVer {
				return fmt.Errorf("version %d after %d", v, x.maxVer)
			}
			x.maxVer = v
			if old, ok := x.frozen[v]; ok && !bytes.Equal(old, x.now) {
				return fmt.Errorf("version %d frozen twice with other content", v)
			}
			if _, ok := x.frozen[v]; !ok {
				x.order = append(x.order, v)
			}
			x.frozen[v] = x.now
		}
	case "stored":
		if len(x.order) == 0 {
			break
		}
		i := rapid.IntRange(0, len(x.order)-1).Draw(m.t, "version")
		v := x.order[i]
		x.stored = x.frozen[v]
		must(m.t, m.r.s.Stored(ino, v))
		x.order = x.order[i+1:]
		if len(x.order) == 0 && f.Version() == v {
			x.dirty = false
		}
		if rapid.Bool().Draw(m.t, "setbase") {
			f.SetBase(&memBase{b: x.stored})
		}
		if f.Dirty() != x.dirty {
			return fmt.Errorf("dirty is %v", f.Dirty())
		}
	case "evict":
		if _, err := m.r.s.Evict(1 << 40); err != nil {
			return err
		}
	case "evictfile":
		if _, _, err := m.r.s.EvictFile(ino); err != nil {
			return err
		}
	case "snapshot":
		if len(x.order) == 0 || len(x.snaps) > 3 {
			break
		}
		v := x.order[rapid.IntRange(0, len(x.order)-1).Draw(m.t, "version")]
		s, err := m.r.s.Snapshot(ino, v, &memBase{b: x.stored})
		if err != nil {
			return err
		}
		x.snaps[s] = x.frozen[v]
		if err := checkRanges(s, x.stored, x.frozen[v]); err != nil {
			return err
		}
	case "unsnap":
		for s, want := range x.snaps {
			got := make([]byte, s.Size())
			if _, err := s.ReadAt(bg, got, 0); err != nil || !bytes.Equal(got, want) {
				return fmt.Errorf("snapshot differs (%v)", err)
			}
			must(m.t, s.Close())
			delete(x.snaps, s)
		}
	case "close":
		must(m.t, f.Flush())
		must(m.t, f.Close())
		x.f = nil
	case "checkpoint":
		m.r.checkpoint()
	case "trim":
		must(m.t, m.r.s.trim())
	case "drop":
		must(m.t, m.r.s.Drop(ino))
		if got := readAll(m.t, f); !bytes.Equal(got, x.now) {
			return errors.New("an open file lost its content when it was dropped")
		}
		must(m.t, f.WriteAt(bg, []byte("ghost"), 3))
		must(m.t, f.Sync(bg))
		x.f, x.dirty, x.order, x.frozen, x.now, x.synced = nil, false, nil, map[uint64][]byte{}, x.stored, nil
		for s := range x.snaps {
			must(m.t, s.Close())
		}
		clear(x.snaps)
		must(m.t, f.Close())
	case "kill", "reopen":
		for _, x := range m.files {
			for s := range x.snaps {
				must(m.t, s.Close())
			}
			clear(x.snaps)
			if x.f != nil {
				must(m.t, x.f.Flush())
				if op == "reopen" {
					must(m.t, x.f.Close())
				}
				x.f = nil
			}
		}
		if op == "kill" {
			m.r.crash()
		} else {
			m.r.reopen()
		}
		for ino, x := range m.files {
			g := m.open(ino, x)
			if g.Dirty() != x.dirty {
				return fmt.Errorf("inode %d: dirty is %v after %s", ino, g.Dirty(), op)
			}
			if got := readAll(m.t, g); !bytes.Equal(got, x.now) {
				return fmt.Errorf("inode %d: content differs after %s: %d bytes, want %d", ino, op, len(got), len(x.now))
			}
		}
	}
	return nil
}

// seek compares with the bytes: what is a hole must be zeros, and a block that was written isn't in one.
func (m *machine) seek(f *File, x *naive) error {
	size := int64(len(x.now))
	for at := int64(0); at < size; {
		d, err := f.Seek(bg, at, SeekData)
		if errors.Is(err, syscall.ENXIO) {
			d = size
		} else if err != nil {
			return err
		}
		if !allZero(x.now[at:d]) {
			return fmt.Errorf("data in the hole at %d to %d", at, d)
		}
		if d == size {
			return nil
		}
		h, err := f.Seek(bg, d, SeekHole)
		if err != nil || h <= d {
			return fmt.Errorf("hole after %d is at %d: %v", d, h, err)
		}
		at = h
	}
	return nil
}

// checkRanges rebuilds the version from the base and the ranges that a snapshot names.
func checkRanges(s *Snapshot, base, want []byte) error {
	got := make([]byte, s.Size())
	copy(got, base)
	var err error
	last := int64(0)
	s.DirtyRanges(func(off, n int64, hole bool) bool {
		if off < last || n <= 0 || off+n > s.Size() {
			err = fmt.Errorf("range %d of %d after %d", off, n, last)
			return false
		}
		last = off + n
		if hole {
			clear(got[off : off+n])
			return true
		}
		_, err = s.ReadAt(bg, got[off:off+n], off)
		return err == nil
	})
	if err == nil && !bytes.Equal(got, want) {
		err = errors.New("base and dirty ranges don't make the version")
	}
	return err
}

func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := &rig{t: t, home: t.TempDir(), boot: "boot-1", opt: Options{IdleNodes: 1}}
		r.open()
		m := &machine{t: rt, r: r, files: map[model.Ino]*naive{}}
		r.s.opt.Base = nil
		ok := false
		defer func() {
			if !ok && r.s != nil {
				r.abandon()
			}
			os.RemoveAll(r.home)
		}()
		n := rapid.IntRange(1, 60).Draw(rt, "steps")
		for i := 0; i < n; i++ {
			if err := m.step(); err != nil {
				rt.Fatal(err)
			}
		}
		for ino, x := range m.files {
			f := m.open(ino, x)
			got := readAll(t, f)
			if !bytes.Equal(got, x.now) {
				for i := range got {
					if i >= len(x.now) || got[i] != x.now[i] {
						rt.Logf("first difference at %d of %d, %d: %x, want %x", i, len(got), len(x.now), got[i:i+16], x.now[i:i+16])
						break
					}
				}
				rt.Fatalf("inode %d differs at the end", ino)
			}
			for s := range x.snaps {
				must(t, s.Close())
			}
			must(t, f.Close())
		}
		r.halt() // it may be the last to let go of a content
		if c, d := r.s.recount(); c != r.s.cleanBytes.Load() || d != r.s.dirtyBytes.Load() {
			rt.Fatalf("accounts say clean %d, dirty %d; there are %d, %d", r.s.cleanBytes.Load(), r.s.dirtyBytes.Load(), c, d)
		}
		r.close()
		ok = true
	})
}

// recount sums up what nodes take.
func (s *Stage) recount() (clean, dirty int64) {
	for ino := model.Ino(1); ino <= 3; ino++ {
		n, err := s.acquire(ino)
		if err != nil {
			panic(err)
		}
		for _, l := range n.layers {
			if l.clean {
				clean += l.bytes()
			} else {
				dirty += l.bytes()
			}
		}
		if err := s.release(n); err != nil {
			panic(err)
		}
	}
	return clean, dirty
}
