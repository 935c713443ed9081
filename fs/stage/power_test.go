//go:build linux

package stage

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/cloudcoin/cloudcoin/sync/journal"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// disk remembers what of the layer files was synced.
type disk struct {
	mu   sync.Mutex
	dir  string
	have map[string]string // layer file, relative to the home → copy of it as of its last sync
	home string
	sums int // what a power cut leaves of files of sums: 0 all that was written, 1 what was synced, 2 one or the other
}

func (d *disk) watch(s *Stage) {
	s.datasync = func(f *os.File) error {
		d.mu.Lock()
		defer d.mu.Unlock()
		if err := datasync(f); err != nil {
			return err
		}
		rel, err := filepath.Rel(d.home, f.Name())
		if err != nil {
			return err
		}
		to := filepath.Join(d.dir, strings.ReplaceAll(rel, "/", "-"))
		d.have[rel] = to
		return copySparse(f.Name(), to)
	}
}

// powerCut gives a copy of the home as the worst power cut leaves it: of the journal what was durable, of the layer files what was synced, of the cache files nothing.
func (d *disk) powerCut(r *rig, to string) error {
	durable := r.j.Durable()
	if err := copyTree(r.home, to); err != nil {
		return err
	}
	segs, err := filepath.Glob(filepath.Join(to, "journal", "segment-*"))
	if err != nil {
		return err
	}
	for _, name := range segs {
		if err := cutSegment(name, durable); err != nil {
			return err
		}
	}
	caches, err := filepath.Glob(filepath.Join(to, "stage", "cache", "0*"))
	if err != nil {
		return err
	}
	layers, err := filepath.Glob(filepath.Join(to, "stage", "layers", "*", "*"))
	if err != nil {
		return err
	}
	for i, name := range append(caches, layers...) {
		if strings.HasSuffix(name, sumsSuffix) && (d.sums == 1 || d.sums == 2 && i%2 == 0) {
			if err := d.restore(to, name); err != nil {
				return err
			}
		}
		if _, _, ok := layerName(filepath.Base(name)); !ok && filepath.Base(filepath.Dir(name)) != "cache" {
			continue // a sidecar
		}
		if err := d.restore(to, name); err != nil {
			return err
		}
	}
	return nil
}

// restore makes a file of the home to what it was when it was synced.
func (d *disk) restore(to, name string) error {
	rel, err := filepath.Rel(to, name)
	if err != nil {
		return err
	}
	if err := os.Truncate(name, 0); err != nil {
		return err
	}
	if from := d.have[rel]; from != "" {
		return copySparse(from, name)
	}
	return nil
}

// cutSegment zeroes what lies behind the durable position of the journal.
func cutSegment(name string, durable journal.LSN) error {
	b, err := os.ReadFile(name)
	if err != nil || len(b) < 4096 || string(b[:8]) != "CCJSEG01" {
		return err
	}
	base := journal.LSN(binary.LittleEndian.Uint64(b[24:]))
	from := int64(4096)
	if durable > base {
		from = min(from+int64(durable-base), int64(len(b)))
	}
	clear(b[from:])
	return os.WriteFile(name, b, 0o600)
}

// durableFile is what must be there after a power cut.
type durableFile struct {
	f      *File
	now    []byte
	synced []byte
	loose  []bool // bytes that were changed since the last sync
	stored []byte
	frozen map[uint64][]byte
}

func (x *durableFile) touch(from, to int) {
	for len(x.loose) < to {
		x.loose = append(x.loose, false)
	}
	for i := from; i < to; i++ {
		x.loose[i] = true
	}
}

func (x *durableFile) resize(n int) {
	for len(x.now) < n {
		x.now = append(x.now, make([]byte, n-len(x.now))...)
	}
	x.now = x.now[:n]
}

// check compares what a power cut left with what was durable.
func (x *durableFile) check(got []byte) error {
	for i, want := range x.synced {
		if i < len(x.loose) && x.loose[i] {
			continue
		}
		if i >= len(got) {
			return fmt.Errorf("%d bytes are left of %d synced ones", len(got), len(x.synced))
		}
		if got[i] != want {
			return fmt.Errorf("byte %d is %x, %x was synced", i, got[i], want)
		}
	}
	return nil
}

func (x *durableFile) settled(now []byte) {
	x.now = append([]byte(nil), now...)
	x.synced = append([]byte(nil), now...)
	x.loose = nil
}

func TestPowerCut(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := &rig{t: t, home: t.TempDir(), boot: "boot-0", opt: Options{IdleNodes: 1}}
		d := &disk{dir: t.TempDir(), have: map[string]string{}, home: r.home}
		defer os.RemoveAll(d.dir)
		r.hook = d.watch
		r.open()
		defer func() { r.abandon(); os.RemoveAll(r.home) }()
		files := map[model.Ino]*durableFile{}
		n := rapid.IntRange(5, 50).Draw(rt, "steps")
		for i := 0; i < n; i++ {
			ino := model.Ino(rapid.IntRange(1, 3).Draw(rt, "ino"))
			x := files[ino]
			if x == nil {
				x = &durableFile{frozen: map[uint64][]byte{}}
				files[ino] = x
			}
			if x.f == nil {
				f, err := r.s.Open(ino, &memBase{b: x.stored}, int64(len(x.stored)))
				must(rt, err)
				x.f = f
			}
			off := rapid.SampledFrom([]int{0, 0, 100, 4096, 10_000, 60_000, 300_000}).Draw(rt, "off")
			switch rapid.SampledFrom([]string{
				"write", "write", "write", "truncate", "punch", "sync", "sync", "flush", "freeze", "checkpoint", "trim", "stored", "evict", "close", "power", "journal",
			}).Draw(rt, "op") {
			case "write":
				p := pattern(byte(i), rapid.SampledFrom([]int{10, 4096, 20_000, 70_000, 400_000}).Draw(rt, "n"))
				must(rt, x.f.WriteAt(bg, p, int64(off)))
				x.resize(max(len(x.now), off+len(p)))
				copy(x.now[off:], p)
				x.touch(off, off+len(p))
			case "truncate":
				must(rt, x.f.Truncate(bg, int64(off)))
				x.touch(min(off, len(x.now)), max(len(x.now), off, len(x.synced)))
				x.resize(off)
			case "punch":
				must(rt, x.f.Punch(bg, int64(off), 9000))
				if end := min(off+9000, len(x.now)); off < end {
					clear(x.now[off:end])
					x.touch(off, end)
				}
			case "sync":
				must(rt, x.f.Sync(bg))
				x.settled(x.now)
			case "flush":
				must(rt, x.f.Flush())
			case "journal": // somebody else's fsync
				must(rt, r.j.Sync(bg, r.j.End()))
			case "freeze":
				v, err := x.f.Freeze()
				must(rt, err)
				x.frozen[v] = append([]byte(nil), x.now...)
			case "stored":
				v := x.f.Version()
				if x.frozen[v] == nil || !x.f.Dirty() {
					break
				}
				// The engine read it, and the index knows: that is in the journal and durable when it was published.
				x.stored = x.frozen[v]
				must(rt, r.s.Stored(ino, v))
			case "evict":
				_, err := r.s.Evict(1 << 40)
				must(rt, err)
			case "checkpoint":
				lsn := r.j.End()
				must(rt, r.s.SyncLayers(bg))
				must(rt, r.s.Checkpoint())
				must(rt, r.j.Checkpoint(lsn))
			case "trim":
				must(rt, r.s.trim())
			case "close":
				must(rt, x.f.Close())
				x.f = nil
			case "power":
				r.halt()
				to := t.TempDir()
				d.sums = rapid.IntRange(0, 2).Draw(rt, "sums")
				must(rt, d.powerCut(r, to))
				r.abandon()
				os.RemoveAll(r.home)
				r.home, r.boot = to, fmt.Sprintf("boot-%d", i+1)
				d.home, d.have = to, map[string]string{}
				r.open()
				for ino, x := range files {
					f, err := r.s.Open(ino, &memBase{b: x.stored}, int64(len(x.stored)))
					must(rt, err)
					x.f = f
					got := readAll(rt, f)
					if err := x.check(got); err != nil {
						rt.Fatalf("inode %d: %v", ino, err)
					}
					x.settled(got)
					clear(x.frozen)
				}
				// What survived counts as synced: the copy is a new disk.
				names, err := filepath.Glob(filepath.Join(to, "stage", "layers", "*", "*"))
				must(rt, err)
				for _, name := range names {
					if _, _, ok := layerName(strings.TrimSuffix(filepath.Base(name), sumsSuffix)); !ok {
						continue
					}
					rel, err := filepath.Rel(to, name)
					must(rt, err)
					keep := filepath.Join(d.dir, strings.ReplaceAll(rel, "/", "-"))
					d.mu.Lock()
					if d.have[rel] == "" {
						must(rt, copySparse(name, keep))
						d.have[rel] = keep
					}
					d.mu.Unlock()
				}
				if len(r.s.Damaged()) > 0 {
					rt.Fatalf("a power cut is taken for damage: %v", r.s.Damaged())
				}
			}
		}
		for _, x := range files {
			if x.f != nil {
				must(rt, x.f.Close())
			}
		}
	})
}
