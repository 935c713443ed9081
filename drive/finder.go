package drive

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cloudcoin/cloudcoin/drive/lease"
	"github.com/cloudcoin/cloudcoin/internal/localnet"
	"github.com/cloudcoin/cloudcoin/sync/engine"
	"github.com/cloudcoin/cloudcoin/sync/oplog"
	"github.com/cloudcoin/cloudcoin/sync/transfer"
)

// finder finds the leases of a phrase, and the heads on them.
type finder struct {
	opt     *Options
	seed    [64]byte
	network string
	drive   *Drive
	leases  []Lease
	report  *RecoveryReport
}

// providers are the URLs that can be asked first: those named, those of a local network in the HOME, and those of the damaged HOME's book.
func (f *finder) providers(r Recovery) ([]string, error) {
	urls := slices.Clone(r.Providers)
	homes := []Home{f.opt.Home}
	if r.From != "" {
		old := Home{Dir: r.From}
		homes = append(homes, old)
		leases, err := old.loadBook()
		if err != nil {
			f.problem(fmt.Sprintf("the lease book of %s can't be read: %v", r.From, err))
		}
		for _, l := range leases {
			urls = append(urls, l.URL)
		}
	}
	for _, h := range homes {
		more, err := localProviders(h)
		if err != nil {
			f.problem(err.Error())
		}
		urls = append(urls, more...)
	}
	for i, u := range urls {
		urls[i] = strings.TrimSuffix(u, "/")
		if !strings.Contains(u, "://") {
			return nil, fmt.Errorf("--provider %q: want a URL like https://host:port: %w", u, ErrUsage)
		}
	}
	slices.Sort(urls)
	return slices.Compact(urls), nil
}

// localProviders reads the network.json of a HOME; none when there is none.
func localProviders(h Home) ([]string, error) {
	b, err := os.ReadFile(filepath.Join(h.networkDir(), "network.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var n struct{ Providers []localnet.Provider }
	if err == nil {
		err = json.Unmarshal(b, &n)
	}
	if err != nil {
		return nil, fmt.Errorf("the local network of %s can't be read: %w", h.Dir, err)
	}
	var urls []string
	for _, p := range n.Providers {
		urls = append(urls, p.URL)
	}
	return urls, nil
}

func (f *finder) problem(text string) {
	if !slices.Contains(f.report.Problems, text) {
		f.report.Problems = append(f.report.Problems, text)
	}
}

// chooseNetwork takes the network that was named, or the one of the damaged HOME, or else the one of the providers.
func (f *finder) chooseNetwork(ctx context.Context, urls []string, from string) error {
	if f.opt.Network != "" {
		if !slices.Contains(Networks, f.opt.Network) {
			return fmt.Errorf("--network %q: want one of %v: %w", f.opt.Network, Networks, ErrUsage)
		}
		f.network = f.opt.Network
		return nil
	}
	if from != "" {
		if cfg, err := (Home{Dir: from}).Config(); err == nil {
			f.network = cfg.Network
			return nil
		}
	}
	f.network = DefaultNetwork
	for _, url := range urls {
		if info, err := lease.ProviderInfo(ctx, f.net(), url); err == nil && slices.Contains(Networks, info.Network) {
			f.network = info.Network
			break
		}
	}
	return nil
}

func (f *finder) net() lease.Net { return lease.Net{Proxy: f.opt.Proxy} }

// askTimeout bounds the wait for one provider, so that one that hangs doesn't hold up the recovery.
const askTimeout = 20 * time.Second

// search asks the providers for leases and the leases for heads; books that turn up name more leases, which are asked too.
func (f *finder) search(ctx context.Context, urls []string) (*engine.Found, error) {
	f.drive.net = f.net()
	for _, url := range urls {
		if err := f.askProvider(ctx, url); err != nil {
			f.unreachable(fmt.Sprintf("%s: %v", url, err))
		}
	}
	for {
		shards, closeAll, err := f.clients()
		if err != nil {
			return nil, err
		}
		found, err := engine.Find(ctx, f.drive.keys, shards)
		closeAll()
		if err != nil {
			return nil, fmt.Errorf("look for the drive's heads: %w", err)
		}
		if !f.learn(found.Books) {
			for _, u := range found.Unreachable {
				f.unreachable(fmt.Sprintf("%s: %v", u.Lease.URL, u.Err))
			}
			for _, w := range found.Warnings {
				f.problem(w)
			}
			return &found, nil
		}
	}
}

func (f *finder) unreachable(line string) {
	if !slices.Contains(f.report.Unreachable, line) {
		f.report.Unreachable = append(f.report.Unreachable, line)
	}
}

// maxGranted bounds the leases that one provider may name, so that a hostile one can't crowd out those of all others.
const maxGranted = 16

// askProvider adds the leases that a provider lists for the drive's key.
func (f *finder) askProvider(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	info, err := lease.ProviderInfo(ctx, f.net(), url)
	if err != nil {
		return err
	}
	if info.Network != f.network {
		return fmt.Errorf("it works on the network %q, the drive on %q", info.Network, f.network)
	}
	granted, err := lease.Leases(ctx, f.net(), url, info.Key, f.drive.keys.LeaseKey(info.Key), f.network)
	if err != nil {
		return err
	}
	if len(granted) > maxGranted {
		f.problem(fmt.Sprintf("the provider at %s lists %d leases of this phrase; only the first %d are used", url, len(granted), maxGranted))
		granted = granted[:maxGranted]
	}
	for _, g := range granted {
		f.add(Lease{
			ID: g.Lease.String(), Provider: hex.EncodeToString(info.Key), URL: url, Name: providerName(info), Operator: info.Operator,
			Country: info.Country, Size: g.Size, Until: time.Unix(g.Until, 0).UTC(),
		})
	}
	return nil
}

// add takes a lease that isn't known yet.
func (f *finder) add(l Lease) bool {
	if len(f.leases) >= maxLeases || slices.ContainsFunc(f.leases, func(have Lease) bool { return have.ID == l.ID }) {
		return false
	}
	f.leases = append(f.leases, l)
	return true
}

// learn takes the leases of the books; it tells whether any was new.
func (f *finder) learn(books []oplog.Book) (news bool) {
	for _, b := range books {
		for _, l := range b.Leases {
			news = f.add(Lease{
				ID: l.ID.String(), Provider: hex.EncodeToString(l.ProviderKey[:]), URL: l.URL, Name: l.Name, Operator: l.Operator,
				Country: l.Country, Size: l.Size, Until: time.Unix(l.Until, 0).UTC(),
			}) || news
		}
	}
	return news
}

// clients makes a client of every lease that is known.
func (f *finder) clients() ([]transfer.Shards, func(), error) {
	var out []transfer.Shards
	var open []*lease.Client
	for i := range f.leases {
		c, err := f.drive.client(&f.leases[i])
		if err != nil {
			return nil, nil, fmt.Errorf("lease %s: %w", f.leases[i].ID, err)
		}
		out = append(out, c)
		open = append(open, c)
	}
	return out, func() {
		for _, c := range open {
			_ = c.Close() // ends idle connections only
		}
	}, nil
}
