//go:build linux

package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// Writer writes into one folder. Its own goroutine runs it; Snapshot may be called at any time.
type Writer struct {
	dir string
	rnd *rand.Rand

	mu     sync.Mutex
	names  map[string]*entry
	temps  map[string]*file // temporary files since the folder was adopted
	nextID uint64
	ops    int64
}

// entry is one name since the folder was adopted.
type entry struct {
	now  *file   // has the name
	next *file   // is being renamed to it
	past []*file // had it, oldest first
	seen *file   // which of them Check has found
}

// NewWriter makes a writer for a folder, which is made by Run. seed makes it repeatable; id keeps its files apart from other writers'.
func NewWriter(dir string, id, seed uint64) *Writer {
	return &Writer{dir: dir, rnd: rand.New(rand.NewPCG(seed, id)), names: map[string]*entry{}, temps: map[string]*file{}, nextID: id << 32}
}

// Ops counts acknowledged operations.
func (w *Writer) Ops() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ops
}

// Run writes until ctx ends or an operation fails, which it does when the drive was killed. Errors before the kill are for the caller to judge.
func (w *Writer) Run(ctx context.Context) error {
	if err := os.MkdirAll(w.dir, 0o755); err != nil {
		return err
	}
	if err := syncDir(filepath.Dir(w.dir)); err != nil {
		return err
	}
	for ctx.Err() == nil {
		if err := w.step(); err != nil {
			return err
		}
		w.mu.Lock()
		w.ops++
		w.mu.Unlock()
	}
	return nil
}

func (w *Writer) step() error {
	name, f := w.pick()
	switch n := w.rnd.IntN(100); {
	case f == nil || n < 15:
		return w.create()
	case n < 40:
		return w.overwrite(name, f)
	case n < 55:
		return w.extend(name, f)
	case n < 63:
		return w.shorten(name, f)
	case n < 75:
		return w.replace(name)
	case n < 79:
		return w.carelessReplace(name)
	case n < 85:
		return w.late(name, f)
	case n < 92:
		return w.unlink(name, f)
	default:
		return w.unsynced(name, f)
	}
}

// pick chooses a file at random; nil when there are few.
func (w *Writer) pick() (string, *file) {
	w.mu.Lock()
	defer w.mu.Unlock()
	const few = 5
	names := make([]string, 0, len(w.names))
	for name, e := range w.names {
		if !e.now.gone && len(e.now.written) > 0 {
			names = append(names, name)
		}
	}
	if len(names) < few {
		return "", nil
	}
	slices.Sort(names) // map order isn't repeatable
	name := names[w.rnd.IntN(len(names))]
	return name, w.names[name].now
}

// size draws a number of blocks: mostly small files, some of several MiB.
func (w *Writer) size() int64 {
	switch n := w.rnd.IntN(100); {
	case n < 60:
		return 1 + w.rnd.Int64N(100) // up to 6 KiB
	case n < 90:
		return 1 + w.rnd.Int64N(4000) // up to 250 KiB
	default:
		return 1 + w.rnd.Int64N(40000) // up to 2.5 MiB
	}
}

// note runs fn under the lock: it changes what the oracle knows.
func (w *Writer) note(fn func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fn()
}

func (w *Writer) newFile() *file {
	w.nextID++
	return newFile(w.nextID)
}

func (w *Writer) create() error {
	f := w.newFile()
	name := fmt.Sprintf("file-%d", f.id)
	n := w.size()
	var version uint64
	w.note(func() { w.names[name] = &entry{now: f}; version = f.wrote(0, n) })
	if err := w.write(name, os.O_CREATE|os.O_EXCL, f, version, 0, n); err != nil {
		return err
	}
	if err := syncDir(w.dir); err != nil {
		return err
	}
	w.note(func() { f.named = true })
	return nil
}

// write writes and fsyncs a run of blocks, and notes the acknowledgement.
func (w *Writer) write(name string, flags int, f *file, version uint64, index, n int64) error {
	h, err := os.OpenFile(filepath.Join(w.dir, name), os.O_WRONLY|flags, 0o644)
	if err != nil {
		return err
	}
	defer h.Close()
	if _, err := h.WriteAt(blocks(f.id, version, index, n), index*blockSize); err != nil {
		return err
	}
	if err := h.Sync(); err != nil {
		return err
	}
	w.note(f.synced)
	return h.Close()
}

func (w *Writer) overwrite(name string, f *file) error {
	index := w.rnd.Int64N(int64(len(f.written)))
	n := min(1+w.rnd.Int64N(64), int64(len(f.written))-index)
	var version uint64
	w.note(func() { version = f.wrote(index, n) })
	return w.write(name, 0, f, version, index, n)
}

func (w *Writer) extend(name string, f *file) error {
	index, n := int64(len(f.written)), 1+w.rnd.Int64N(200)
	var version uint64
	w.note(func() { version = f.wrote(index, n) })
	return w.write(name, 0, f, version, index, n)
}

// shorten cuts a file and fsyncs it.
func (w *Writer) shorten(name string, f *file) error {
	n := 1 + w.rnd.Int64N(int64(len(f.written)))
	w.note(func() { f.cut(n) })
	h, err := os.OpenFile(filepath.Join(w.dir, name), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer h.Close()
	if err := h.Truncate(n * blockSize); err != nil {
		return err
	}
	if err := h.Sync(); err != nil {
		return err
	}
	w.note(f.synced)
	return h.Close()
}

// replace is what careful programs do: a new file, fsync, rename over the old one, fsync of the folder.
func (w *Writer) replace(name string) error {
	f := w.newFile()
	tmp := fmt.Sprintf("tmp-%d", f.id)
	n := w.size()
	var version uint64
	w.note(func() { w.temps[tmp] = f; version = f.wrote(0, n) })
	if err := w.write(tmp, os.O_CREATE|os.O_EXCL, f, version, 0, n); err != nil {
		return err
	}
	return w.rename(tmp, name, f)
}

// rename puts a file over another one. From here on either may be there under the name, whole: Check accepts both until the folder's fsync.
func (w *Writer) rename(tmp, name string, f *file) error {
	w.note(func() {
		f.base = f.acked
		w.names[name].next = f
	})
	if err := os.Rename(filepath.Join(w.dir, tmp), filepath.Join(w.dir, name)); err != nil {
		return err
	}
	if err := syncDir(w.dir); err != nil {
		return err
	}
	w.note(func() {
		e := w.names[name]
		f.named = true
		e.past, e.now, e.next = append(e.past, e.now), f, nil
	})
	return nil
}

// carelessReplace is replace without fsync of the file, which may have been longer once. The drive promises more than POSIX: the old content or the new one.
func (w *Writer) carelessReplace(name string) error {
	f := w.newFile()
	tmp := fmt.Sprintf("tmp-%d", f.id)
	n := w.size()
	keep := 1 + w.rnd.Int64N(n)
	var version uint64
	w.note(func() { w.temps[tmp] = f; version = f.wrote(0, n) })
	h, err := os.OpenFile(filepath.Join(w.dir, tmp), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	if _, err = h.WriteAt(blocks(f.id, version, 0, n), 0); err == nil && w.rnd.IntN(2) == 0 {
		w.note(func() { f.cut(keep) })
		err = h.Truncate(keep * blockSize)
	}
	if err = errors.Join(err, h.Close()); err != nil {
		return err
	}
	w.note(f.synced) // by the rename
	return w.rename(tmp, name, f)
}

// late writes much, closes the file, and fsyncs it by another descriptor.
func (w *Writer) late(name string, f *file) error {
	n := 1 + w.rnd.Int64N(12000)
	var version uint64
	w.note(func() { version = f.wrote(0, n) })
	path := filepath.Join(w.dir, name)
	h, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = h.WriteAt(blocks(f.id, version, 0, n), 0)
	if err = errors.Join(err, h.Close()); err != nil {
		return err
	}
	if err := syncDir(path); err != nil {
		return err
	}
	w.note(f.synced)
	return nil
}

func (w *Writer) unlink(name string, f *file) error {
	w.note(func() { f.gone = true })
	if err := os.Remove(filepath.Join(w.dir, name)); err != nil {
		return err
	}
	if err := syncDir(w.dir); err != nil {
		return err
	}
	w.note(func() { f.goneAck = true })
	return nil
}

// unsynced writes without fsync: it may be lost, but must not harm anything.
func (w *Writer) unsynced(name string, f *file) error {
	index := w.rnd.Int64N(int64(len(f.written)))
	n := min(1+w.rnd.Int64N(64), int64(len(f.written))-index)
	var version uint64
	w.note(func() { version = f.wrote(index, n) })
	h, err := os.OpenFile(filepath.Join(w.dir, name), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = h.WriteAt(blocks(f.id, version, index, n), index*blockSize)
	return errors.Join(err, h.Close())
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
