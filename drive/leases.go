package drive

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cloudcoin/cloudcoin/crypto/leasecode"
	"github.com/cloudcoin/cloudcoin/drive/lease"
	"github.com/cloudcoin/cloudcoin/sync/model"
	"github.com/cloudcoin/cloudcoin/sync/oplog"
	"github.com/cloudcoin/cloudcoin/sync/transfer"
)

// LeaseKey asks the provider at url who it is and returns the key to give to its operator: another one for each provider.
func LeaseKey(ctx context.Context, opt Options, url string) (string, error) {
	keys, cfg, err := opt.Home.keys()
	if err != nil {
		return "", err
	}
	if err := opt.Home.CheckNetwork(opt.Network); err != nil {
		return "", err
	}
	p, err := lease.ProviderInfo(ctx, lease.Net{Proxy: opt.Proxy}, url)
	if err != nil {
		return "", fmt.Errorf("ask the provider at %s: %w", url, err)
	}
	if p.Network != cfg.Network {
		return "", fmt.Errorf("the provider at %s works on the network %q, this drive on %q", url, p.Network, cfg.Network)
	}
	return leasecode.FormatKey(publicKey(keys.LeaseKey(p.Key))), nil
}

func publicKey(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

// AddLease takes a lease code. The provider is asked whether the lease is open; a code that is taken twice is no error.
func (d *Drive) AddLease(ctx context.Context, code string) (LeaseStatus, error) {
	c, err := leasecode.Parse(code)
	if err != nil {
		return LeaseStatus{}, fmt.Errorf("%w: %w", ErrUsage, err)
	}
	if c.Network != d.cfg.Network {
		return LeaseStatus{}, fmt.Errorf("the lease is of the network %q, this drive of %q: %w", c.Network, d.cfg.Network, ErrNetwork)
	}
	if want := publicKey(d.keys.LeaseKey(c.Provider)); !want.Equal(c.Renter) {
		return LeaseStatus{}, fmt.Errorf("the lease was granted to another key; give the operator %s (`ccdrive lease key %s`) and ask for another code", leasecode.FormatKey(want), c.URL)
	}
	id := model.LeaseID(c.ID)
	info, err := lease.ProviderInfo(ctx, d.net, c.URL)
	if err != nil {
		return LeaseStatus{}, fmt.Errorf("ask the provider at %s: %w", c.URL, err)
	}
	if !info.Key.Equal(c.Provider) {
		return LeaseStatus{}, fmt.Errorf("at %s answers another provider than the one that signed the code", c.URL)
	}
	l := leaseOf(&c, info, providerName(info))
	if err := d.addLeases([]Lease{l}); err != nil {
		return LeaseStatus{}, err
	}
	if err := d.pool.Probe(ctx, id); err != nil {
		return LeaseStatus{}, fmt.Errorf("the lease is kept, but it doesn't answer yet: %w", err)
	}
	for _, s := range d.LeaseStatus() {
		if s.Lease == l.ID {
			return s, nil
		}
	}
	return LeaseStatus{}, fmt.Errorf("lease %s: %w", l.ID, ErrNotFound)
}

// leaseOf is the line of the lease book for a code.
func leaseOf(c *leasecode.Lease, p lease.Provider, name string) Lease {
	return Lease{
		ID: model.LeaseID(c.ID).String(), Provider: hex.EncodeToString(c.Provider), URL: c.URL, Name: name, Operator: p.Operator, Country: p.Country,
		Size: c.Size, Until: time.Unix(c.Until, 0).UTC(),
	}
}

func providerName(p lease.Provider) string {
	if p.Name != "" {
		return p.Name
	}
	return hex.EncodeToString(p.Key[:4])
}

// addLeases adds leases to the book and begins to use them. One that is known already is replaced.
func (d *Drive) addLeases(add []Lease) error {
	d.mu.Lock()
	leases := slices.Clone(d.leases)
	d.mu.Unlock()
	for _, l := range add {
		i := slices.IndexFunc(leases, func(have Lease) bool { return have.ID == l.ID })
		if i < 0 {
			leases = append(leases, l)
		} else {
			leases[i] = l
		}
	}
	if len(leases) > maxLeases {
		return fmt.Errorf("a drive can hold %d leases at most", maxLeases)
	}
	if err := d.opt.Home.saveBook(leases); err != nil {
		return err
	}
	if err := d.setLeases(leases); err != nil {
		return err
	}
	d.engine.Leases()
	return nil
}

// setLeases makes the pool use exactly these leases.
func (d *Drive) setLeases(leases []Lease) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	clients := make(map[string]*lease.Client, len(leases))
	shards := make([]transfer.Shards, 0, len(leases))
	for i := range leases {
		l := &leases[i]
		c := d.clients[l.ID]
		if c == nil || c.Info().URL != l.URL {
			var err error
			if c, err = d.client(l); err != nil {
				return fmt.Errorf("lease %s: %w", l.ID, err)
			}
		}
		clients[l.ID] = c
		shards = append(shards, c)
	}
	var errs []error
	for id, c := range d.clients {
		if clients[id] != c {
			errs = append(errs, c.Close())
		}
	}
	d.leases, d.clients = leases, clients
	d.pool.SetLeases(shards)
	return errors.Join(errs...)
}

// bookLeases are the leases as the engine writes them into the sealed book on every lease.
func (d *Drive) bookLeases() []oplog.BookLease {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := make([]oplog.BookLease, 0, len(d.leases))
	for i := range d.leases {
		l := &d.leases[i]
		id, key, err := l.ids()
		if err != nil {
			continue // checked when the book was read
		}
		out = append(out, oplog.BookLease{
			ID: id, URL: l.URL, ProviderKey: [32]byte(key), Size: l.Size, Until: l.Until.Unix(),
			Name: l.Name, Operator: l.Operator, Country: l.Country,
		})
	}
	return out
}

// leasesWait is how long answers of providers are waited for.
const leasesWait = 5 * time.Second

// Leases lists the leases after asking each provider how much is used.
func (d *Drive) Leases(ctx context.Context) []LeaseStatus {
	ctx, cancel := context.WithTimeout(ctx, leasesWait)
	defer cancel()
	var asked sync.WaitGroup
	for _, s := range d.pool.Leases() {
		asked.Go(func() {
			if err := d.pool.Probe(ctx, s.Info.ID); err != nil {
				d.opt.Logger.Debug("a lease doesn't answer", "lease", s.Info.ID, "err", err) // its state says so
			}
		})
	}
	asked.Wait()
	return d.LeaseStatus()
}

// LeaseStatus lists the leases with what is known of them now.
func (d *Drive) LeaseStatus() []LeaseStatus {
	states := d.pool.Leases()
	out := make([]LeaseStatus, 0, len(states))
	for _, s := range states {
		until := time.Unix(s.Info.Until, 0).UTC()
		out = append(out, LeaseStatus{
			Lease: s.Info.ID.String(), Provider: s.Info.Name, URL: s.Info.URL, State: string(s.State), Size: s.Info.Size, Used: s.Info.Used,
			Until: until, PaidUntil: until, Price: "0", Error: s.LastError,
		})
	}
	return out
}

// leaseNames maps leases to the names of their providers.
func (d *Drive) leaseNames() map[model.LeaseID]string {
	names := map[model.LeaseID]string{}
	for _, s := range d.pool.Leases() {
		names[s.Info.ID] = s.Info.Name
	}
	return names
}
