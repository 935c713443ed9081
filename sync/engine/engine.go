// Package engine runs a drive's background work: it uploads contents that have come to rest, publishes the log, repairs packs, collects
// garbage, and looks at the heads of other devices.
//
// # Loops
//
// Run starts four. The upload loop (upload.go) looks for staged revisions and gives them to two lanes, one for small files and one for
// large, so that a huge file doesn't hold back small ones; the lanes cut contents into chunks and add them to the pack that is being
// filled (packer.go); full packs are coded, put to leases and committed (put.go, commit.go). The publish loop (publish.go) writes
// what may be seen (plan.go) into segments and heads. The care loop (care.go, repair.go, garbage.go) keeps packs, copies and slots whole. The watch loop (watch.go)
// reads the slots.
//
// # What survives a crash
//
// The engine keeps no state of its own but in the index: what is staged, what is unpublished, the newest head. An upload that was under
// way is begun again; shards that were put and never catalogued are found and deleted after a day.
//
// # Memory
//
// At most one pack is being filled and two are under way to the leases, with their parity; a file being cut holds a chunk's buffer and its
// extents. The plan of a publication holds a few words for each unpublished group.
package engine

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/cloudcoin/cloudcoin/sync/chunk"
	"github.com/cloudcoin/cloudcoin/sync/model"
	"github.com/cloudcoin/cloudcoin/sync/oplog"
	"github.com/cloudcoin/cloudcoin/sync/placement"
	"github.com/cloudcoin/cloudcoin/sync/transfer"
)

// Errors that say why something waits.
var (
	ErrTooFewProviders = errors.New("too few providers answer") // is returned when nothing can be stored with enough spare shards
	ErrReadOnly        = errors.New("the drive is read-only")   // is returned by Sync when a foreign newer head was seen
)

// Engine uploads, publishes, repairs and collects garbage for one drive. Safe for concurrent use.
type Engine struct {
	cfg      Config
	drive    oplog.Drive
	headKey  ed25519.PrivateKey
	chunkKey [32]byte
	splitter *chunk.Splitter
	packer   *packer
	upload   *rate.Limiter // nil: no limit
	repairs  *rate.Limiter

	wakeUpload, wakePublish, wakeRetry, wakeCare, wakeWatch, wakeSync signal

	looking    atomic.Int32 // calls of Look that wait for caring
	caring     sync.Mutex   // held by repair, audits and garbage collection; before publishing
	care       care         // guarded by caring
	booking    sync.Mutex   // held while the lease book is written; guards booked; before mu
	booked     string       // what the last lease book was made of
	publishing sync.Mutex   // held by what writes heads; before the packer's locks and mu
	log        logState     // guarded by publishing

	mu        sync.Mutex // the last of all locks
	device    model.DeviceID
	published model.Rev // highest revision that heads name
	spans     []span
	jobs      map[model.Ino]*fileJob // contents on their way

	unpublished map[model.Ino]model.Rev // contents that are stored, and the revisions that must be published before they may go from this machine

	readOnly  string
	checked   bool // the slots were read once: publishing may begin
	waiting   string
	publishes string    // why publishing waits
	syncing   int       // calls of Sync under way
	syncUpTo  model.Rev // highest revision that they wait for
	syncers   map[chan struct{}]struct{}
	warnings  map[string]*Warning
	health    map[model.PackID]packHealth // of the catalogue
	blobs     []packHealth                // of the log
	silent    map[model.LeaseID]time.Time // since when a lease doesn't answer
	full      map[model.LeaseID]time.Time // until when a lease counts as full
	recheck   map[model.LeaseID]bool      // leases to be audited at once
	reports   map[model.PackID][]int      // shards that something bad was said of
}

// New makes an engine. Nothing happens before Run.
func New(cfg Config) (*Engine, error) {
	if cfg.Index == nil || cfg.Pool == nil || cfg.Keys == nil || cfg.Files == nil || cfg.Contents == nil {
		return nil, errors.New("engine: Index, Pool, Keys, Files and Contents must be set")
	}
	setDefaults(&cfg)
	e := &Engine{
		cfg:      cfg,
		drive:    oplog.Drive{Network: cfg.Keys.Network(), ID: cfg.Keys.DriveID()},
		headKey:  cfg.Keys.HeadKey(),
		chunkKey: cfg.Keys.ChunkKey(),
		device:   cfg.Device,
		warnings: map[string]*Warning{},
		jobs:     map[model.Ino]*fileJob{},

		unpublished: map[model.Ino]model.Rev{},

		syncers: map[chan struct{}]struct{}{},
		health:  map[model.PackID]packHealth{},
		silent:  map[model.LeaseID]time.Time{},
		full:    map[model.LeaseID]time.Time{},
		recheck: map[model.LeaseID]bool{},
		reports: map[model.PackID][]int{},
		care:    newCare(),
		repairs: rate.NewLimiter(rate.Limit(cfg.RepairLimit), 64<<20),

		wakeUpload: newSignal(), wakePublish: newSignal(), wakeRetry: newSignal(), wakeCare: newSignal(), wakeWatch: newSignal(), wakeSync: newSignal(),
	}
	if cfg.UploadLimit > 0 {
		e.upload = rate.NewLimiter(rate.Limit(cfg.UploadLimit), 64<<20)
	}
	s, err := chunk.NewSplitter(cfg.Keys.CutKey())
	if err != nil {
		return nil, fmt.Errorf("make a splitter: %w", err)
	}
	e.splitter = s
	e.packer = newPacker(e)
	if err := e.loadLog(); err != nil {
		return nil, err
	}
	if err := e.loadUnpublished(); err != nil {
		return nil, err
	}
	return e, nil
}

func setDefaults(c *Config) {
	if c.Clock == nil {
		c.Clock = transfer.SystemClock{}
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Coding == nil {
		c.Coding = placement.Coding
	}
	if c.RepairLimit <= 0 {
		c.RepairLimit = 32 << 20
	}
	for _, d := range []struct {
		v   *time.Duration
		def time.Duration
	}{{&c.Freezing, 5 * time.Minute}, {&c.Publishing, time.Second}, {&c.Patience, time.Hour}, {&c.Audit, 6 * time.Hour}} {
		if *d.v <= 0 {
			*d.v = d.def
		}
	}
}

// Run does the background work until ctx ends; it returns nil then. What was under way is redone after the next start.
func (e *Engine) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, loop := range []func(context.Context) error{e.watchLoop, e.uploadLoop, e.packer.run, e.publishLoop, e.careLoop} {
		g.Go(func() error { return loop(ctx) })
	}
	err := g.Wait()
	if ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled)) {
		return nil
	}
	return err
}

// Dirty tells that there is a content to upload when it has come to rest.
func (e *Engine) Dirty(model.Ino) { e.wakeUpload.set() }

// Metadata tells that there is something to publish.
func (e *Engine) Metadata() { e.wakePublish.set() }

// Leases tells that the pool's leases changed, or that one of them answers again.
func (e *Engine) Leases() {
	e.mu.Lock()
	clear(e.full)
	e.mu.Unlock()
	e.wakeUpload.set()
	e.wakePublish.set()
	e.wakeRetry.set()
	e.wakeWatch.set()
	e.wakeCare.set()
	e.packer.retry.set()
}

func (e *Engine) now() time.Time { return e.cfg.Clock.Now() }

// Device is the device that the engine publishes as. It changes when this HOME turns out to be a copy.
func (e *Engine) Device() model.DeviceID {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.device
}

// signal wakes one waiter; setting it twice before it is seen is one signal.
type signal struct{ c chan struct{} }

func newSignal() signal { return signal{make(chan struct{}, 1)} }

func (s signal) set() {
	select {
	case s.c <- struct{}{}:
	default:
	}
}

// wait returns after d, when one of the signals is set, or with ctx's error. d < 0 waits for a signal only.
func (e *Engine) wait(ctx context.Context, d time.Duration, signals ...signal) error {
	var fires <-chan time.Time
	if d >= 0 {
		f, stop := e.cfg.Clock.Timer(d)
		defer stop()
		fires = f
	}
	var a, b chan struct{}
	if len(signals) > 0 {
		a = signals[0].c
	}
	if len(signals) > 1 {
		b = signals[1].c
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-fires:
	case <-a:
	case <-b:
	}
	return nil
}
