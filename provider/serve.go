package provider

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/cloudcoin/cloudcoin/internal/version"
	"github.com/cloudcoin/cloudcoin/provider/fileserver"
	"github.com/cloudcoin/cloudcoin/provider/ledger"
)

const (
	drainTime  = 10 * time.Second // for requests under way when the provider ends
	reapPeriod = ledger.MaxStep / 2
)

// Serve serves renters and the operator's commands until ctx ends, then ends in order: no new requests, those under way have ten seconds.
// ready is called once with the URL when everything answers.
func (p *Provider) Serve(ctx context.Context, ready func(url string)) error {
	addr := p.cfg.Listen
	if p.env.Listen != "" {
		addr = p.env.Listen
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", addr, err)
	}
	secure, err := p.secure(ln.Addr())
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	handler, err := p.fileServer()
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	admin, err := p.listenAdmin()
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	files, local := newServer(handler, p.env.Logger), newServer(p.adminHandler(), p.env.Logger)
	if secure {
		if files.TLSConfig, err = p.tlsConfig(); err != nil {
			return errors.Join(err, ln.Close(), admin.Close())
		}
	}
	failed := make(chan error, 2)
	limited := newLimitedListener(ln, p.cfg.Limits.Connections, p.cfg.Limits.ConnectionsPerAddress)
	go func() {
		if secure {
			failed <- files.ServeTLS(limited, "", "")
		} else {
			failed <- files.Serve(limited)
		}
	}()
	go func() { failed <- local.Serve(admin) }()

	p.setURL(listenURL(&p.cfg, ln.Addr(), secure))
	defer p.setURL("")
	ready(p.currentURL())
	err = p.wait(ctx, failed)
	return errors.Join(err, shutdown(files), shutdown(local))
}

// wait returns when ctx ends or a server fails, and drops what ended leases left behind meanwhile.
func (p *Provider) wait(ctx context.Context, failed <-chan error) error {
	tick := time.NewTicker(reapPeriod)
	defer tick.Stop()
	for {
		if err := p.vault.Reap(); err != nil {
			p.env.Logger.Error("drop the data of ended leases", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return fmt.Errorf("serve: %w", err)
		case <-tick.C:
		}
	}
}

// shutdown lets requests under way end, for a while.
func shutdown(s *http.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	err := s.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return s.Close()
	}
	return err
}

func newServer(h http.Handler, logger *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: 128},
	}
}

// fileServer makes the handler for renters.
func (p *Provider) fileServer() (*fileserver.Server, error) {
	l := &p.cfg.Limits
	return fileserver.New(fileserver.Config{
		Vault: p.vault, Register: p.ledger, Key: p.keys.ProviderKey(), TokenKey: p.keys.TokenKey(),
		Network: p.cfg.Network, Name: p.cfg.Name, Operator: p.cfg.Operator, Country: p.cfg.Country, Version: version.Version,
		MaxShard: int64(p.cfg.MaxShard),
		Limits: fileserver.Limits{
			AddressInFlight: l.RequestsPerAddress, KeyInFlight: l.RequestsPerKey, AddressRate: l.RatePerAddress, KeyRate: l.RatePerKey,
		},
		Now: p.env.Now, Random: p.env.Random, Logger: p.env.Logger,
	})
}

// secure tells whether to serve TLS at an address.
func (p *Provider) secure(addr net.Addr) (bool, error) {
	ap, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return false, fmt.Errorf("listen: %w", err)
	}
	loopback := ap.Addr().Unmap().IsLoopback()
	if p.cfg.TLS == "off" && !loopback {
		return false, errors.New(`tls = "off" is for loopback only: outside, anybody on the way could take over a lease`)
	}
	return p.cfg.TLS == "on" || p.cfg.TLS == "auto" && !loopback, nil
}

// tlsConfig makes a certificate from the provider's key. Renters check nothing of it but the key, so it says nothing else and never ends.
func (p *Provider) tlsConfig() (*tls.Config, error) {
	key := p.keys.ProviderKey()
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "cloudcoin provider"},
		NotBefore: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(p.env.Random, tmpl, tmpl, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make certificate: %w", err)
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
	}, nil
}

// listenURL is the address that renters are given; "" when it isn't known.
func listenURL(c *Config, addr net.Addr, secure bool) string {
	if c.URL != "" {
		return c.URL
	}
	if secure {
		return "https://" + addr.String()
	}
	return "http://" + addr.String()
}

func (p *Provider) setURL(u string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.url = u
}

func (p *Provider) currentURL() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.url
}

// publicURL is what goes into lease codes, running or not.
func (p *Provider) publicURL() (string, error) {
	if p.cfg.URL != "" {
		return p.cfg.URL, nil
	}
	addr := p.cfg.Listen
	if p.env.Listen != "" {
		addr = p.env.Listen
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("listen: %w", err)
	}
	ip, err := netip.ParseAddr(host)
	if host == "" || err == nil && ip.IsUnspecified() {
		return "", ErrNoURL
	}
	if u := p.currentURL(); u != "" {
		return u, nil
	}
	if port == "0" {
		return "", fmt.Errorf("%w: the port is chosen anew at each start", ErrNoURL)
	}
	scheme := "https://"
	if p.cfg.TLS != "on" && loopbackHost(host) {
		scheme = "http://"
	}
	return scheme + net.JoinHostPort(host, port), nil
}
