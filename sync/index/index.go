// Package index holds names, attributes, contents and the chunk catalogue of a drive, with every revision of each, on goleveldb.
//
// Nouns. A Batch is a set of changes that happen at once; Commit gives it a revision (a hybrid logical clock in microseconds, so
// at once its time), writes it as one record of the journal, and then into leveldb. A View is the drive as of a revision: every
// revisioned key ends in the inverted revision, so what held at R is the first key at or after seek(key, ^R). The outbox holds a Group
// for each batch that other devices may have to learn of, until the engine says that it is Published.
//
// Folding. Writing an inode, a name or an attribute whose newest revision is in the outbox still, and isn't settled, removes that older
// revision: what nobody saw and what never rested leaves no history. Settle (or SetContent with Settled) keeps it.
//
// Crash order. The journal is the truth, leveldb an index of it. leveldb's own journal is not used at all: its memory table is rebuilt
// by Replay, and each of its tables reaches the disk after the journal is durable up to the batches in it. So what leveldb holds on
// disk is the state as of one batch, and every later batch is in the journal from the position that Checkpoint returned. Batches carry a gapless
// number and the hash of the one before; a gap, or another hash, is damage (*journal.DamageError), never a guess.
//
// Order of calls: Open; the drive's replay loop calls ReplayRecord for kinds below journal.FirstStageKind; Ready; then everything else.
// An Index is safe for concurrent use; a Batch belongs to one goroutine. Reads of Now see every commit that returned before.
package index

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/syndtr/goleveldb/leveldb"
	lerrors "github.com/syndtr/goleveldb/leveldb/errors"
	"github.com/syndtr/goleveldb/leveldb/filter"
	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/storage"

	"github.com/cloudcoin/cloudcoin/sync/journal"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// ErrNotFound is returned when there is no such inode, name, attribute, pack or meta value as of the view's revision.
var ErrNotFound = errors.New("index: not found")

// ErrNetwork is returned by Ready when the index belongs to another network.
var ErrNetwork = errors.New("index: the drive belongs to another network")

// ErrUnknownChunk is returned by Commit when extents name a chunk that the catalogue doesn't hold.
var ErrUnknownChunk = errors.New("index: unknown chunk")

// ErrBadName is returned by Commit for names that are empty, longer than 255 bytes, or hold a NUL or (but for attributes) a slash.
var ErrBadName = errors.New("index: not a valid name")

// Kinds of journal records.
const (
	KindBatch journal.Kind = 1 // a batch, or a piece of one
)

// Options of Open.
type Options struct {
	HashKey    [32]byte // keys the hashes of names
	DevicePart uint32   // upper part of the inode numbers that NextIno gives: 1 to 1<<23-1
	Clock      func() time.Time
	Logger     *slog.Logger
	Network    string // a HOME belongs to one network

	// Busy tells whether an inode without links is still open; Prune leaves it then. nil: none is.
	Busy func(model.Ino) bool
}

// Stats counts the drive as it is now.
type Stats struct {
	Inodes      int64 // inodes with at least one link
	Files       int64 // regular ones among them
	Bytes       int64 // their sizes
	StagedFiles int64 // those whose newest content is staged
	StagedBytes int64
	Packs       int64
	Chunks      int64
	Outbox      int64 // groups
}

const (
	writeBuffer  = 4 << 20
	cacheEntries = 16 << 10 // of inodes, and of names
)

// Index is safe for concurrent use.
type Index struct {
	dir string
	j   *journal.Journal
	opt Options
	log *slog.Logger
	db  *leveldb.DB
	st  storage.Storage

	inodes  *cache[model.Ino, model.Inode]
	dirents *cache[direntKey, model.Dirent]

	lastRev atomic.Uint64

	// mu is the commit lock; it guards the fields below it.
	mu     sync.Mutex
	state  state
	used   int   // bytes in leveldb's memory table
	failed error // leveldb is behind the journal: only opening anew helps
	ready  bool
	closed bool
	pieces []byte // of a batch that is being replayed
	buf    []byte

	inoMu     sync.Mutex // guards the fields below it; taken before mu
	part      uint32
	nextIno   uint64
	inoLimit  uint64
	hold      atomic.Uint64 // see Hold
	published atomic.Int64  // copy of the outbox's length, to skip look-ups when it is empty
}

type direntKey struct {
	parent model.Ino
	name   string
}

// Open opens the index in dir over a journal that wasn't replayed yet. *journal.DamageError when leveldb's files aren't what was written.
func Open(dir string, j *journal.Journal, o Options) (*Index, error) {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	x := &Index{
		dir: dir, j: j, opt: o, log: o.Logger, part: o.DevicePart,
		inodes: newCache[model.Ino, model.Inode](cacheEntries), dirents: newCache[direntKey, model.Dirent](cacheEntries),
	}
	if x.log == nil {
		x.log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil { // leveldb would make it for everybody to read
		return nil, fmt.Errorf("open the index in %s: %w", dir, err)
	}
	st, err := storage.OpenFile(dir, false)
	if err != nil {
		return nil, fmt.Errorf("open the index in %s: %w", dir, err)
	}
	x.st = st
	x.db, err = leveldb.Open(&walStorage{st, j}, dbOptions())
	if err != nil {
		return nil, errors.Join(x.wrap(err), st.Close())
	}
	if err = x.loadState(); err != nil {
		return nil, errors.Join(err, x.db.Close(), st.Close())
	}
	return x, nil
}

func dbOptions() *opt.Options {
	return &opt.Options{
		Strict:                       opt.StrictAll,
		WriteBuffer:                  writeBuffer,
		BlockCacheCapacity:           8 << 20,
		OpenFilesCacheCapacity:       48,
		CompactionTableSize:          4 << 20,
		WriteL0SlowdownTrigger:       12,
		WriteL0PauseTrigger:          48,
		DisableLargeBatchTransaction: true,
		NoWriteMerge:                 true,
		Filter:                       filter.NewBloomFilter(10),
		DisableSeeksCompaction:       true,
	}
}

func (x *Index) loadState() error {
	v, err := x.db.Get([]byte{pState}, nil)
	if errors.Is(err, leveldb.ErrNotFound) {
		x.state = state{nextChunk: 1}
		return nil
	}
	if err != nil {
		return x.wrap(err)
	}
	if x.state, err = parseState(v); err != nil {
		return x.damaged("state", err)
	}
	x.adopt()
	return nil
}

// adopt makes the counters that are read without the lock follow the state.
func (x *Index) adopt() {
	x.lastRev.Store(uint64(x.state.rev))
	x.published.Store(x.state.stats.Outbox)
}

// wrap turns leveldb's findings of corruption into a *journal.DamageError.
func (x *Index) wrap(err error) error {
	var c *lerrors.ErrCorrupted
	var sc *storage.ErrCorrupted
	switch {
	case err == nil, errors.Is(err, leveldb.ErrNotFound):
		return err
	case errors.As(err, &c):
		name := x.dir
		if !c.Fd.Zero() {
			name = filepath.Join(x.dir, fmt.Sprint(c.Fd))
		}
		return &journal.DamageError{File: name, Why: c.Error()}
	case errors.As(err, &sc):
		return &journal.DamageError{File: x.dir, Why: sc.Error()}
	case lerrors.IsCorrupted(err):
		return &journal.DamageError{File: x.dir, Why: err.Error()}
	}
	return fmt.Errorf("index: %w", err)
}

// damaged reports a value that can't be.
func (x *Index) damaged(what string, err error) error {
	return &journal.DamageError{File: x.dir, Why: what + ": " + err.Error()}
}

// Ready ends the replay: from here on the index can be read and written.
func (x *Index) Ready() error {
	x.mu.Lock()
	x.pieces = nil
	behind := x.state.n > 0 && x.state.lsn > x.j.End()
	n, end := x.state.n, x.state.lsn
	x.ready = !behind
	x.mu.Unlock()
	if behind {
		return x.damaged("chain", fmt.Errorf("batch %d ended at position %d of the journal, which now ends at %d", n, end, x.j.End()))
	}
	was, err := x.Meta(metaNetwork)
	switch {
	case errors.Is(err, ErrNotFound):
		b := x.Begin()
		b.Local()
		b.PutMeta(metaNetwork, []byte(x.opt.Network))
		if _, err := b.Commit(); err != nil {
			return err
		}
	case err != nil:
		return err
	case string(was) != x.opt.Network:
		return fmt.Errorf("%w: %s, not %s", ErrNetwork, was, x.opt.Network)
	}
	return nil
}

// metaNetwork is the meta key of the network's name; keys that begin with a dot are the index's own.
const metaNetwork = ".network"

// Close ends the use of the files. What was committed is in the journal; call Checkpoint before to make the next start quick.
func (x *Index) Close() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed {
		return nil
	}
	x.closed, x.ready = true, false
	return errors.Join(x.wrap(x.db.Close()), x.st.Close())
}

// LastRev is the highest revision so far.
func (x *Index) LastRev() model.Rev { return model.Rev(x.lastRev.Load()) }

// Stats counts the drive as it is now.
func (x *Index) Stats() Stats {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.state.stats
}

// Sync returns when everything that was committed before the call is durable.
func (x *Index) Sync(ctx context.Context) error { return x.j.Sync(ctx, x.j.End()) }

// Checkpoint makes leveldb durable as it is and returns the journal position from which later batches have to be replayed.
func (x *Index) Checkpoint() (journal.LSN, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.ready {
		return 0, errNotReady
	}
	// Opening a transaction writes the memory table out as a table, synced, and commits it to the manifest, synced, before it returns;
	// older memory tables were written before, for leveldb keeps one at most and waits for it. See walStorage for the rest.
	lsn := x.j.End() // no batch can come between it and the last one
	tr, err := x.db.OpenTransaction()
	if err != nil {
		return 0, x.wrap(err)
	}
	tr.Discard()
	x.used = 0
	return lsn, nil
}

var errNotReady = errors.New("index: not ready: replay comes first")

// Meta returns a value that Batch.PutMeta set.
func (x *Index) Meta(key string) ([]byte, error) {
	v, err := x.db.Get(kMeta(key), nil)
	if errors.Is(err, leveldb.ErrNotFound) {
		return nil, ErrNotFound
	}
	return v, x.wrap(err)
}
