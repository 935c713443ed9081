// Package lease is the client of one lease at one provider. It speaks the "Provider HTTP API" of docs/formats.md and implements
// transfer.Shards; drive makes one Client for each lease of its book and gives them to the pool.
//
// # Trust
//
// The provider is known by its Ed25519 key alone: over TLS its certificate must carry that key (names, chains and dates mean
// nothing), plain HTTP is spoken to loopback only. What a provider says is believed as far as it is proved: receipts by its signature over lease, shard and
// size; slots by the signature of our own lease key; shards by their hash, ranges by a proof (or, when the caller says so, by the caller). Everything it sends
// is bounded before it is read. Redirects are not followed and the environment's proxies not used.
//
// # Tokens
//
// Requests carry a token that the provider gives out for an hour to who proves that he holds the lease key. The client gets one
// when needed, another after four fifths of its life (counted from the provider's own Date, so that wrong clocks don't matter) and another after a 401.
//
// # Connections
//
// Shards travel over several HTTP/1.1 connections (Net.Connections), small questions over two of their own, so that they never wait
// behind shards. With a SOCKS5 proxy each provider gets a user name of its own, which makes Tor use another circuit; loopback is reached directly.
//
// A Client is safe for concurrent use, keeps nothing on disk, and starts no goroutines beyond those of idle connections, which Close ends.
package lease

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/cloudcoin/cloudcoin/sync/model"
	"github.com/cloudcoin/cloudcoin/sync/transfer"
)

// Config of a Client.
type Config struct {
	URL      string             // of the provider: https://host:port, or http:// to loopback only; no slash at its end
	Provider ed25519.PublicKey  // pinned
	Lease    model.LeaseID      //
	Key      ed25519.PrivateKey // the lease key
	Network  string             // name of the network, part of everything signed

	// What the lease's terms say; handed on in Info.
	Name, Operator, Country string
	Size, Until             int64 // bytes; unix seconds

	Net    Net
	Clock  func() time.Time // nil: time.Now
	Logger *slog.Logger     // nil: silent
}

func (c *Config) validate() error {
	switch {
	case len(c.Provider) != ed25519.PublicKeySize:
		return errors.New("the provider's key is missing")
	case len(c.Key) != ed25519.PrivateKeySize:
		return errors.New("the lease key is missing")
	case c.Network == "" || len(c.Network) > 255:
		return fmt.Errorf("network name %q", c.Network)
	}
	return nil
}

// Client is one lease. Safe for concurrent use.
type Client struct {
	cfg  Config
	base string // URL of the lease
	host *host
	auth auth

	mu       sync.Mutex
	used     int64
	size     int64
	until    int64
	cautious bool // the last PUT broke off: ask before sending the body
}

var _ transfer.Shards = (*Client)(nil)

// New makes a client. It doesn't ask the provider.
func New(cfg Config) (*Client, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("lease %s: %w", cfg.Lease, err)
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	h, err := newHost(cfg.Net, cfg.URL, cfg.Provider)
	if err != nil {
		return nil, fmt.Errorf("lease %s: %w", cfg.Lease, err)
	}
	c := &Client{cfg: cfg, host: h, size: cfg.Size, until: cfg.Until, base: h.url + "/v1/leases/" + cfg.Lease.String()}
	c.auth = newAuth(c)
	return c, nil
}

// Close ends idle connections.
func (c *Client) Close() error {
	c.host.close()
	return nil
}

// Info describes the lease as last known, without asking the provider.
func (c *Client) Info() transfer.LeaseInfo {
	c.mu.Lock()
	defer c.mu.Unlock()
	name := c.cfg.Name
	if name == "" {
		name = hex.EncodeToString(c.cfg.Provider[:4])
	}
	return transfer.LeaseInfo{
		ID: c.cfg.Lease, Provider: hex.EncodeToString(c.cfg.Provider), Name: name, URL: c.cfg.URL,
		Operator: c.cfg.Operator, Country: c.cfg.Country, Network: c.host.network(),
		Size: c.size, Used: c.used, Until: c.until,
	}
}

// Usage asks the provider.
func (c *Client) Usage(ctx context.Context) (transfer.Usage, error) {
	var a struct {
		Used  int64     `json:"used"`
		Size  int64     `json:"size"`
		Until time.Time `json:"until"`
	}
	if err := c.call(ctx, "GET", "/usage", nil, &a); err != nil {
		return transfer.Usage{}, c.wrap("ask for usage", err)
	}
	if a.Used < 0 || a.Size < 0 {
		return transfer.Usage{}, c.wrap("ask for usage", fmt.Errorf("it says %d of %d bytes: %w", a.Used, a.Size, transfer.ErrDamaged))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.used, c.size = a.Used, a.Size
	if !a.Until.IsZero() {
		c.until = a.Until.Unix()
	}
	return transfer.Usage{Used: a.Used, Size: a.Size}, nil
}

// wrap says what was being done and with whom.
func (c *Client) wrap(what string, err error) error {
	return fmt.Errorf("%s at %s: %w", what, c.cfg.URL, err)
}
