// Package drive is the program ccdrive as a library: what runs, in which order, and its local API.
//
// A Drive is opened on a HOME, which it locks. It joins the parts: journal, index and stage (the local truth and its two indexes), the pool of
// leases, the engine that moves files to providers, the tree, and the mount. Commands reach it through Client: over the Unix socket of the
// process that works in the HOME, or directly when no process does.
//
// Everything exported is safe for concurrent use. What survives a crash is written in docs/drive.md.
package drive

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/cloudcoin/cloudcoin/crypto/keychain"
	"github.com/cloudcoin/cloudcoin/drive/lease"
	"github.com/cloudcoin/cloudcoin/fs/mount"
	"github.com/cloudcoin/cloudcoin/fs/stage"
	"github.com/cloudcoin/cloudcoin/fs/vfs"
	"github.com/cloudcoin/cloudcoin/internal/homelock"
	"github.com/cloudcoin/cloudcoin/sync/engine"
	"github.com/cloudcoin/cloudcoin/sync/fetch"
	"github.com/cloudcoin/cloudcoin/sync/index"
	"github.com/cloudcoin/cloudcoin/sync/journal"
	"github.com/cloudcoin/cloudcoin/sync/model"
	"github.com/cloudcoin/cloudcoin/sync/transfer"
)

// Options of a drive that hold for all commands.
type Options struct {
	Home        Home
	Network     string // "" : what the HOME remembers
	Proxy       string // SOCKS5 host:port; "" none
	UploadLimit int64  // bytes per second; 0 none
	CacheLimit  int64  // bytes of local disk for contents; 0: DefaultCacheLimit
	Logger      *slog.Logger
	Clock       func() time.Time // nil: time.Now
	FileClock   func() time.Time // what files are stamped with; nil: the system's coarse clock

	tree MountOptions // how the tree is to look; set by Serve
}

// Limits of the local copy of contents.
const (
	DefaultCacheLimit int64 = 10 << 30
	MinCacheLimit     int64 = 256 << 20
)

func (o *Options) defaults() {
	if o.FileClock == nil {
		o.FileClock = fileClock
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.CacheLimit == 0 {
		o.CacheLimit = DefaultCacheLimit
	}
}

// network is the network of a new HOME.
func (o *Options) network(otherwise string) string {
	if o.Network != "" {
		return o.Network
	}
	return otherwise
}

// Drive is a drive that is open in this process.
type Drive struct {
	opt  Options
	cfg  *Config
	keys *keychain.Keychain
	lock *homelock.Lock

	journal *journal.Journal
	index   *index.Index
	stage   *stage.Stage
	pool    *transfer.Pool
	fetch   *fetch.Reader
	engine  *engine.Engine
	fs      *vfs.FS
	handler http.Handler
	net     lease.Net

	stop context.CancelFunc // ends the background work
	done sync.WaitGroup

	mu       sync.Mutex // guards what follows
	leases   []Lease
	clients  map[string]*lease.Client // by lease id
	mounted  *mount.Mounted
	mountDir string
	warnings []string // of this process
	quit     func()   // ends Serve
}

// Open opens the drive of a HOME: lock, keys, replay of what a crash left, leases, engine. Nothing is mounted.
// *DamageError when a local file doesn't hold what it must; *homelock.HeldError when another process works there.
func Open(ctx context.Context, opt Options) (_ *Drive, err error) {
	opt.defaults()
	if err := opt.Home.CheckNetwork(opt.Network); err != nil {
		return nil, err
	}
	if _, err := opt.Home.Config(); err != nil {
		return nil, err
	}
	lock, err := opt.Home.acquire(ctx)
	if err != nil {
		return nil, err
	}
	d := &Drive{opt: opt, lock: lock, clients: map[string]*lease.Client{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.abandon())
		}
	}()
	if d.keys, d.cfg, err = opt.Home.keys(); err != nil {
		return nil, err
	}
	if err := d.openStores(); err != nil {
		return nil, err
	}
	if err := d.openRemote(); err != nil {
		return nil, err
	}
	if err := d.openTree(); err != nil {
		return nil, err
	}
	d.handler = d.routes()
	d.start()
	return d, nil
}

// openStores opens journal, index and stage and brings them to the state of the journal's end.
func (d *Drive) openStores() (err error) {
	h := d.opt.Home
	if d.journal, err = journal.Open(h.path("journal"), journal.Options{Logger: d.opt.Logger}); err != nil {
		return h.wrap("journal", err)
	}
	d.index, err = index.Open(h.path("index"), d.journal, index.Options{
		HashKey: d.keys.NameKey(), DevicePart: d.cfg.DevicePart, Clock: d.opt.Clock, Logger: d.opt.Logger, Network: d.cfg.Network,
		Busy: func(ino model.Ino) bool { return d.fs != nil && d.fs.Busy(ino) },
	})
	if err != nil {
		return h.wrap("index", err)
	}
	d.stage, err = stage.Open(h.path("stage"), d.journal, stage.Options{
		CacheLimit: d.opt.CacheLimit, Clock: d.opt.Clock, Logger: d.opt.Logger, Base: d.stored,
		Keep: func(ino model.Ino) bool { return d.engine == nil || d.engine.Unpublished(ino) },
		Kept: func() []model.Ino {
			if d.engine == nil {
				return nil
			}
			return d.engine.UnpublishedInos()
		},
	})
	if err != nil {
		return h.wrap("stage", err)
	}
	if err := d.journal.Replay(d.replay); err != nil {
		return h.wrap("journal", err)
	}
	if err := d.index.Ready(); err != nil {
		return h.wrap("index", err)
	}
	if err := d.stage.Ready(d.knows); err != nil {
		return h.wrap("stage", err)
	}
	return nil
}

func (d *Drive) openRemote() (err error) {
	d.net = lease.Net{Proxy: d.opt.Proxy}
	if d.opt.UploadLimit > 0 {
		d.net.Upload = rate.NewLimiter(rate.Limit(d.opt.UploadLimit), int(min(d.opt.UploadLimit, 1<<20)))
	}
	d.pool = transfer.NewPool(transfer.Options{Logger: d.opt.Logger})
	if d.leases, err = d.opt.Home.loadBook(); err != nil {
		return err
	}
	return d.setLeases(d.leases)
}

// Handler is the local API.
func (d *Drive) Handler() http.Handler { return d.handler }

// start begins the background work: the engine's and the checkpoints.
func (d *Drive) start() {
	ctx, stop := context.WithCancel(context.Background())
	d.stop = stop
	d.done.Go(func() {
		if err := d.engine.Run(ctx); err != nil {
			d.warn(fmt.Sprintf("uploads have stopped: %v; start the drive again", err))
		}
	})
	d.done.Go(func() { d.checkpoints(ctx) })
}

// Close ends the background work and leaves everything durable on local disk. What was being sent goes on after the next Open.
func (d *Drive) Close() error {
	var errs []error
	errs = append(errs, d.unmount())
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	errs = append(errs, d.fs.Close(ctx))
	d.stop()
	d.done.Wait()
	errs = append(errs, d.checkpoint())
	return errors.Join(append(errs, d.abandon())...)
}

// closeTimeout bounds an orderly end; a foreground command ends within 20 s.
const closeTimeout = 15 * time.Second

// abandon closes whatever is open, in the reverse order of opening, and gives the HOME free.
func (d *Drive) abandon() error { return errors.Join(d.closeStores(), d.lock.Release()) }

func (d *Drive) closeStores() error {
	var errs []error
	if d.fetch != nil { // it reads ahead through the pool
		errs = append(errs, d.fetch.Close())
	}
	if d.pool != nil {
		errs = append(errs, d.pool.Close())
	}
	d.mu.Lock()
	for _, c := range d.clients {
		errs = append(errs, c.Close())
	}
	d.mu.Unlock()
	if d.stage != nil {
		errs = append(errs, d.stage.Close())
	}
	if d.index != nil {
		errs = append(errs, d.index.Close())
	}
	if d.journal != nil {
		errs = append(errs, d.journal.Close())
	}
	return errors.Join(errs...)
}

// warn adds a line to the warnings of status, once.
func (d *Drive) warn(text string) {
	d.opt.Logger.Warn(text)
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, w := range d.warnings {
		if w == text {
			return
		}
	}
	const most = 100
	if len(d.warnings) < most {
		d.warnings = append(d.warnings, text)
	}
}

// removeStale removes a file that a killed process left; it is no error when there is none.
func removeStale(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
