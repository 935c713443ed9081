package lease_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/cloudcoin/cloudcoin/drive/lease"
	"github.com/cloudcoin/cloudcoin/provider/fileserver"
	"github.com/cloudcoin/cloudcoin/provider/ids"
	"github.com/cloudcoin/cloudcoin/provider/ledger"
	"github.com/cloudcoin/cloudcoin/provider/shardstore"
	"github.com/cloudcoin/cloudcoin/provider/vault"
	"github.com/cloudcoin/cloudcoin/sync/model"
	"github.com/cloudcoin/cloudcoin/sync/transfer/shardstest"
)

const network = "local"

// provider is a real file server in this process.
type provider struct {
	t     testing.TB
	key   ed25519.PrivateKey
	store shardstore.Store
	book  *ledger.Ledger
	web   *httptest.Server
}

// newProvider serves over TLS or plain HTTP, with bytes in dir or, when it is empty, in memory.
func newProvider(t testing.TB, secure bool, dir string, wrap func(http.Handler) http.Handler) *provider {
	t.Helper()
	p := &provider{t: t, key: newKey(t)}
	quiet := slog.New(slog.DiscardHandler)
	books := t.TempDir()
	check(t, ledger.Create(books))
	var err error
	p.book, err = ledger.Open(books, quiet)
	check(t, err)
	p.store = shardstore.NewMemory()
	if dir != "" {
		check(t, shardstore.CreateFolder(dir))
		p.store, err = shardstore.OpenFolder(dir)
		check(t, err)
	}
	v, err := vault.Open(p.store, p.book, time.Now, quiet)
	check(t, err)
	var h http.Handler
	h, err = fileserver.New(fileserver.Config{
		Vault: v, Register: p.book, Key: p.key, TokenKey: newKey(t), Network: network, Name: "test", Country: "DE",
		Version: "test", Now: time.Now, Random: rand.Reader, Logger: quiet, Limits: fileserver.Limits{StrangerRate: 10_000},
	})
	check(t, err)
	if wrap != nil {
		h = wrap(h)
	}
	p.web = httptest.NewUnstartedServer(h)
	if secure {
		p.web.TLS = &tls.Config{Certificates: []tls.Certificate{certificate(t, p.key)}, MinVersion: tls.VersionTLS13}
		p.web.StartTLS()
	} else {
		p.web.Start()
	}
	t.Cleanup(func() {
		p.web.Close()
		check(t, p.book.Close())
	})
	return p
}

func (p *provider) public() ed25519.PublicKey { return p.key.Public().(ed25519.PublicKey) }

// grant makes a lease for a key.
func (p *provider) grant(key ed25519.PrivateKey, size int64) model.LeaseID {
	p.t.Helper()
	var id model.LeaseID
	_, err := rand.Read(id[:])
	check(p.t, err)
	now := time.Now().Truncate(time.Second)
	check(p.t, p.book.Grant(ledger.Lease{ID: ids.Lease(id), Renter: key.Public().(ed25519.PublicKey), Size: size, Created: now, Until: now.Add(time.Hour), Grace: time.Hour}))
	return id
}

// config is that of a client of a new lease.
func (p *provider) config(size int64) lease.Config {
	key := newKey(p.t)
	return lease.Config{URL: p.web.URL, Provider: p.public(), Lease: p.grant(key, size), Key: key, Network: network, Size: size}
}

func (p *provider) client(cfg lease.Config) *lease.Client {
	p.t.Helper()
	c, err := lease.New(cfg)
	check(p.t, err)
	p.t.Cleanup(func() { check(p.t, c.Close()) })
	return c
}

func newKey(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	check(t, err)
	return key
}

func certificate(t testing.TB, key ed25519.PrivateKey) tls.Certificate {
	t.Helper()
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Unix(1, 0)} // dates mean nothing
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	check(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestConformance(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(map[bool]string{false: "http", true: "tls"}[secure], func(t *testing.T) {
			shardstest.Run(t, func(t *testing.T, size int64) shardstest.Lease {
				p := newProvider(t, secure, "", nil)
				cfg := p.config(size)
				return shardstest.Lease{
					Shards: p.client(cfg), Size: size,
					Lose: func(id model.ShardID) {
						check(t, p.store.Delete(ids.Lease(cfg.Lease), []ids.Shard{ids.Shard(id)}))
					},
					Damage: func(id model.ShardID, off int) { p.damage(cfg.Lease, id, off) },
				}
			})
		})
	}
}

// damage flips a bit of a stored shard.
func (p *provider) damage(l model.LeaseID, id model.ShardID, off int) {
	p.t.Helper()
	s, err := p.store.Open(ids.Lease(l), ids.Shard(id))
	check(p.t, err)
	b, err := io.ReadAll(s)
	check(p.t, err)
	check(p.t, s.Close())
	b[off] ^= 1
	w, err := p.store.Create(ids.Lease(l), ids.Shard(id))
	check(p.t, err)
	_, err = w.Write(b)
	check(p.t, err)
	check(p.t, w.Sync())
	check(p.t, w.Commit())
}
