// Package stage keeps the contents of files on local disk: what was written and isn't stored at providers yet (dirty), and what is (clean, a cache).
//
// A file's local content is a stack of layers over its Base, the content that is stored. A layer is what was written between two
// moments at which the version was frozen. Contents up to InlineLimit live in records of the journal; larger ones in sparse layer files with the
// same offsets, of which a layer knows by 4 KiB blocks what they hold. What was fetched from the base is kept below all other layers: small contents in
// append files (cache/), blocks of large ones in a layer of version 0.
//
// Nouns: Stage is the store; File the open content of one inode; Snapshot the immutable content of a frozen version, for the upload; Base what
// is stored. fs/vfs opens, writes and freezes; sync/engine takes snapshots and says Stored.
//
// A crash: every change is a record of the journal; the leveldb in map/ holds the state as of the last checkpoint, ReplayRecord brings it up. What
// File.Sync acknowledged is there after a power cut, what File.Flush noted after the death of the process. A version number is never used twice for an inode.
//
// Damage: what lies in layer files is compared with checksums when it is read (sums.go). Content that isn't stored yet and isn't what was written is an
// error, for its readers and the upload alike, and in Damaged; cached content is fetched again.
//
// Everything is safe for concurrent use. Changes of one file go one after the other, reads go on beside them, files don't wait for each other, and no lock is
// held while a Base reads.
package stage

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/syndtr/goleveldb/leveldb"

	"github.com/cloudcoin/cloudcoin/sync/journal"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// DefaultCacheLimit is the CacheLimit of Options that set none.
const DefaultCacheLimit = 10 << 30

// evictOnFull is how many bytes are evicted when the disk is full.
const evictOnFull = 64 << 20

// Options of a stage. The zero value is usable.
type Options struct {
	CacheLimit int64            // bytes of clean and dirty contents above which clean ones are evicted; 0: DefaultCacheLimit
	DirtyLimit int64            // bytes of contents not stored yet above which writers get ENOSPC; 0: only the disk limits
	Reserve    int64            // free bytes of the disk that contents leave to names and the journal; 0: DefaultReserve, on small disks a sixteenth
	Clock      func() time.Time // nil: time.Now
	Logger     *slog.Logger     // nil: silent
	IdleNodes  int              // contents kept in memory after their last Close; 0: 4096

	// Base gives the newest stored content of an inode, by the index, for clean layers of open files that are evicted. nil: the clean layers of open files stay.
	Base func(ino model.Ino) (Base, error)

	// Keep tells whether a content must stay on local disk though it is stored (no head names it yet); it is asked under the content's lock, and says so
	// before Stored is called. Kept lists all of these. nil: none.
	Keep func(ino model.Ino) bool
	Kept func() []model.Ino
}

// Base answers what no layer has: the content that is stored at providers. It is safe for concurrent use.
type Base interface {
	// ReadAt fills all of p; holes are zeros. It may wait for the network.
	ReadAt(ctx context.Context, p []byte, off int64) error
	// NextData and NextHole are the next byte at or after off that is data, or in a hole; ENXIO when there is none. They don't wait for the network.
	NextData(off int64) (int64, error)
	NextHole(off int64) (int64, error)
}

// Usage is local space in bytes.
type Usage struct {
	Cached int64 // clean: may be evicted
	Dirty  int64 // not stored yet
	Limit  int64 // of both; dirty contents may go beyond it
}

// Whence values of File.Seek, as in lseek(2) on Linux.
const (
	SeekData = 3
	SeekHole = 4
)

// ErrNoVersion is returned by Snapshot when the inode has no such frozen version any more, or it is stored and clean.
var ErrNoVersion = errors.New("no such frozen version")

// ErrNotReady is returned before Ready and after Close.
var ErrNotReady = errors.New("stage isn't open")

// Stage is a store of contents.
type Stage struct {
	dir   string
	j     recorder
	opt   Options
	log   *slog.Logger
	db    *leveldb.DB
	segs  *segments
	cache *cache

	room room

	datasync func(*os.File) error // replaced by tests that watch what is durable

	cleanBytes, dirtyBytes atomic.Int64
	versions               atomic.Uint64 // highest version given in this process
	ready                  atomic.Bool

	pinMu  sync.RWMutex // held for reading from append to pin; a checkpoint passes through it
	saveMu sync.Mutex   // one saver at a time
	book   book         // guarded by saveMu

	closedWell bool // the process before saved everything at its end

	mu     sync.Mutex
	nodes  map[model.Ino]*node
	idle   list.List // of *node, least recently used first
	ghosts map[*node]struct{}
	damage map[model.Ino]error
	doomed []doomedLayer

	kick chan struct{}
	quit chan struct{}
	done sync.WaitGroup
}

// recorder is what the stage needs of the journal.
type recorder interface {
	Append(kind journal.Kind, parts ...[]byte) (journal.Ref, error)
	Sync(ctx context.Context, upTo journal.LSN) error
	Durable() journal.LSN
	End() journal.LSN
	ReadAt(p []byte, ref journal.Ref, off int64) error
	SameBoot() bool
	Pin(seg uint64)
	Unpin(seg uint64)
	Segments() []journal.Segment
}

var _ recorder = (*journal.Journal)(nil)

// doomedLayer is a layer whose file goes when the record at lsn is durable.
type doomedLayer struct {
	lsn journal.LSN
	l   *layer
}

// Open opens the stage in dir, which it makes when it is missing. Then every record of the stage's kinds goes to ReplayRecord, then Ready is called;
// before that nothing else may be.
func Open(dir string, j *journal.Journal, opt Options) (*Stage, error) {
	if opt.CacheLimit <= 0 {
		opt.CacheLimit = DefaultCacheLimit
	}
	if opt.Clock == nil {
		opt.Clock = time.Now
	}
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	if opt.IdleNodes <= 0 {
		opt.IdleNodes = 4096
	}
	s := &Stage{
		dir: dir, j: j, opt: opt, log: opt.Logger, segs: newSegments(j, opt.Clock),
		nodes: make(map[model.Ino]*node), ghosts: make(map[*node]struct{}), damage: make(map[model.Ino]error),
		kick: make(chan struct{}, 1), quit: make(chan struct{}),
		room: room{dir: dir, reserve: opt.Reserve}, datasync: datasync,
	}
	for _, d := range []string{dir, filepath.Join(dir, "layers"), filepath.Join(dir, "cache")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fmt.Errorf("open stage: %w", err)
		}
	}
	var err error
	if s.cache, err = openCache(filepath.Join(dir, "cache")); err != nil {
		return nil, err
	}
	if err := s.openMap(); err != nil {
		return nil, errors.Join(err, s.cache.close())
	}
	return s, nil
}

// Ready ends the replay: layer files get the changes that only the journal had, contents of inodes that the index doesn't know are dropped.
// Damage that was found is logged and in Damaged; the files concerned answer errors.
func (s *Stage) Ready(known func(ino model.Ino) bool) error {
	if err := s.forgetSums(); err != nil {
		return fmt.Errorf("ready stage: %w", err)
	}
	if err := s.noteOpen(); err != nil {
		return fmt.Errorf("ready stage: %w", err)
	}
	for _, n := range s.inMemory() {
		n.mu.Lock()
		n.checkGone()
		err := n.redo()
		n.mu.Unlock()
		if err != nil && !isGone(err) {
			return err
		}
	}
	s.ready.Store(true)
	var orphans []model.Ino
	err := s.eachDirty(func(n *node) bool {
		if !known(n.ino) {
			orphans = append(orphans, n.ino)
			return true
		}
		if err := n.openLayers(n.layers); err != nil {
			_ = s.damaged(n.ino, err) // noted and logged
		}
		return true
	})
	for _, ino := range orphans {
		s.log.Info("content without inode dropped", "inode", uint64(ino))
		err = errors.Join(err, s.Drop(ino))
	}
	if err != nil {
		return fmt.Errorf("ready stage: %w", err)
	}
	s.done.Add(1)
	go s.background()
	return nil
}

// background evicts and saves when it is asked to.
func (s *Stage) background() {
	defer s.done.Done()
	for {
		select {
		case <-s.quit:
			return
		case <-s.kick:
		}
		if over := s.used() - s.opt.CacheLimit; over > 0 {
			if _, err := s.Evict(over + s.opt.CacheLimit/10); err != nil {
				s.log.Warn("cached contents are not evicted", "error", err)
			}
		}
		if err := s.trim(); err != nil {
			s.log.Warn("contents stay in memory", "error", err)
		}
	}
}

func (s *Stage) wake() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

func (s *Stage) used() int64 { return s.cleanBytes.Load() + s.cache.size() + s.dirtyBytes.Load() }

func (s *Stage) kickWhenFull() {
	if s.used() > s.opt.CacheLimit && s.cleanBytes.Load()+s.cache.size() > 0 {
		s.wake()
	}
}

// reserve takes room for n dirty bytes.
func (s *Stage) reserve(n int64) error {
	now := s.dirtyBytes.Add(n)
	if n > 0 && s.opt.DirtyLimit > 0 && now > s.opt.DirtyLimit {
		s.dirtyBytes.Add(-n)
		return fmt.Errorf("contents that wait to be stored fill the stage (limit %d bytes): %w", s.opt.DirtyLimit, syscall.ENOSPC)
	}
	if err := s.room.take(n); err != nil {
		s.dirtyBytes.Add(-n)
		return err
	}
	return nil
}

func (s *Stage) account(clean bool, n int64) {
	if clean {
		s.cleanBytes.Add(n)
	} else {
		s.dirtyBytes.Add(n)
	}
}

// Usage tells how much local space contents take.
func (s *Stage) Usage() Usage {
	return Usage{Cached: s.cleanBytes.Load() + s.cache.size(), Dirty: s.dirtyBytes.Load(), Limit: s.opt.CacheLimit}
}

// Damaged tells for which inodes local content was found damaged, and how.
func (s *Stage) Damaged() map[model.Ino]error {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := make(map[model.Ino]error, len(s.damage))
	for k, v := range s.damage {
		m[k] = v
	}
	return m
}

// Open opens the content of an inode. base is what is stored of it and size the size of that; they count when there is no local content.
// base may be nil: nothing is stored. It must be as of the index's newest content; when that may have changed between reading the index and this call, read it
// again afterwards and call SetBase.
func (s *Stage) Open(ino model.Ino, base Base, size int64) (*File, error) {
	if !s.ready.Load() {
		return nil, ErrNotReady
	}
	n, err := s.acquire(ino)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.opens++; n.opens == 1 {
		n.base, n.baseNew = base, true
		if len(n.layers) == 0 {
			n.size = size
		}
	}
	return &File{n: n}, nil
}

// acquire gives the node of an inode, loaded when it isn't in memory.
func (s *Stage) acquire(ino model.Ino) (n *node, err error) {
	s.mu.Lock()
	n = s.nodes[ino]
	if n != nil {
		if n.idle != nil {
			s.idle.Remove(n.idle)
			n.idle = nil
		}
		n.refs++
		s.mu.Unlock()
		n.mu.RLock()
		err = n.loadErr
		n.mu.RUnlock()
		if err != nil {
			return nil, errors.Join(err, s.release(n))
		}
		return n, nil
	}
	n = &node{s: s, ino: ino, refs: 1}
	n.mu.Lock()
	s.nodes[ino] = n
	s.mu.Unlock()
	n.loadErr = n.load()
	err = n.loadErr
	n.mu.Unlock()
	if err != nil {
		return nil, errors.Join(err, s.release(n))
	}
	return n, nil
}

// release gives a node back. The last one closes its files; content that nothing has to be remembered of goes out of memory.
func (s *Stage) release(n *node) error {
	s.mu.Lock()
	n.refs--
	if n.refs > 0 {
		s.mu.Unlock()
		return nil
	}
	_, ghost := s.ghosts[n]
	delete(s.ghosts, n)
	many := false
	if !ghost {
		// Nobody else has it: its fields may be read without its lock.
		if n.loadErr != nil || !n.changed && !n.saved.exists {
			delete(s.nodes, n.ino)
		} else {
			n.idle = s.idle.PushBack(n)
			many = s.idle.Len() > s.opt.IdleNodes
		}
	}
	files := n.takeFiles()
	s.mu.Unlock()
	var err error
	for _, f := range files {
		err = errors.Join(err, f.Close())
	}
	if ghost {
		n.mu.Lock()
		n.discard()
		n.mu.Unlock()
		s.reap()
	}
	if many && s.ready.Load() {
		s.wake()
	}
	return err
}

// takeFiles takes the descriptors of a node that nobody uses.
func (n *node) takeFiles() (files []*os.File) {
	for _, l := range n.layers {
		if l.snaps == 0 {
			files = append(files, l.takeFiles()...)
		}
	}
	return files
}

func (n *node) closeFiles() {
	for _, f := range n.takeFiles() {
		if err := f.Close(); err != nil {
			n.s.log.Warn("close layer", "error", err)
		}
	}
}

// inMemory lists the nodes in memory.
func (s *Stage) inMemory() []*node {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*node, 0, len(s.nodes))
	for _, n := range s.nodes {
		all = append(all, n)
	}
	return all
}

// unlink lets the file of a layer go when the record at lsn is durable. The layer must be out of use.
func (s *Stage) unlink(lsn journal.LSN, l *layer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.doomed = append(s.doomed, doomedLayer{lsn, l})
}

// reap does what unlink put off, as far as the journal is durable.
func (s *Stage) reap() {
	s.segs.settle()
	durable := s.j.Durable()
	s.mu.Lock()
	var now []*layer
	keep := s.doomed[:0]
	for _, d := range s.doomed {
		if d.lsn <= durable {
			now = append(now, d.l)
		} else {
			keep = append(keep, d)
		}
	}
	s.doomed = keep
	s.mu.Unlock()
	for _, l := range now {
		if err := errors.Join(l.closeFile(), removeLayer(l.path)); err != nil {
			s.log.Warn("layer file is left behind", "error", err)
		}
	}
}

// Close saves everything that is in memory and ends the use of the stage. Files and snapshots must be closed before.
func (s *Stage) Close() error {
	if s.ready.Swap(false) {
		close(s.quit)
		s.done.Wait()
	}
	err := s.Checkpoint()
	all := true
	for _, n := range s.inMemory() {
		n.mu.Lock()
		n.closeFiles()
		all = all && !n.changed
		n.mu.Unlock()
	}
	if err == nil && all {
		err = s.noteClosed()
	}
	return errors.Join(err, s.cache.close(), s.db.Close())
}
