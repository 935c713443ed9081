package shardstore

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/cloudcoin/cloudcoin/provider/ids"
)

// List implements Store. It reads only the subfolders that the page touches, each whole: they are a 256th of the lease.
func (f *Folder) List(lease ids.Lease, after *ids.Shard, limit int) ([]Entry, error) {
	first := 0
	if after != nil {
		first = int(after[0])
	}
	var page []Entry
	for sub := first; sub < 256 && len(page) < limit; sub++ {
		dir := filepath.Join(f.leaseDir(lease), fmt.Sprintf("%02x", sub))
		found, err := readIDs(dir, after)
		if err != nil {
			return nil, err
		}
		for _, id := range found {
			if len(page) == limit {
				break
			}
			st, err := os.Lstat(filepath.Join(dir, id.String()))
			if errors.Is(err, fs.ErrNotExist) {
				continue // deleted since the folder was read
			}
			if err != nil {
				return nil, fmt.Errorf("list lease %s: %w", lease, err)
			}
			page = append(page, Entry{ID: id, Size: st.Size()})
		}
	}
	return page, nil
}

// readIDs returns the shards in a subfolder above after, sorted. A folder that doesn't exist is empty.
func readIDs(dir string, after *ids.Shard) ([]ids.Shard, error) {
	names, err := readNames(dir)
	if err != nil {
		return nil, err
	}
	found := make([]ids.Shard, 0, len(names))
	for _, name := range names {
		if id, ok := shardName(name); ok && (after == nil || bytes.Compare(id[:], after[:]) > 0) {
			found = append(found, id)
		}
	}
	slices.SortFunc(found, func(a, b ids.Shard) int { return bytes.Compare(a[:], b[:]) })
	return found, nil
}

// readNames returns the names in a folder in no order; none when it doesn't exist.
func readNames(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read folder: %w", err)
	}
	defer d.Close() //nolint:errcheck // read only
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("read folder: %w", err)
	}
	return names, nil
}
