package stage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

const (
	cacheFileSize  = 16 << 20
	cacheHeaderLen = 20 // magic, inode, length, CRC-32C
	cacheMagic     = 0x31636363
)

var (
	errCacheGone = errors.New("the cache file was evicted")
	errCacheBad  = errors.New("cached bytes are not what was written")
)

// cacheEntry is where a small fetched content lies.
type cacheEntry struct {
	seg    uint64
	off, n int64
	crc    uint32
	ok     atomic.Bool // was verified since it was loaded
}

// cache is a row of append files with small contents that were fetched. Nothing of it is ever synced: what is read is verified,
// what doesn't verify is fetched again. File numbers are never used twice.
type cache struct {
	dir   string
	total atomic.Int64

	mu    sync.Mutex
	files map[uint64]*cacheFile
	cur   uint64
	next  uint64
}

type cacheFile struct {
	f    *os.File
	size int64
	used int // readers that have it
	gone bool
}

func openCache(dir string) (*cache, error) {
	c := &cache{dir: dir, files: make(map[uint64]*cacheFile), next: 1}
	names, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("open cache: %w", err)
	}
	for _, e := range names {
		no, err := strconv.ParseUint(e.Name(), 16, 64)
		if err != nil || len(e.Name()) != 16 {
			continue
		}
		st, err := e.Info()
		if err != nil {
			return nil, fmt.Errorf("open cache: %w", err)
		}
		c.files[no] = &cacheFile{size: st.Size()}
		c.total.Add(st.Size())
		c.next = max(c.next, no+1)
	}
	// Numbers stay unused for good also when the newest files were evicted: each opening takes a stretch of its own.
	b, err := os.ReadFile(filepath.Join(dir, "next"))
	if err == nil && len(b) == 8 {
		c.next = max(c.next, binary.BigEndian.Uint64(b))
	} else if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("open cache: %w", err)
	}
	c.next = (c.next>>32 + 1) << 32
	if err := writeFileDurable(filepath.Join(dir, "next"), key(0, c.next)[1:]); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *cache) size() int64 { return c.total.Load() }

func (c *cache) path(no uint64) string { return filepath.Join(c.dir, fmt.Sprintf("%016x", no)) }

// put appends a content.
func (c *cache) put(ino model.Ino, b []byte) (*cacheEntry, error) {
	crc := crc32.Checksum(b, castagnoli)
	rec := make([]byte, cacheHeaderLen, cacheHeaderLen+len(b))
	binary.LittleEndian.PutUint32(rec, cacheMagic)
	binary.LittleEndian.PutUint64(rec[4:], uint64(ino))
	binary.LittleEndian.PutUint32(rec[12:], uint32(len(b)))
	binary.LittleEndian.PutUint32(rec[16:], crc)
	rec = append(rec, b...)
	c.mu.Lock()
	defer c.mu.Unlock()
	cf := c.files[c.cur]
	if cf == nil || cf.f == nil || cf.size+int64(len(rec)) > cacheFileSize {
		f, err := os.OpenFile(c.path(c.next), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return nil, fmt.Errorf("cache: %w", err)
		}
		c.cur, cf = c.next, &cacheFile{f: f}
		c.files[c.cur] = cf
		c.next++
	}
	off := cf.size
	if _, err := cf.f.WriteAt(rec, off); err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	cf.size += int64(len(rec))
	c.total.Add(int64(len(rec)))
	e := &cacheEntry{seg: c.cur, off: off, n: int64(len(b)), crc: crc}
	e.ok.Store(true)
	return e, nil
}

// read fills p from a content; the first time all of it is verified.
func (c *cache) read(ino model.Ino, e *cacheEntry, p []byte, off int64) error {
	cf, err := c.take(e.seg)
	if err != nil {
		return err
	}
	defer c.give(cf)
	if off < 0 || e.n > InlineLimit || off+int64(len(p)) > e.n {
		return errCacheBad
	}
	if e.ok.Load() {
		if _, err := cf.f.ReadAt(p, e.off+cacheHeaderLen+off); err != nil {
			return fmt.Errorf("%w: %w", errCacheBad, err)
		}
		return nil
	}
	rec := make([]byte, cacheHeaderLen+e.n)
	if _, err := cf.f.ReadAt(rec, e.off); err != nil {
		return fmt.Errorf("%w: %w", errCacheBad, err)
	}
	b := rec[cacheHeaderLen:]
	if binary.LittleEndian.Uint32(rec) != cacheMagic || binary.LittleEndian.Uint64(rec[4:]) != uint64(ino) ||
		int64(binary.LittleEndian.Uint32(rec[12:])) != e.n || binary.LittleEndian.Uint32(rec[16:]) != e.crc || crc32.Checksum(b, castagnoli) != e.crc {
		return errCacheBad
	}
	e.ok.Store(true)
	copy(p, b[off:])
	return nil
}

func (c *cache) take(no uint64) (*cacheFile, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cf := c.files[no]
	if cf == nil {
		return nil, errCacheGone
	}
	if cf.f == nil {
		f, err := os.Open(c.path(no))
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errCacheGone, err)
		}
		cf.f = f
	}
	cf.used++
	return cf, nil
}

func (c *cache) give(cf *cacheFile) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cf.used--; cf.used == 0 && cf.gone {
		cf.f.Close()
	}
}

// drop says that a content isn't needed any more. Its room comes back with its file.
func (c *cache) drop(*cacheEntry) {}

// oldest lists the files, oldest first, without the one that is written.
func (c *cache) oldest() (nos []uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for no := range c.files {
		nos = append(nos, no)
	}
	sort.Slice(nos, func(i, j int) bool { return nos[i] < nos[j] })
	return nos
}

// evict removes one file.
func (c *cache) evict(no uint64) (freed int64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cf := c.files[no]
	if cf == nil {
		return 0, nil
	}
	if err := os.Remove(c.path(no)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, fmt.Errorf("evict: %w", err)
	}
	delete(c.files, no)
	c.total.Add(-cf.size)
	cf.gone = true
	if cf.used == 0 && cf.f != nil {
		err = cf.f.Close()
	}
	return cf.size, err
}

func (c *cache) close() (err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, cf := range c.files {
		if cf.f != nil {
			err = errors.Join(err, cf.f.Close())
		}
	}
	clear(c.files)
	return err
}
