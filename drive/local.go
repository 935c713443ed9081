package drive

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cloudcoin/cloudcoin/crypto/leasecode"
	"github.com/cloudcoin/cloudcoin/crypto/phrase"
	"github.com/cloudcoin/cloudcoin/drive/lease"
	"github.com/cloudcoin/cloudcoin/fs/mount"
	"github.com/cloudcoin/cloudcoin/internal/localnet"
)

const (
	localLease = 50 << 30 // size of each lease that the local network grants
	localTerm  = 10 * 365 * 24 * time.Hour
)

// ServeLocal runs a whole network on loopback under HOME/local, takes leases of it, and serves the drive on it. A HOME without a drive gets one.
func ServeLocal(ctx context.Context, opt Options, mo MountOptions, providers int, ready func()) (err error) {
	if err := opt.prepareLocal(); err != nil {
		return err
	}
	if err := os.MkdirAll(mo.Dir, 0o755); err != nil && !mount.IsMounted(mo.Dir) { // a stale mount is taken over
		return fmt.Errorf("mountpoint: %w", err)
	}
	opt.CacheLimit = mo.CacheLimit
	network, err := startNetwork(ctx, opt, providers)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, network.Close()) }()
	d, err := openFor(ctx, opt, mo)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	if err := d.takeLocalLeases(ctx, network); err != nil {
		return err
	}
	stopAPI, err := serveSocket(opt.Home.networkSocket(), networkRoutes(network, d))
	if err != nil {
		return err
	}
	defer stopAPI()
	return d.serve(ctx, mo, ready)
}

// ServeNetwork runs only the network of HOME/local, for drives of other HOMEs.
func ServeNetwork(ctx context.Context, opt Options, providers int, ready func()) (err error) {
	opt.defaults()
	if opt.Network != "" && opt.Network != "local" {
		return fmt.Errorf("--network %q: a local network is of the network \"local\": %w", opt.Network, ErrNetwork)
	}
	if err := os.MkdirAll(opt.Home.Dir, 0o700); err != nil {
		return fmt.Errorf("make HOME: %w", err)
	}
	network, err := startNetwork(ctx, opt, providers)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, network.Close()) }()
	stopAPI, err := serveSocket(opt.Home.networkSocket(), networkRoutes(network, nil))
	if err != nil {
		return err
	}
	defer stopAPI()
	ready()
	<-ctx.Done()
	return nil
}

// prepareLocal makes a drive on the network "local" when the HOME holds none.
func (o *Options) prepareLocal() error {
	o.defaults()
	if o.Network == "" && !o.Home.Exists() {
		o.Network = "local"
	}
	if o.Home.Exists() {
		cfg, err := o.Home.Config()
		if err != nil {
			return err
		}
		if cfg.Network != "local" {
			return fmt.Errorf("%s belongs to the network %q: %w; choose another --home for `ccdrive local`", o.Home.Dir, cfg.Network, ErrNetwork)
		}
		return o.Home.CheckNetwork(o.Network)
	}
	if o.Network != "local" {
		return fmt.Errorf("--network %q: `ccdrive local` makes a network \"local\": %w", o.Network, ErrNetwork)
	}
	p, err := phrase.New(rand.Reader)
	if err != nil {
		return fmt.Errorf("make the phrase: %w", err)
	}
	_, err = o.Home.Create(o.Network, p, time.Now())
	return err
}

func startNetwork(ctx context.Context, opt Options, providers int) (*localnet.Net, error) {
	network, err := localnet.Open(opt.Home.networkDir(), localnet.Options{Logger: opt.Logger})
	if err != nil {
		return nil, fmt.Errorf("local network: %w", err)
	}
	if err := network.Start(ctx, providers); err != nil {
		return nil, errors.Join(fmt.Errorf("local network: %w", err), network.Close())
	}
	return network, nil
}

// takeLocalLeases asks every provider of the network for a lease that the drive doesn't hold yet, and notes addresses that changed.
func (d *Drive) takeLocalLeases(ctx context.Context, network *localnet.Net) error {
	providers := network.Providers()
	got := make([]Lease, len(providers))
	g, gctx := errgroup.WithContext(ctx)
	for i, p := range providers {
		g.Go(func() error {
			l, err := d.localLease(gctx, network, i+1, p)
			if err != nil {
				return fmt.Errorf("lease of %s: %w", p.Name, err)
			}
			got[i] = l
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return d.addLeases(got)
}

func (d *Drive) localLease(ctx context.Context, network *localnet.Net, i int, p localnet.Provider) (Lease, error) {
	info, err := lease.ProviderInfo(ctx, d.net, p.URL)
	if err != nil {
		return Lease{}, err
	}
	provider := fmt.Sprintf("%x", []byte(info.Key))
	d.mu.Lock()
	for _, l := range d.leases {
		if l.Provider == provider {
			d.mu.Unlock()
			l.URL = p.URL
			return l, nil
		}
	}
	d.mu.Unlock()
	key := leasecode.FormatKey(publicKey(d.keys.LeaseKey(info.Key)))
	code, err := network.Grant(ctx, i, key, localLease, d.opt.Clock().Add(localTerm))
	if err != nil {
		return Lease{}, err
	}
	c, err := leasecode.Parse(code)
	if err != nil {
		return Lease{}, err
	}
	return leaseOf(&c, info, p.Name), nil
}

// networkRoutes is the API of a local network; d is the drive beside it, or nil.
func networkRoutes(network *localnet.Net, d *Drive) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/local/provider", func(w http.ResponseWriter, r *http.Request) {
		if err := localProvider(r.Context(), network, d, r.FormValue("op"), r.FormValue("n")); err != nil {
			writeError(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte("{}\n")) // the asker may be gone
	})
	return mux
}

func localProvider(ctx context.Context, network *localnet.Net, d *Drive, op, number string) error {
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 || n > len(network.Providers()) {
		return fmt.Errorf("provider %q %w: the network has 1 to %d", number, ErrNotFound, len(network.Providers()))
	}
	switch op {
	case "stop":
		err = network.Stop(ctx, n)
	case "start":
		err = network.StartOne(ctx, n)
	case "wipe":
		err = network.Wipe(ctx, n)
	default:
		return fmt.Errorf("%q a provider: %w", op, ErrUsage)
	}
	if err != nil {
		return fmt.Errorf("%s provider-%d: %w", op, n, err)
	}
	if d != nil {
		return d.lookAgain(ctx, network.Providers()[n-1], op != "stop")
	}
	return nil
}

// lookAgain asks the leases of a provider that was stopped, came back or was wiped, so that status is true when the command returns: what it holds counts
// again, and what it lost is being rebuilt. answers: silence is an error.
func (d *Drive) lookAgain(ctx context.Context, p localnet.Provider, answers bool) error {
	for _, s := range d.pool.Leases() {
		if s.Info.URL != p.URL {
			continue
		}
		if err := d.pool.Probe(ctx, s.Info.ID); err != nil && answers {
			return fmt.Errorf("%s doesn't answer: %w", p.Name, err)
		}
		if err := d.engine.Look(ctx, s.Info.ID); err != nil {
			return fmt.Errorf("look at %s: %w", p.Name, err)
		}
	}
	d.engine.Leases()
	return nil
}
