package shardstore

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/cloudcoin/cloudcoin/provider/ids"
	"github.com/cloudcoin/cloudcoin/provider/internal/durable"
	"github.com/cloudcoin/cloudcoin/provider/internal/group"
)

// folderWriter is a temporary file on its way to becoming a shard.
type folderWriter struct {
	store *Folder
	file  *os.File // nil after the end
	path  string   // where Commit puts it

	written int64 // bytes
	begun   int64 // how many of them the system was asked to write to the disk
}

// beginStep is how many bytes come before the system is asked to write them to the disk, beside the arrival of the next ones.
const beginStep = 1 << 20

// Create implements Store.
func (f *Folder) Create(lease ids.Lease, id ids.Shard) (Writer, error) {
	return f.create(f.shardPath(lease, id))
}

func (f *Folder) create(path string) (*folderWriter, error) {
	file, err := os.CreateTemp(filepath.Join(f.dir, "tmp"), "")
	if err != nil {
		return nil, mapError(err)
	}
	return &folderWriter{store: f, file: file, path: path}, nil
}

func (w *folderWriter) Write(p []byte) (int, error) {
	n, err := w.file.Write(p)
	if w.written += int64(n); w.written-w.begun >= beginStep {
		durable.Begin(w.file, w.begun, w.written-w.begun)
		w.begun = w.written
	}
	if err != nil {
		return n, mapError(err)
	}
	return n, nil
}

// Sync implements Writer.
func (w *folderWriter) Sync() error {
	w.store.pace <- struct{}{}
	defer func() { <-w.store.pace }()
	if err := durable.Data(w.file); err != nil {
		return fmt.Errorf("sync %s: %w", w.file.Name(), mapError(err))
	}
	return nil
}

// Commit implements Writer.
func (w *folderWriter) Commit() error {
	temp := w.file.Name()
	if err := w.file.Close(); err != nil {
		return errors.Join(mapError(err), w.drop(temp))
	}
	dir := filepath.Dir(w.path)
	if err := w.store.makeDir(dir); err != nil {
		return errors.Join(err, w.drop(temp))
	}
	if err := os.Rename(temp, w.path); err != nil {
		return errors.Join(mapError(err), w.drop(temp))
	}
	w.file = nil
	return w.store.flush.dir(dir)
}

// Publish implements Writer.
func (w *folderWriter) Publish() error {
	if !renamesOpen {
		if err := w.Sync(); err != nil {
			return err
		}
		return w.Commit()
	}
	dir, file := filepath.Dir(w.path), w.file
	fresh, err := w.store.mkdirs(dir)
	if err != nil {
		return errors.Join(err, w.Abort())
	}
	if err := os.Rename(file.Name(), w.path); err != nil {
		return errors.Join(mapError(err), w.Abort())
	}
	w.file = nil
	// The bytes first: a journalling filesystem then has written the name with them, and finds nothing to do for the folder. At the same time
	// the folder's sync would end a transaction before the bytes are in it, and cost a second one.
	w.store.pace <- struct{}{}
	err = durable.Data(file)
	<-w.store.pace
	return errors.Join(mapError(err), w.store.root(fresh), w.store.flush.dir(dir), file.Close())
}

// Abort implements Writer.
func (w *folderWriter) Abort() error {
	if w.file == nil {
		return nil
	}
	temp := w.file.Name()
	return errors.Join(w.file.Close(), w.drop(temp))
}

func (w *folderWriter) drop(temp string) error {
	w.file = nil
	return os.Remove(temp)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (f *Folder) slotPath(lease ids.Lease, name string) string {
	return filepath.Join(f.dir, "slots", lease.String(), hex.EncodeToString([]byte(name)))
}

// PutSlot implements Store.
func (f *Folder) PutSlot(lease ids.Lease, name string, value []byte) error {
	w, err := f.create(f.slotPath(lease, name))
	if err != nil {
		return fmt.Errorf("put slot %s: %w", name, err)
	}
	_, err = w.Write(binary.BigEndian.AppendUint32(slices.Clone(value), crc32.Checksum(value, castagnoli)))
	if err == nil {
		err = w.Sync()
	}
	if err == nil {
		err = w.Commit()
	}
	if err != nil {
		return errors.Join(fmt.Errorf("put slot %s: %w", name, err), w.Abort())
	}
	return nil
}

// Slot implements Store.
func (f *Folder) Slot(lease ids.Lease, name string) ([]byte, error) {
	file, err := os.Open(f.slotPath(lease, name))
	if err != nil {
		return nil, mapError(err)
	}
	defer file.Close() //nolint:errcheck // read only
	b, err := io.ReadAll(io.LimitReader(file, MaxSlot+5))
	if err != nil {
		return nil, fmt.Errorf("slot %s: %w", name, err)
	}
	n := len(b) - 4
	if n < 0 || n > MaxSlot || crc32.Checksum(b[:n], castagnoli) != binary.BigEndian.Uint32(b[n:]) {
		return nil, fmt.Errorf("slot %s: %w", name, ErrDamaged)
	}
	return b[:n], nil
}

// Slots implements Store.
func (f *Folder) Slots(lease ids.Lease) ([]string, error) {
	files, err := readNames(filepath.Join(f.dir, "slots", lease.String()))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, file := range files {
		if name, err := hex.DecodeString(file); err == nil {
			names = append(names, string(name))
		}
	}
	slices.Sort(names)
	return names, nil
}

// flusher syncs folders; one sync serves all who wait for the same folder.
type flusher struct {
	mu    sync.Mutex
	calls map[string]*waiters
}

type waiters struct {
	group.Call
	n int // goroutines inside dir
}

// dir returns when all entries that were made in or removed from the folder before the call are durable.
func (f *flusher) dir(dir string) error {
	f.mu.Lock()
	if f.calls == nil {
		f.calls = map[string]*waiters{}
	}
	w := f.calls[dir]
	if w == nil {
		w = &waiters{}
		f.calls[dir] = w
	}
	w.n++
	f.mu.Unlock()
	err := w.Do(func() error { return durable.Dir(dir) })
	f.mu.Lock()
	defer f.mu.Unlock()
	if w.n--; w.n == 0 {
		delete(f.calls, dir)
	}
	if err != nil {
		return fmt.Errorf("sync folder %s: %w", dir, mapError(err))
	}
	return nil
}
