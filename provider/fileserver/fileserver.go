// Package fileserver is the provider's light file server: one http.Handler that speaks the protocol of docs/formats.md, "Provider HTTP API".
//
// It authenticates, checks every request at its border, limits who asks too much, and translates between HTTP and a Vault
// (provider/vault), which holds the bytes and the counters. It keeps nothing durable itself.
//
// # What a request passes
//
// address limits → token → limits of the key → lease and right → the handler. Nothing of a body is read before all of these said yes and, for a
// shard, before its quota is reserved. Every read and write on the connection has a deadline.
//
// # Memory
//
// Each request holds at most one buffer of 256 KiB; the tables of addresses, keys and tokens are bounded, and so are the outlines of shards (8 MiB).
//
// Server is safe for concurrent use.
package fileserver

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/cloudcoin/cloudcoin/provider/ids"
	"github.com/cloudcoin/cloudcoin/provider/ledger"
	"github.com/cloudcoin/cloudcoin/provider/shardstore"
	"github.com/cloudcoin/cloudcoin/provider/vault"
)

// Vault is what the server needs of the provider's store and ledger.
type Vault interface {
	Lease(id ids.Lease) (ledger.Lease, ledger.Usage, ledger.State, error)
	Put(lease ids.Lease, id ids.Shard, size int64) (*vault.Upload, error)
	Open(lease ids.Lease, id ids.Shard) (shardstore.Shard, error)
	Verify(lease ids.Lease, id ids.Shard) (ok bool, size int64, err error)
	Has(lease ids.Lease, shards []ids.Shard) ([]bool, error)
	Delete(lease ids.Lease, shards []ids.Shard) (int, error)
	List(lease ids.Lease, after *ids.Shard, limit int) ([]shardstore.Entry, error)
	PutSlot(lease ids.Lease, name string, value []byte, allow func(stored []byte) error) error
	Slot(lease ids.Lease, name string) ([]byte, error)
	Slots(lease ids.Lease) ([]string, error)
}

var _ Vault = (*vault.Vault)(nil)

// Register lists the leases of a key.
type Register interface {
	Held(renter ed25519.PublicKey) []ledger.Lease
}

var _ Register = (*ledger.Ledger)(nil)

// Config of a Server. All fields but Limits are needed.
type Config struct {
	Vault    Vault
	Register Register
	Key      ed25519.PrivateKey // the provider's identity: signs receipts
	TokenKey ed25519.PrivateKey // signs tokens
	Network  string
	Name     string // for people
	Operator string // declared; may be empty
	Country  string // declared; may be empty
	Version  string
	MaxShard int64 // bytes; 0: DefaultMaxShard
	Limits   Limits
	Now      func() time.Time
	Random   io.Reader
	Logger   *slog.Logger
}

// DefaultMaxShard is the longest shard that is taken unless configured otherwise.
const DefaultMaxShard = 64 << 20

// Server is the handler.
type Server struct {
	cfg      Config
	provider ed25519.PublicKey
	nonces   *nonces
	tokens   tokenCache
	outlines outlines
	byAddr   *table // connections' addresses, all requests
	byAnon   *table // the same, requests without a valid token
	byKey    *table // renters' keys
}

// New makes a server. It fails only when random does.
func New(cfg Config) (*Server, error) {
	if cfg.MaxShard == 0 {
		cfg.MaxShard = DefaultMaxShard
	}
	cfg.Limits = cfg.Limits.withDefaults()
	n, err := newNonces(cfg.Random)
	if err != nil {
		return nil, fmt.Errorf("file server: %w", err)
	}
	l := cfg.Limits
	return &Server{
		cfg: cfg, provider: cfg.Key.Public().(ed25519.PublicKey), nonces: n,
		byAddr: newTable(l.AddressInFlight, l.AddressRate, cfg.Now),
		byAnon: newTable(l.AddressInFlight, l.StrangerRate, cfg.Now),
		byKey:  newTable(l.KeyInFlight, l.KeyRate, cfg.Now),
	}, nil
}

// request is one request on its way through.
type request struct {
	*http.Request
	w     http.ResponseWriter
	s     *Server
	lease ledger.Lease
	usage ledger.Usage
	state ledger.State
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, hr *http.Request) {
	r := &request{Request: hr, w: w, s: s}
	r.deadline(0)
	addr := addressOf(hr.RemoteAddr)
	leave, ok := s.byAddr.enter(addr)
	if !ok {
		r.fail(errTooMany)
		return
	}
	defer leave()
	if err := r.route(addr); err != nil {
		r.fail(err)
	}
}

// route finds the handler by the path. Paths have one spelling: escapes, empty and dotted elements are not found.
func (r *request) route(addr string) error {
	path, ok := strings.CutPrefix(r.URL.Path, "/v1/")
	if !ok || r.URL.RawPath != "" {
		return errNotFound
	}
	switch path {
	case "provider":
		return r.only(http.MethodGet, r.about)
	case "challenge", "tokens":
		leave, ok := r.s.byAnon.enter(addr)
		if !ok {
			return errTooMany
		}
		defer leave()
		if path == "challenge" {
			return r.only(http.MethodGet, r.challenge)
		}
		return r.only(http.MethodPost, r.grantTokens)
	}
	parts := strings.Split(path, "/")
	if len(parts) < 3 || len(parts) > 4 || parts[0] != "leases" {
		return errNotFound
	}
	id, err := ids.ParseLease(parts[1])
	if err != nil {
		return badRequest("%v", err)
	}
	leave, err := r.authorize(addr, id)
	if err != nil {
		return err
	}
	defer leave()
	if len(parts) == 4 {
		return r.routeOne(parts[2], parts[3])
	}
	return r.routeAll(parts[2])
}

// routeAll serves what concerns a whole lease.
func (r *request) routeAll(what string) error {
	switch what {
	case "shards":
		return r.only(http.MethodGet, r.listShards)
	case "shards:has":
		return r.only(http.MethodPost, r.hasShards)
	case "shards:delete":
		return r.only(http.MethodPost, r.deleteShards)
	case "slots":
		return r.only(http.MethodGet, r.listSlots)
	case "usage":
		return r.only(http.MethodGet, r.usageOf)
	}
	return errNotFound
}

// routeOne serves one shard or slot.
func (r *request) routeOne(kind, name string) error {
	switch kind {
	case "shards":
		id, err := ids.ParseShard(name)
		if err != nil {
			return badRequest("%v", err)
		}
		switch r.Method {
		case http.MethodGet, http.MethodHead:
			return r.getShard(id)
		case http.MethodPut:
			return r.putShard(id)
		case http.MethodDelete:
			return r.deleteShard(id)
		}
		return r.wrongMethod("GET, HEAD, PUT, DELETE")
	case "slots":
		if !validSlotName(name) {
			return badRequest("a slot's name is 1 to 64 of A-Z a-z 0-9 _ -")
		}
		switch r.Method {
		case http.MethodGet:
			return r.getSlot(name)
		case http.MethodPut:
			return r.putSlot(name)
		}
		return r.wrongMethod("GET, PUT")
	}
	return errNotFound
}

func (r *request) only(method string, fn func() error) error {
	if r.Method != method {
		return r.wrongMethod(method)
	}
	return fn()
}

func (r *request) wrongMethod(allow string) error {
	r.w.Header().Set("Allow", allow)
	return problem(http.StatusMethodNotAllowed, "method-not-allowed", "this address takes "+allow)
}

// about answers GET /v1/provider.
func (r *request) about() error {
	c := &r.s.cfg
	return r.json(map[string]any{
		"provider": hex.EncodeToString(r.s.provider), "name": c.Name, "network": c.Network, "operator": c.Operator, "country": c.Country,
		"version": c.Version, "time": stamp(c.Now()), "max_shard": c.MaxShard, "min_charge": vault.MinCharge,
	})
}

// usageOf answers GET …/usage.
func (r *request) usageOf() error {
	return r.json(map[string]any{
		"used": r.usage.Bytes, "size": r.lease.Size, "shards": r.usage.Shards, "until": stamp(r.lease.Until), "state": r.state,
	})
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// deadline gives the connection time for what comes next: reading a body or writing an answer of so many bytes. A peer must
// manage minRate.
func (r *request) deadline(bytes int64) {
	c := http.NewResponseController(r.w)
	t := r.s.cfg.Limits.Patience + time.Duration(bytes/minRate)*time.Second
	// Deadlines are the wall clock's, not the program's. Writers that have none (tests) say so, which is fine.
	at := time.Now().Add(t)
	if err := errors.Join(c.SetReadDeadline(at), c.SetWriteDeadline(at)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		r.s.cfg.Logger.Debug("set deadline", "err", err)
	}
}
