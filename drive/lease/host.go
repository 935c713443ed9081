package lease

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/proxy"
	"golang.org/x/time/rate"
)

// Net is how providers are reached; one value serves all clients of a drive.
type Net struct {
	Proxy       string        // SOCKS5, "host:port" or "socks5://host:port"; "" none
	Upload      *rate.Limiter // bytes per second over all leases; nil: no limit
	Connections int           // for shards, for each provider; 0: 8
}

const (
	dialTimeout  = 10 * time.Second
	bulkBuffer   = 128 << 10
	controlConns = 2
)

// ErrNotPinned is returned when a provider shows another key than that of the lease: somebody else answers at its address.
var ErrNotPinned = errors.New("another key than the provider's answers at its address")

// host is one provider's address: how to connect to it and to nobody else.
type host struct {
	url      string
	provider ed25519.PublicKey // nil: the first key that is shown, then that one
	upload   *rate.Limiter
	bulk     *http.Client // shards
	control  *http.Client // everything else

	mu      sync.Mutex
	shown   ed25519.PublicKey // the key of the newest TLS connection
	address string            // network of the address: /16, /32, "loopback" or unknown
}

func newHost(n Net, raw string, provider ed25519.PublicKey) (*host, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.HasSuffix(raw, "/") {
		return nil, fmt.Errorf("%q is not the URL of a provider (https://HOST:PORT)", raw)
	}
	local := isLoopback(u.Hostname())
	switch {
	case u.Scheme == "http" && !local:
		return nil, fmt.Errorf("%q: plain HTTP is spoken to this machine only; use https", raw)
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("%q is neither https nor http", raw)
	}
	h := &host{url: raw, provider: provider, upload: n.Upload}
	if local {
		h.address = "loopback"
	} else if ip, err := netip.ParseAddr(u.Hostname()); err == nil {
		h.address = networkOf(ip)
	}
	dial, err := h.dialer(n.Proxy, local)
	if err != nil {
		return nil, err
	}
	if n.Connections <= 0 {
		n.Connections = 8
	}
	h.bulk = h.client(dial, n.Connections, 0, bulkBuffer)
	h.control = h.client(dial, controlConns, 0, 0)
	return h, nil
}

type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

func (h *host) dialer(socks string, local bool) (dialFunc, error) {
	direct := &net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}
	if socks == "" || local {
		return func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := direct.DialContext(ctx, network, addr)
			if err == nil {
				h.noteAddress(conn.RemoteAddr())
			}
			return conn, err
		}, nil
	}
	addr := strings.TrimPrefix(strings.TrimPrefix(socks, "socks5://"), "socks5h://")
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return nil, fmt.Errorf("proxy %q is not HOST:PORT: %w", socks, err)
	}
	// Another user name for each provider: Tor then takes another circuit, and exits can't tell that one drive talks to all of them.
	name := sha256.Sum256(append([]byte("cloudcoin circuit\n"+h.url+"\n"), h.provider...))
	d, err := proxy.SOCKS5("tcp", addr, &proxy.Auth{User: hex.EncodeToString(name[:8]), Password: "x"}, direct)
	if err != nil {
		return nil, fmt.Errorf("proxy %q: %w", socks, err)
	}
	return d.(proxy.ContextDialer).DialContext, nil
}

// client speaks HTTP/1.1 over up to idle connections that are kept, and atMost in all (0: no limit).
func (h *host) client(dial dialFunc, idle, atMost, buffer int) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext:            dial,
			TLSClientConfig:        h.tls(),
			TLSHandshakeTimeout:    dialTimeout,
			MaxIdleConnsPerHost:    idle,
			MaxConnsPerHost:        atMost,
			IdleConnTimeout:        time.Minute,
			ExpectContinueTimeout:  10 * time.Second,
			WriteBufferSize:        buffer,
			ReadBufferSize:         buffer,
			DisableCompression:     true,
			MaxResponseHeaderBytes: 16 << 10,
			TLSNextProto:           map[string]func(string, *tls.Conn) http.RoundTripper{}, // no HTTP/2: several connections are faster
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// tls accepts exactly the pinned key. TLS 1.3 makes the other side prove that it holds it.
func (h *host) tls() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		InsecureSkipVerify: true, // names and chains mean nothing here: VerifyConnection pins the key
		VerifyConnection: func(cs tls.ConnectionState) error {
			if len(cs.PeerCertificates) == 0 {
				return ErrNotPinned
			}
			key, ok := cs.PeerCertificates[0].PublicKey.(ed25519.PublicKey)
			if !ok || h.provider != nil && !bytes.Equal(key, h.provider) {
				return ErrNotPinned
			}
			h.mu.Lock()
			defer h.mu.Unlock()
			h.shown = key
			return nil
		},
	}
}

func (h *host) close() {
	h.bulk.CloseIdleConnections()
	h.control.CloseIdleConnections()
}

// shownKey is the key of the newest TLS connection; nil over plain HTTP.
func (h *host) shownKey() ed25519.PublicKey {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.shown
}

func (h *host) network() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.address
}

func (h *host) noteAddress(a net.Addr) {
	if ap, err := netip.ParseAddrPort(a.String()); err == nil {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.address = networkOf(ap.Addr())
	}
}

// networkOf is what is lost together with an address: its /16, for IPv6 its /32.
func networkOf(ip netip.Addr) string {
	ip = ip.Unmap().WithZone("")
	if ip.IsLoopback() {
		return "loopback"
	}
	bits := 32
	if ip.Is4() {
		bits = 16
	}
	p, err := ip.Prefix(bits)
	if err != nil {
		return ""
	}
	return p.String()
}

func isLoopback(name string) bool {
	if name == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(name)
	return err == nil && ip.IsLoopback()
}
