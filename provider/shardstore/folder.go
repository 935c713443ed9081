package shardstore

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/cloudcoin/cloudcoin/provider/ids"
	"github.com/cloudcoin/cloudcoin/provider/internal/durable"
)

// Folder is a Store in a local folder:
//
//	DIR/format                    "cloudcoin shards v1\n": the mark of the store
//	DIR/tmp/N                     shards and slots being written; emptied at start
//	DIR/shards/LEASE/XX/ID        a shard's bytes, and nothing else; XX are the first two digits of ID
//	DIR/slots/LEASE/HEX           a slot: value, then CRC-32C of it (4 bytes, big-endian); HEX is the slot's name in hex
//	DIR/damaged/LEASE/ID          shards that were set aside
//
// LEASE and ID are lower-case hex. All of DIR has to be one filesystem.
type Folder struct {
	dir string
	// rooted holds the folders whose own entry in their parent is known to be durable.
	rooted sync.Map // path → struct{}
	flush  flusher
	pace   chan struct{} // bounds the number of files being synced at once
}

var _ Store = (*Folder)(nil)

const (
	formatFile = "format"
	formatMark = "cloudcoin shards v1\n"
)

// ErrNoStore is returned by OpenFolder when the folder doesn't carry the mark of a store.
var ErrNoStore = errors.New("there is no shard store in this folder")

// CreateFolder makes an empty store at dir, which may exist and be empty, or be a store already.
func CreateFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("create shard store: %w", err)
	}
	mark := filepath.Join(dir, formatFile)
	if _, err := os.Stat(mark); err == nil {
		return nil
	}
	f, err := os.OpenFile(mark+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("create shard store: %w", err)
	}
	_, err = f.WriteString(formatMark)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("create shard store: %w", err)
	}
	if err := os.Rename(mark+".new", mark); err != nil {
		return fmt.Errorf("create shard store: %w", err)
	}
	return errors.Join(durable.Dir(dir), durable.Dir(filepath.Dir(dir)))
}

// OpenFolder opens the store at dir and removes what interrupted writes left behind. ErrNoStore is returned when the mark is
// missing, as it is when the disk that belongs there isn't mounted.
func OpenFolder(dir string) (*Folder, error) {
	mark, err := os.ReadFile(filepath.Join(dir, formatFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open %s: %w", dir, ErrNoStore)
	}
	if err != nil {
		return nil, fmt.Errorf("open shard store: %w", err)
	}
	if string(mark) != formatMark {
		return nil, fmt.Errorf("open shard store %s: its format is %.40q, this program knows %q", dir, mark, formatMark)
	}
	f := &Folder{dir: dir, pace: make(chan struct{}, 32)}
	if err := os.RemoveAll(filepath.Join(dir, "tmp")); err != nil {
		return nil, fmt.Errorf("remove interrupted writes: %w", err)
	}
	for _, sub := range []string{"tmp", "shards", "slots", "damaged"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return nil, fmt.Errorf("open shard store: %w", err)
		}
	}
	if err := durable.Dir(dir); err != nil {
		return nil, fmt.Errorf("open shard store: %w", err)
	}
	return f, nil
}

// Close implements Store.
func (f *Folder) Close() error { return nil }

func (f *Folder) leaseDir(lease ids.Lease) string {
	return filepath.Join(f.dir, "shards", lease.String())
}

func (f *Folder) shardPath(lease ids.Lease, id ids.Shard) string {
	name := id.String()
	return filepath.Join(f.leaseDir(lease), name[:2], name)
}

// Open implements Store.
func (f *Folder) Open(lease ids.Lease, id ids.Shard) (Shard, error) {
	file, err := os.Open(f.shardPath(lease, id))
	if err != nil {
		return nil, mapError(err)
	}
	return file, nil
}

// Stat implements Store.
func (f *Folder) Stat(lease ids.Lease, id ids.Shard) (int64, error) {
	st, err := os.Stat(f.shardPath(lease, id))
	if err != nil {
		return 0, mapError(err)
	}
	return st.Size(), nil
}

// Delete implements Store.
func (f *Folder) Delete(lease ids.Lease, shards []ids.Shard) error {
	touched := map[string]struct{}{}
	for _, id := range shards {
		path := f.shardPath(lease, id)
		err := os.Remove(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("delete shard %s: %w", id, mapError(err))
		}
		touched[filepath.Dir(path)] = struct{}{}
	}
	for dir := range touched {
		if err := f.flush.dir(dir); err != nil {
			return err
		}
	}
	return nil
}

// SetAside implements Store.
func (f *Folder) SetAside(lease ids.Lease, id ids.Shard) error {
	aside := filepath.Join(f.dir, "damaged", lease.String())
	if err := f.makeDir(aside); err != nil {
		return err
	}
	path := f.shardPath(lease, id)
	if err := os.Rename(path, filepath.Join(aside, id.String())); err != nil {
		return fmt.Errorf("set shard %s aside: %w", id, mapError(err))
	}
	return errors.Join(f.flush.dir(aside), f.flush.dir(filepath.Dir(path)))
}

// Leases implements Store.
func (f *Folder) Leases() ([]ids.Lease, error) {
	seen := map[ids.Lease]struct{}{}
	for _, sub := range []string{"shards", "slots"} {
		names, err := readNames(filepath.Join(f.dir, sub))
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if id, err := ids.ParseLease(name); err == nil {
				seen[id] = struct{}{}
			}
		}
	}
	out := make([]ids.Lease, 0, len(seen))
	for id := range seen {
		out = append(out, id)
	}
	return out, nil
}

// DropLease implements Store.
func (f *Folder) DropLease(lease ids.Lease) error {
	for _, sub := range []string{"shards", "slots", "damaged"} {
		dir := filepath.Join(f.dir, sub, lease.String())
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("drop lease %s: %w", lease, err)
		}
		f.forgetDirs(dir)
		if err := f.flush.dir(filepath.Join(f.dir, sub)); err != nil {
			return err
		}
	}
	return nil
}

// Room implements Store. A hundredth of the disk (at most 256 MiB) stays unused, so that the ledger can always record a deletion.
func (f *Folder) Room() (free, total int64, err error) {
	free, total, err = diskRoom(f.dir)
	if err != nil {
		return 0, 0, fmt.Errorf("room on the disk of %s: %w", f.dir, err)
	}
	return max(0, free-min(total/100, 256<<20)), total, nil
}

// makeDir makes a folder below f.dir, and returns when its entry, and those of the folders above it, are durable.
func (f *Folder) makeDir(dir string) error {
	fresh, err := f.mkdirs(dir)
	if err != nil {
		return err
	}
	return f.root(fresh)
}

// mkdirs makes a folder below f.dir and those above it, and returns the ones whose own entry isn't known to be durable.
func (f *Folder) mkdirs(dir string) (fresh []string, err error) {
	if _, ok := f.rooted.Load(dir); ok || dir == f.dir {
		return nil, nil
	}
	if fresh, err = f.mkdirs(filepath.Dir(dir)); err != nil {
		return nil, err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, mapError(err)
	}
	return append(fresh, dir), nil
}

// root makes the entries of folders durable and remembers that.
func (f *Folder) root(fresh []string) error {
	for _, dir := range fresh {
		if err := f.flush.dir(filepath.Dir(dir)); err != nil {
			return err
		}
		f.rooted.Store(dir, struct{}{})
	}
	return nil
}

// forgetDirs ends the trust in a removed folder and those below it.
func (f *Folder) forgetDirs(root string) {
	f.rooted.Range(func(k, _ any) bool {
		dir := k.(string)
		if dir == root || len(dir) > len(root) && dir[:len(root)+1] == root+string(filepath.Separator) {
			f.rooted.Delete(dir)
		}
		return true
	})
}

// shardName reads a file's name in a listing; false for anything that isn't a shard.
func shardName(name string) (id ids.Shard, ok bool) {
	if len(name) != hex.EncodedLen(len(id)) {
		return id, false
	}
	_, err := hex.Decode(id[:], []byte(name))
	return id, err == nil
}

// mapError turns the system's errors into those of this package, keeping the cause.
func mapError(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	case isFull(err):
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}
