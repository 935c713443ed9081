// Package provider is the program ccprovider as a library: a HOME with keys, configuration, ledger and shard store; the file server on it; and the local
// API through which an operator's commands reach a running provider.
//
// # Nouns
//
// Home is the folder. Provider is an open HOME: it holds the HOME's lock, so there is one at a time. Operator is what an operator can do; a Provider does it
// directly and a Client asks the running process over the Unix socket HOME/admin.sock (mode 0600), so commands need not care.
//
// # What survives
//
// Everything that was acknowledged (provider/vault, provider/ledger). A kill at any moment needs no repair step.
//
// All methods are safe for concurrent use.
package provider

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/cloudcoin/cloudcoin/crypto/keychain"
	"github.com/cloudcoin/cloudcoin/crypto/leasecode"
	"github.com/cloudcoin/cloudcoin/crypto/phrase"
	"github.com/cloudcoin/cloudcoin/internal/homelock"
	"github.com/cloudcoin/cloudcoin/internal/version"
	"github.com/cloudcoin/cloudcoin/provider/ids"
	"github.com/cloudcoin/cloudcoin/provider/ledger"
	"github.com/cloudcoin/cloudcoin/provider/shardstore"
	"github.com/cloudcoin/cloudcoin/provider/vault"
)

// ErrNoURL is returned by Grant when the provider doesn't know under which address renters reach it.
var ErrNoURL = errors.New("renters need an address: set `url` in ccprovider.toml (for example https://storage.example.org:7420)")

// Env is what a Provider takes from its surroundings.
type Env struct {
	Now    func() time.Time
	Random io.Reader
	Logger *slog.Logger
	Listen string // instead of the configured address; "" keeps that
}

// Provider is an open HOME.
type Provider struct {
	home   Home
	cfg    Config
	env    Env
	keys   *keychain.Keychain
	lock   *homelock.Lock
	ledger *ledger.Ledger
	store  shardstore.Store
	vault  *vault.Vault
	start  time.Time

	mu  sync.Mutex
	url string // while it serves; "" otherwise
}

var _ Operator = (*Provider)(nil)

// Open locks a HOME and opens everything in it; what a crash interrupted is finished. Errors: ErrNoProvider, *homelock.HeldError.
func Open(home Home, env Env) (*Provider, error) {
	cfg, err := home.Config()
	if err != nil {
		return nil, err
	}
	lock, err := homelock.Acquire(home.Dir)
	if err != nil {
		return nil, err
	}
	p := &Provider{home: home, cfg: cfg, env: env, lock: lock, start: env.Now()}
	if err := p.open(); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

func (p *Provider) open() error {
	words, err := os.ReadFile(p.home.path(phraseFile))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the provider's phrase %s is missing: without it no renter recognises this provider; bring it back from your backup", p.home.path(phraseFile))
	}
	if err != nil {
		return fmt.Errorf("read phrase: %w", err)
	}
	ph, err := phrase.Parse(string(words))
	if err != nil {
		return fmt.Errorf("read phrase %s: %w", p.home.path(phraseFile), err)
	}
	p.keys = keychain.New(ph.Seed(), p.cfg.Network)
	if p.ledger, err = ledger.Open(p.home.path(ledgerDir), p.env.Logger); err != nil {
		return err
	}
	if p.store, err = p.openStore(); err != nil {
		return err
	}
	p.vault, err = vault.Open(p.store, p.ledger, p.env.Now, p.env.Logger)
	return err
}

// openStore opens the shard store. A missing one is made anew only when nothing of anybody's can have been in it.
func (p *Provider) openStore() (shardstore.Store, error) {
	dir := p.home.storage(&p.cfg)
	s, err := shardstore.OpenFolder(dir)
	if err == nil {
		return s, nil
	}
	if !errors.Is(err, shardstore.ErrNoStore) {
		return nil, err
	}
	for _, l := range p.ledger.Leases() {
		if _, u, lerr := p.ledger.Lease(l.ID); lerr != nil || u.Shards > 0 {
			return nil, fmt.Errorf("%w: is the disk of %s mounted? If the shards are really gone, `ccprovider wipe` makes an empty store; renters then send them again", err, dir)
		}
	}
	if err := shardstore.CreateFolder(dir); err != nil {
		return nil, err
	}
	if s, err = shardstore.OpenFolder(dir); err != nil {
		return nil, err
	}
	return s, nil
}

// Close closes everything and gives the HOME back.
func (p *Provider) Close() error {
	var errs []error
	if p.store != nil {
		errs = append(errs, p.store.Close())
	}
	if p.ledger != nil {
		errs = append(errs, p.ledger.Close())
	}
	return errors.Join(append(errs, p.lock.Release())...)
}

// Config returns the configuration that the provider was opened with.
func (p *Provider) Config() Config { return p.cfg }

// Key is the provider's identity.
func (p *Provider) Key() ed25519.PublicKey { return p.keys.ProviderKey().Public().(ed25519.PublicKey) }

// Status implements Operator.
func (p *Provider) Status(context.Context) (Status, error) {
	st := Status{
		State: "stopped", PID: os.Getpid(), Provider: fmt.Sprintf("%x", p.Key()), Network: p.cfg.Network, Name: p.cfg.Name,
		Operator: p.cfg.Operator, Country: p.cfg.Country, Version: version.Version, Started: p.start.UTC().Truncate(time.Second),
	}
	p.mu.Lock()
	if p.url != "" {
		st.State, st.URL = "running", p.url
	}
	p.mu.Unlock()
	now := p.env.Now()
	for _, l := range p.ledger.Leases() {
		_, u, err := p.ledger.Lease(l.ID)
		if err != nil {
			continue // forgotten meanwhile
		}
		st.Used += u.Bytes
		st.Shards += u.Shards
		if l.At(now) != ledger.StateEnded {
			st.Leases++
			st.Promised += l.Size
		}
	}
	var err error
	if st.Free, st.Disk, err = p.store.Room(); err != nil {
		return st, err
	}
	if st.Promised-st.Used > st.Free {
		st.Warnings = append(st.Warnings, "more is promised to renters than the disk has room for")
	}
	return st, nil
}

// Leases implements Operator.
func (p *Provider) Leases(context.Context) ([]Lease, error) {
	now := p.env.Now()
	out := []Lease{}
	for _, l := range p.ledger.Leases() {
		_, u, err := p.ledger.Lease(l.ID)
		if errors.Is(err, ledger.ErrNotFound) {
			continue // forgotten meanwhile
		}
		if err != nil {
			return nil, err
		}
		out = append(out, Lease{
			Lease: l.ID.String(), For: leasecode.FormatKey(l.Renter), State: string(l.At(now)), Size: l.Size, Used: u.Bytes, Shards: u.Shards,
			Created: l.Created, Until: l.Until, DataUntil: l.Until.Add(l.Grace), Note: l.Note,
		})
	}
	return out, nil
}

// Grant implements Operator.
func (p *Provider) Grant(_ context.Context, a Ask) (Granted, error) {
	now := p.env.Now()
	if err := a.Validate(now); err != nil {
		return Granted{}, err
	}
	url, err := p.publicURL()
	if err != nil {
		return Granted{}, err
	}
	var id ids.Lease
	if _, err := io.ReadFull(p.env.Random, id[:]); err != nil {
		return Granted{}, fmt.Errorf("draw lease id: %w", err)
	}
	until := a.Until.UTC().Truncate(time.Second)
	code, err := leasecode.Format(leasecode.Lease{
		Network: p.cfg.Network, URL: url, Provider: p.Key(), ID: id, Size: a.Size, Until: until.Unix(), Renter: a.For,
	}, p.keys.ProviderKey())
	if err != nil {
		return Granted{}, err
	}
	err = p.ledger.Grant(ledger.Lease{
		ID: id, Renter: a.For, Size: a.Size, Created: now.UTC().Truncate(time.Second), Until: until, Grace: time.Duration(p.cfg.Grace), Note: a.Note,
	})
	if err != nil {
		return Granted{}, err
	}
	g := Granted{Lease: id.String(), Code: code, Until: until, Size: a.Size}
	if st, err := p.Status(context.Background()); err == nil {
		g.Warnings = st.Warnings
	}
	return g, nil
}

// Scrub implements Operator.
func (p *Provider) Scrub(ctx context.Context) (Scrubbed, error) {
	r, err := p.vault.Scrub(ctx)
	out := Scrubbed{Shards: r.Shards, Bytes: r.Bytes, Slots: r.Slots, Damaged: []Damaged{}}
	for _, d := range r.Damaged {
		one := Damaged{Lease: d.Lease.String(), Slot: d.Slot}
		if d.Slot == "" {
			one.Shard = d.Shard.String()
		}
		out.Damaged = append(out.Damaged, one)
	}
	for _, id := range r.Strange {
		out.Strange = append(out.Strange, id.String())
	}
	return out, err
}

// Wipe implements Operator.
func (p *Provider) Wipe(context.Context) error { return p.vault.Wipe() }

// Wipe loses the shards and slots of all leases of a HOME, running or not, also when the store itself is gone.
func Wipe(ctx context.Context, home Home, env Env) error {
	c, err := home.Config()
	if err != nil {
		return err
	}
	if _, err := Connect(ctx, home); errors.Is(err, ErrNotRunning) {
		if err := shardstore.CreateFolder(home.storage(&c)); err != nil {
			return err
		}
	}
	return Operate(ctx, home, env, func(o Operator) error { return o.Wipe(ctx) })
}
