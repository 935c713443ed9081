package provider

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cloudcoin/cloudcoin/crypto/leasecode"
	"github.com/cloudcoin/cloudcoin/crypto/merkle"
	"github.com/cloudcoin/cloudcoin/internal/homelock"
	"github.com/cloudcoin/cloudcoin/provider/fileserver"
	"github.com/cloudcoin/cloudcoin/provider/shardstore"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func env() Env {
	return Env{Now: time.Now, Random: rand.Reader, Logger: slog.New(slog.DiscardHandler)}
}

func newHome(t testing.TB, dir string, change func(*Config)) Home {
	t.Helper()
	c := DefaultConfig()
	c.Network, c.Listen = "local", "127.0.0.1:0"
	if change != nil {
		change(&c)
	}
	h := Home{Dir: dir}
	must(t, Init(h, c, rand.Reader))
	return h
}

// serve runs a provider until the test ends or stop is called.
func serve(t testing.TB, h Home) (url string, stop func()) {
	t.Helper()
	p, err := Open(h, env())
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan string, 1), make(chan error, 1)
	go func() { done <- p.Serve(ctx, func(u string) { ready <- u }) }()
	ended := false
	stop = func() {
		if !ended {
			ended = true
			cancel()
			must(t, errors.Join(<-done, p.Close()))
		}
	}
	t.Cleanup(stop)
	select {
	case url = <-ready:
	case err := <-done:
		t.Fatal(err)
	}
	return url, stop
}

// renter is a small client of one lease.
type renter struct {
	t     testing.TB
	http  *http.Client
	key   ed25519.PrivateKey
	lease leasecode.Lease
	token string
}

func newRenter(t testing.TB, o Operator) *renter {
	t.Helper()
	return newRenterOf(t, o, 1<<30)
}

func newRenterOf(t testing.TB, o Operator, size int64) *renter {
	t.Helper()
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{42}, 32))
	g, err := o.Grant(context.Background(), Ask{For: key.Public().(ed25519.PublicKey), Size: max(size, 1<<20), Until: time.Now().Add(time.Hour)})
	must(t, err)
	l, err := leasecode.Parse(g.Code)
	must(t, err)
	r := &renter{t: t, key: key, lease: l}
	pin := &tls.Config{InsecureSkipVerify: true, VerifyConnection: func(s tls.ConnectionState) error { //nolint:gosec // the key is checked
		if k, ok := s.PeerCertificates[0].PublicKey.(ed25519.PublicKey); !ok || !k.Equal(l.Provider) {
			return x509.UnknownAuthorityError{Cert: s.PeerCertificates[0]}
		}
		return nil
	}}
	r.http = &http.Client{Transport: &http.Transport{TLSClientConfig: pin, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 64}}
	t.Cleanup(r.http.CloseIdleConnections)
	r.login()
	return r
}

func (r *renter) login() {
	r.t.Helper()
	var c struct{ Nonce string }
	_, b := r.do("GET", "/v1/challenge", nil)
	must(r.t, json.Unmarshal(b, &c))
	pub := r.key.Public().(ed25519.PublicKey)
	sig := ed25519.Sign(r.key, fileserver.AuthMessage(r.lease.Network, r.lease.Provider, pub, c.Nonce))
	body, err := json.Marshal(map[string]string{"key": hex.EncodeToString(pub), "nonce": c.Nonce, "sig": hex.EncodeToString(sig)})
	must(r.t, err)
	var l struct {
		Leases []struct{ Lease, Token string }
	}
	_, b = r.do("POST", "/v1/tokens", body)
	must(r.t, json.Unmarshal(b, &l))
	for _, one := range l.Leases {
		if one.Lease == hex.EncodeToString(r.lease.ID[:]) {
			r.token = one.Token
		}
	}
	if r.token == "" {
		r.t.Fatalf("no token: %s", b)
	}
}

func (r *renter) do(method, path string, body []byte) (*http.Response, []byte) {
	r.t.Helper()
	req, err := http.NewRequest(method, r.lease.URL+path, bytes.NewReader(body))
	must(r.t, err)
	req.Header.Set("Authorization", "Bearer "+r.token)
	resp, err := r.http.Do(req)
	must(r.t, err)
	b, err := io.ReadAll(resp.Body)
	must(r.t, errors.Join(err, resp.Body.Close()))
	return resp, b
}

func (r *renter) path(id merkle.Hash) string {
	return fmt.Sprintf("/v1/leases/%x/shards/%x", r.lease.ID, id)
}

func (r *renter) put(body []byte) merkle.Hash {
	r.t.Helper()
	id := merkle.Root(body)
	if resp, b := r.do("PUT", r.path(id), body); resp.StatusCode >= 300 {
		r.t.Fatalf("put: %s %s", resp.Status, b)
	}
	return id
}

func connect(t testing.TB, h Home) *Client {
	t.Helper()
	c, err := Connect(context.Background(), h)
	must(t, err)
	return c
}

// TestOperatorsDay goes through a provider's life: a lease, shards, damage, scrub, stop, wipe. Its HOME is too long for a socket address.
func TestOperatorsDay(t *testing.T) {
	ctx := context.Background()
	h := newHome(t, filepath.Join(t.TempDir(), strings.Repeat("long/", 30)), nil)
	url, stop := serve(t, h)
	c := connect(t, h)
	r := newRenter(t, c)
	if r.lease.URL != url || !strings.HasPrefix(url, "http://127.0.0.1:") {
		t.Fatal(r.lease.URL, url)
	}
	body := bytes.Repeat([]byte("shard"), 10_000)
	id := r.put(body)
	r.put([]byte("another"))
	if st, err := c.Status(ctx); err != nil || st.State != "running" || st.PID != os.Getpid() || st.Leases != 1 || st.Shards != 2 || st.Used != 53248+4096 {
		t.Fatalf("%+v, %v", st, err)
	}
	var held *homelock.HeldError
	if _, err := Open(h, env()); !errors.As(err, &held) || held.PID != os.Getpid() {
		t.Fatal(err)
	}
	if fi, err := os.Stat(h.path(socketFile)); err != nil || fi.Mode().Perm() != 0o600 {
		t.Fatal(fi, err)
	}
	file := filepath.Join(h.Dir, "shards", "shards", hex.EncodeToString(r.lease.ID[:]), hex.EncodeToString(id[:1]), hex.EncodeToString(id[:]))
	must(t, os.WriteFile(file, body[:100], 0o600))
	s, err := c.Scrub(ctx)
	if err != nil || s.Shards != 2 || len(s.Damaged) != 1 || s.Damaged[0].Shard != hex.EncodeToString(id[:]) {
		t.Fatalf("%+v, %v", s, err)
	}
	if resp, b := r.do("GET", r.path(id), nil); resp.StatusCode != 404 {
		t.Fatalf("%s %s", resp.Status, b)
	}
	r.put(body)
	if s, err = c.Scrub(ctx); err != nil || len(s.Damaged) != 0 || s.Shards != 2 {
		t.Fatalf("%+v, %v", s, err)
	}
	stop()
	if _, err := Connect(ctx, h); !errors.Is(err, ErrNotRunning) {
		t.Fatal(err)
	}
	afterStop(t, h, r, id)
}

// afterStop loses the store of a stopped provider, wipes, and starts it again.
func afterStop(t *testing.T, h Home, r *renter, id merkle.Hash) {
	ctx := context.Background()
	must(t, os.RemoveAll(h.path(storeDir)))
	if _, err := Open(h, env()); !errors.Is(err, shardstore.ErrNoStore) {
		t.Fatalf("a lost store: %v", err)
	}
	must(t, Wipe(ctx, h, env()))
	must(t, Operate(ctx, h, env(), func(o Operator) error {
		l, err := o.Leases(ctx)
		if len(l) != 1 || l[0].Used != 0 || l[0].Shards != 0 || l[0].Size != 1<<30 {
			t.Fatalf("%+v", l)
		}
		return err
	}))
	r.lease.URL, _ = serve(t, h)
	r.login()
	if resp, _ := r.do("GET", r.path(id), nil); resp.StatusCode != 404 {
		t.Fatal(resp.Status)
	}
	if got := r.put(bytes.Repeat([]byte("shard"), 10_000)); got != id {
		t.Fatal("other id")
	}
}

func TestTLSIsThePinnedKey(t *testing.T) {
	h := newHome(t, t.TempDir(), func(c *Config) { c.TLS = "on" })
	url, _ := serve(t, h)
	if !strings.HasPrefix(url, "https://") {
		t.Fatal(url)
	}
	r := newRenter(t, connect(t, h))
	id := r.put([]byte("over TLS"))
	resp, b := r.do("GET", r.path(id), nil)
	if resp.ProtoMajor != 2 || string(b) != "over TLS" || resp.TLS.Version != tls.VersionTLS13 {
		t.Fatalf("%s %q", resp.Proto, b)
	}
	r.http.Transport.(*http.Transport).ForceAttemptHTTP2 = false
	other := newHome(t, t.TempDir(), func(c *Config) { c.TLS = "on" })
	r.lease.URL, _ = serve(t, other)
	if resp, err := r.http.Get(r.lease.URL + "/v1/provider"); err == nil {
		resp.Body.Close() //nolint:errcheck // must not get here
		t.Fatal("another provider's certificate was taken")
	}
}

func TestPlainOutsideLoopbackIsRefused(t *testing.T) {
	h := newHome(t, t.TempDir(), func(c *Config) { c.Listen, c.TLS = "0.0.0.0:0", "off" })
	p, err := Open(h, env())
	must(t, err)
	if err := p.Serve(context.Background(), func(string) { t.Error("ready") }); err == nil {
		t.Fatal("served plain HTTP outside loopback")
	}
	must(t, p.Close())
}

func TestInitAgainGoesOnWhereItStopped(t *testing.T) {
	h := newHome(t, t.TempDir(), nil)
	if err := Init(h, DefaultConfig(), rand.Reader); !errors.Is(err, ErrHasProvider) {
		t.Fatal(err)
	}
	before, err := os.ReadFile(h.path(phraseFile))
	must(t, err)
	must(t, os.Remove(h.ConfigPath())) // as after a crash in the middle
	must(t, Init(h, DefaultConfig(), rand.Reader))
	after, err := os.ReadFile(h.path(phraseFile))
	must(t, err)
	if !bytes.Equal(before, after) {
		t.Fatal("the phrase changed")
	}
}

func TestConfigComesBack(t *testing.T) {
	want := DefaultConfig()
	want.Network, want.Name, want.Operator, want.Country, want.URL = "signet", `a "b" \ ü`, "Ops", "CH", "https://a.example:1"
	h := Home{Dir: t.TempDir()}
	must(t, Init(h, want, rand.Reader))
	got, err := h.Config()
	must(t, err)
	if got != want {
		t.Fatalf("%+v\n%+v", got, want)
	}
}
