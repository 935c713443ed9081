// Package lease is the client of one lease at one provider: HTTP, tokens, receipts. It implements transfer.Shards.
package lease

import (
	"context"
	"crypto/ed25519"
	"log/slog"
	"time"

	"github.com/cloudcoin/cloudcoin/sync/model"
	"github.com/cloudcoin/cloudcoin/sync/transfer"
	"golang.org/x/time/rate"
)

// Config of a Client.
type Config struct {
	URL      string             // of the provider: https://host:port, or http:// to loopback only
	Provider ed25519.PublicKey  // pinned
	Lease    model.LeaseID      //
	Key      ed25519.PrivateKey // the lease key
	Network  string             // name of the network, part of everything signed

	// Declared by the lease's terms; only handed on in Info.
	Name, Operator, Country string
	Size, Until             int64

	Net    Net
	Clock  func() time.Time // nil: time.Now
	Logger *slog.Logger     // nil: silent
}

// Net is how providers are reached; one value serves all clients of a drive.
type Net struct {
	Proxy       string        // SOCKS5, "host:port" or "socks5://host:port"; "" none
	Upload      *rate.Limiter // bytes per second over all leases; nil: no limit
	Connections int           // for bulk, for each provider; 0: 8
}

// Client is one lease. Safe for concurrent use.
type Client struct{ transfer.Shards }

// New makes a client. It doesn't ask the provider.
func New(cfg Config) (*Client, error) { panic("being built") }

// Close ends idle connections.
func (c *Client) Close() error { panic("being built") }

// Granted is one lease that a provider lists for a key.
type Granted struct {
	Lease model.LeaseID
	Size  int64
	Used  int64
	Until int64 // unix seconds
}

// Leases asks the provider at url which leases the key holds. provider may be nil: then the key that the provider shows is trusted (recover).
func Leases(ctx context.Context, n Net, url string, provider ed25519.PublicKey, key ed25519.PrivateKey, network string) ([]Granted, error) {
	panic("being built")
}

// Provider is what a provider says about itself.
type Provider struct {
	Key               ed25519.PublicKey
	Network           string
	Operator, Country string
}

// ProviderInfo asks the provider at url who it is.
func ProviderInfo(ctx context.Context, n Net, url string) (Provider, error) { panic("being built") }
