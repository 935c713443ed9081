package lease_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/cloudcoin/cloudcoin/drive/lease"
	"github.com/cloudcoin/cloudcoin/sync/model"
	"github.com/cloudcoin/cloudcoin/sync/transfer"
	"github.com/cloudcoin/cloudcoin/sync/transfer/shardstest"
)

// twisted answers some requests itself and lets the real file server answer the others.
type twisted struct {
	real  http.Handler
	twist atomic.Pointer[func(w http.ResponseWriter, r *http.Request) bool]
}

func (tw *twisted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if fn := tw.twist.Load(); fn != nil && (*fn)(w, r) {
		return
	}
	tw.real.ServeHTTP(w, r)
}

func (tw *twisted) set(fn func(w http.ResponseWriter, r *http.Request) bool) { tw.twist.Store(&fn) }

// newTwisted is a provider and a client of it, between which the test can lie.
func newTwisted(t testing.TB) (*provider, *twisted, *lease.Client) {
	tw := &twisted{}
	p := newProvider(t, false, "", func(h http.Handler) http.Handler {
		tw.real = h
		return tw
	})
	return p, tw, p.client(p.config(64 << 20))
}

// onShard applies fn to requests for shards with a method.
func onShard(method string, fn http.HandlerFunc) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != method || !strings.Contains(r.URL.Path, "/shards/") {
			return false
		}
		fn(w, r)
		return true
	}
}

func get(c *lease.Client, id model.ShardID, off int64, n int, size int64, verify bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return c.Get(ctx, id, off, make([]byte, n), size, verify)
}

func TestAnotherKeyIsRefused(t *testing.T) {
	real, imposter := newProvider(t, true, "", nil), newProvider(t, true, "", nil)
	cfg := real.config(1 << 20)
	cfg.URL = imposter.web.URL
	c := real.client(cfg)
	if _, err := c.Usage(t.Context()); !errors.Is(err, lease.ErrNotPinned) {
		t.Errorf("got %v, want ErrNotPinned", err)
	}
	if _, err := lease.Leases(t.Context(), lease.Net{}, imposter.web.URL, real.public(), newKey(t), network); !errors.Is(err, lease.ErrNotPinned) {
		t.Errorf("Leases: got %v, want ErrNotPinned", err)
	}
}

func TestAddressesThatAreRefused(t *testing.T) {
	p := newProvider(t, false, "", nil)
	cfg := p.config(1 << 20)
	for _, url := range []string{"http://192.0.2.1:80", "http://example.org", "ftp://127.0.0.1", "127.0.0.1:7420", "https://a@example.org", "https://example.org/", "https://example.org?x=1", ""} {
		cfg.URL = url
		if _, err := lease.New(cfg); err == nil {
			t.Errorf("%q was taken", url)
		}
	}
	cfg.URL = "https://example.org:7420/prefix"
	if _, err := lease.New(cfg); err != nil {
		t.Errorf("a URL with a path: %v", err)
	}
	cfg.Net.Proxy = "nonsense"
	if _, err := lease.New(cfg); err == nil {
		t.Error("a proxy without a port was taken")
	}
}

func TestAccount(t *testing.T) {
	for _, secure := range []bool{false, true} {
		p := newProvider(t, secure, "", nil)
		info, err := lease.ProviderInfo(t.Context(), lease.Net{}, p.web.URL)
		if err != nil || !info.Key.Equal(p.public()) || info.Network != network || info.Country != "DE" {
			t.Errorf("ProviderInfo = %+v, %v", info, err)
		}
		key := newKey(t)
		ids := map[model.LeaseID]bool{p.grant(key, 1<<20): true, p.grant(key, 1<<21): true}
		p.grant(newKey(t), 1<<20) // somebody else's
		for _, pinned := range []ed25519.PublicKey{nil, p.public()} {
			got, err := lease.Leases(t.Context(), lease.Net{}, p.web.URL, pinned, key, network)
			if err != nil || len(got) != 2 || !ids[got[0].Lease] || !ids[got[1].Lease] || got[0].State != "open" || got[0].Until == 0 {
				t.Errorf("Leases = %+v, %v", got, err)
			}
		}
		if got, err := lease.Leases(t.Context(), lease.Net{}, p.web.URL, nil, newKey(t), network); err != nil || len(got) != 0 {
			t.Errorf("Leases of a stranger = %v, %v", got, err)
		}
		if _, err := lease.Leases(t.Context(), lease.Net{}, p.web.URL, nil, key, "testnet"); err == nil {
			t.Error("a proof for another network was taken")
		}
	}
}

func TestTokenIsRenewed(t *testing.T) {
	var tokens atomic.Int32
	p, tw, _ := newTwisted(t)
	tw.set(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/v1/tokens" {
			tokens.Add(1)
		}
		return false
	})
	var ahead atomic.Int64
	cfg := p.config(1 << 20)
	cfg.Clock = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	ahead.Store(int64(20 * 365 * 24 * time.Hour)) // a clock that is wrong by years doesn't matter
	c := p.client(cfg)
	usage := func() {
		t.Helper()
		_, err := c.Usage(t.Context())
		check(t, err)
	}
	for range 3 {
		usage()
	}
	if n := tokens.Load(); n != 1 {
		t.Errorf("%d tokens for three requests", n)
	}
	ahead.Add(int64(time.Hour))
	usage()
	if n := tokens.Load(); n != 2 {
		t.Errorf("%d tokens after the first one's life", n)
	}
	refuse := true
	tw.set(func(w http.ResponseWriter, r *http.Request) bool {
		switch {
		case r.URL.Path == "/v1/tokens":
			tokens.Add(1)
		case refuse && strings.HasSuffix(r.URL.Path, "/usage"):
			refuse = false
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}
		return false
	})
	usage()
	if n := tokens.Load(); n != 3 {
		t.Errorf("%d tokens after one was refused", n)
	}
	tw.set(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/usage") {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"type":"urn:cloudcoin:problem:unauthorized"}`)
			return true
		}
		return false
	})
	if _, err := c.Usage(t.Context()); !errors.Is(err, transfer.ErrLease) {
		t.Errorf("refused for good: %v, want ErrLease", err)
	}
}

func TestUnknownLease(t *testing.T) {
	p := newProvider(t, false, "", nil)
	cfg := p.config(1 << 20)
	cfg.Lease[3] ^= 1
	if _, err := p.client(cfg).Usage(t.Context()); !errors.Is(err, transfer.ErrLease) {
		t.Errorf("got %v, want ErrLease", err)
	}
}

func TestReceiptsAreChecked(t *testing.T) {
	_, tw, c := newTwisted(t)
	a, idA := shardstest.Bytes(1, 5000)
	b, idB := shardstest.Bytes(2, 5000)
	receipt := capture(t, tw, func() { check(t, c.Put(t.Context(), idA, a)) }) // a good one, for another shard
	for name, body := range map[string][]byte{
		"of another shard": receipt,
		"garbage":          []byte("not a receipt"),
		"empty":            nil,
		"endless":          bytes.Repeat([]byte("x"), 1<<20),
		"changed":          append(bytes.Clone(receipt[:len(receipt)-4]), "AAAA"...),
	} {
		tw.set(onShard("PUT", func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(http.StatusCreated)
			_, _ = w.Write(body)
		}))
		if err := c.Put(t.Context(), idB, b); err == nil {
			t.Errorf("a receipt %s was believed", name)
		}
	}
	tw.set(func(http.ResponseWriter, *http.Request) bool { return false })
	check(t, c.Put(t.Context(), idB, b))
}

// capture returns the body of the answer to the PUT that fn makes.
func capture(t *testing.T, tw *twisted, fn func()) []byte {
	t.Helper()
	var buf bytes.Buffer
	tw.set(onShard("PUT", func(w http.ResponseWriter, r *http.Request) {
		tw.real.ServeHTTP(&tee{ResponseWriter: w, to: &buf}, r)
	}))
	fn()
	return buf.Bytes()
}

type tee struct {
	http.ResponseWriter
	to io.Writer
}

func (w *tee) Write(p []byte) (int, error) {
	_, _ = w.to.Write(p) // into memory
	return w.ResponseWriter.Write(p)
}

func (w *tee) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func TestWrongAnswersToGet(t *testing.T) {
	_, tw, c := newTwisted(t)
	const size = 100_000
	b, id := shardstest.Bytes(3, size)
	check(t, c.Put(t.Context(), id, b))
	proof := func(length uint32, head, body []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes 4096-8191/%d", size))
			out := append(binary.BigEndian.AppendUint32(nil, length), head...)
			out = append(out, body...)
			w.Header().Set("Content-Length", fmt.Sprint(len(out)))
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(out)
		}
	}
	for _, c2 := range []struct {
		name    string
		answer  http.HandlerFunc
		verify  bool
		damaged bool // else any error will do
	}{
		{"another range", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes 0-4095/%d", size))
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(b[:4096])
		}, false, true},
		{"another size", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", "bytes 4096-8191/8192")
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(b[:4096])
		}, false, true},
		{"all of it", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(b) }, false, true},
		{"nothing", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, false, true},
		{"a redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		}, false, false},
		{"cut off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes 4096-8191/%d", size))
			w.Header().Set("Content-Length", "4096")
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(b[:100])
			panic(http.ErrAbortHandler)
		}, false, false},
		{"an endless problem", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			for range 1000 {
				_, _ = w.Write(make([]byte, 64<<10))
			}
		}, false, false},
		{"a proof of 4 GiB", proof(1<<32-1, nil, b[4096:8192]), true, true},
		{"an empty proof", proof(0, nil, b[4096:8192]), true, true},
		{"a wrong proof", proof(64, make([]byte, 64), b[4096:8192]), true, true},
		{"a crooked proof", proof(33, make([]byte, 33), b[4096:8192]), true, true},
		{"bytes without a proof", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(b) }, true, true},
	} {
		tw.set(onShard("GET", c2.answer))
		err := get(c, id, 4096, 4096, size, c2.verify)
		if err == nil || c2.damaged && !errors.Is(err, transfer.ErrDamaged) {
			t.Errorf("%s: got %v", c2.name, err)
		}
	}
	tw.set(func(http.ResponseWriter, *http.Request) bool { return false })
	check(t, get(c, id, 4096, 4096, size, true))
}

func TestProblemsMeanWhatTheySay(t *testing.T) {
	_, tw, c := newTwisted(t)
	_, id := shardstest.Bytes(4, 100)
	for _, c2 := range []struct {
		status int
		name   string
		want   error
	}{
		{402, "payment-required", transfer.ErrLease},
		{403, "forbidden", transfer.ErrLease},
		{404, "no-such-lease", transfer.ErrLease},
		{404, "no-such-shard", transfer.ErrNotFound},
		{404, "shard-damaged", transfer.ErrDamaged},
		{413, "lease-full", transfer.ErrNoRoom},
		{507, "disk-full", transfer.ErrNoRoom},
		{409, "slot-conflict", transfer.ErrConflict},
	} {
		tw.set(onShard("GET", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c2.status)
			fmt.Fprintf(w, `{"type":"urn:cloudcoin:problem:%s","detail":"a\u001b[31mred\nline","counter":7}`, c2.name)
		}))
		err := get(c, id, 0, 10, 100, false)
		if !errors.Is(err, c2.want) {
			t.Errorf("%d %s: got %v, want %v", c2.status, c2.name, err, c2.want)
		}
		if strings.ContainsAny(err.Error(), "\x1b\n") {
			t.Errorf("%s: the provider's control characters reach the message: %q", c2.name, err)
		}
	}
	// A web server that knows nothing of shards doesn't prove that a shard is lost.
	tw.set(onShard("GET", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "not found", http.StatusNotFound) }))
	if err := get(c, id, 0, 10, 100, false); err == nil || errors.Is(err, transfer.ErrNotFound) {
		t.Errorf("a 404 of somebody else: got %v", err)
	}
	times := 0
	tw.set(onShard("GET", func(w http.ResponseWriter, r *http.Request) {
		if times++; times == 1 {
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		tw.real.ServeHTTP(w, r)
	}))
	if err := get(c, id, 0, 10, 100, false); !errors.Is(err, transfer.ErrNotFound) || times != 2 {
		t.Errorf("after a 429: got %v, asked %d times", err, times)
	}
}

func TestForgedSlotIsDamaged(t *testing.T) {
	_, tw, c := newTwisted(t)
	check(t, c.PutSlot(t.Context(), "head", transfer.Slot{Counter: 5, Payload: []byte("five")}))
	check(t, c.PutSlot(t.Context(), "other", transfer.Slot{Counter: 9, Payload: []byte("nine")}))
	for name, twist := range map[string]func(r *http.Request, b []byte) []byte{
		"payload":      func(_ *http.Request, b []byte) []byte { b[len(b)-1] ^= 1; return b },
		"counter":      func(_ *http.Request, b []byte) []byte { b[8]++; return b },
		"signature":    func(_ *http.Request, b []byte) []byte { b[20] ^= 1; return b },
		"cut":          func(_ *http.Request, b []byte) []byte { return b[:40] },
		"longer":       func(_ *http.Request, b []byte) []byte { return append(b, 0) },
		"too long":     func(_ *http.Request, b []byte) []byte { return append(b, make([]byte, 1<<20)...) },
		"version":      func(_ *http.Request, b []byte) []byte { b[0] = 2; return b },
		"another slot": nil,
	} {
		tw.set(func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != "GET" || !strings.HasSuffix(r.URL.Path, "/slots/head") {
				return false
			}
			if twist == nil {
				r.URL.Path = strings.Replace(r.URL.Path, "/head", "/other", 1)
				return false
			}
			rec := &recorder{ResponseWriter: w}
			tw.real.ServeHTTP(rec, r)
			w.Header().Del("Content-Length")
			_, _ = w.Write(twist(r, rec.b))
			return true
		})
		if v, err := c.GetSlot(t.Context(), "head"); err == nil {
			t.Errorf("%s: got %+v", name, v)
		}
	}
}

// recorder keeps a body instead of sending it.
type recorder struct {
	http.ResponseWriter
	b []byte
}

func (r *recorder) WriteHeader(int) {}

func (r *recorder) Write(p []byte) (int, error) {
	r.b = append(r.b, p...)
	return len(p), nil
}

func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func TestListThatGoesInCirclesEnds(t *testing.T) {
	_, tw, c := newTwisted(t)
	tw.set(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/shards") {
			return false
		}
		fmt.Fprintf(w, `{"shards":[{"id":"%064x","size":1}],"next":""}`, 5)
		return true
	})
	page, err := c.List(t.Context(), model.ShardID{})
	if err != nil || len(page) != 1 {
		t.Fatalf("first page: %v, %v", page, err)
	}
	if _, err := c.List(t.Context(), page[0]); !errors.Is(err, transfer.ErrDamaged) {
		t.Errorf("the same page again: %v", err)
	}
}

func TestUploadLimitHoldsOverLeases(t *testing.T) {
	p := newProvider(t, false, "", nil)
	limit := rate.NewLimiter(rate.Limit(4<<20), 64<<10)
	var clients []*lease.Client
	for range 2 {
		cfg := p.config(64 << 20)
		cfg.Net.Upload = limit
		clients = append(clients, p.client(cfg))
	}
	start := time.Now()
	var wg sync.WaitGroup
	for i, c := range clients {
		wg.Go(func() {
			b, id := shardstest.Bytes(uint64(i), 1<<20)
			if err := c.Put(t.Context(), id, b); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	// 2 MiB at 4 MiB/s less the burst: it can't have been faster, whatever the machine does.
	if took := time.Since(start); took < 400*time.Millisecond {
		t.Errorf("2 MiB took %v at 4 MiB a second", took)
	}
}

// socks is a SOCKS5 proxy that sends everybody to one address and notes the user names.
func socks(t *testing.T, to string) (addr string, users func() []string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	var mu sync.Mutex
	var names []string
	var wg sync.WaitGroup
	t.Cleanup(func() {
		ln.Close()
		wg.Wait()
	})
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				name, err := handshake(conn)
				if err != nil {
					return
				}
				mu.Lock()
				names = append(names, name)
				mu.Unlock()
				up, err := net.Dial("tcp", to)
				if err != nil {
					return
				}
				defer up.Close()
				wg.Go(func() { _, _ = io.Copy(up, conn); up.Close() })
				_, _ = io.Copy(conn, up)
			})
		}
	})
	return ln.Addr().String(), func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string(nil), names...)
	}
}

// handshake is RFC 1928 and 1929 as far as a client needs them.
func handshake(conn net.Conn) (user string, err error) {
	r := bufio.NewReaderSize(conn, 1)
	read := func(n int) []byte {
		b := make([]byte, n)
		if err == nil {
			_, err = io.ReadFull(r, b)
		}
		return b
	}
	read(int(read(2)[1]))
	_, _ = conn.Write([]byte{5, 2}) // user name and password, please
	user = string(read(int(read(2)[1])))
	read(int(read(1)[0]))
	_, _ = conn.Write([]byte{1, 0})
	switch head := read(4); head[3] {
	case 1:
		read(6)
	case 3:
		read(int(read(1)[0]) + 2)
	case 4:
		read(18)
	}
	_, _ = conn.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	return user, err
}

func TestProxyGetsAnotherNameForEachProvider(t *testing.T) {
	var names []string
	for i := range 2 {
		p := newProvider(t, true, "", nil)
		addr, users := socks(t, p.web.Listener.Addr().String())
		cfg := p.config(1 << 20)
		cfg.URL = fmt.Sprintf("https://provider-%d.example:7420", i) // the proxy resolves it
		cfg.Net.Proxy = "socks5://" + addr
		c := p.client(cfg)
		_, err := c.Usage(t.Context())
		check(t, err)
		check(t, c.Close())
		got := users()
		if len(got) == 0 {
			t.Fatal("the proxy wasn't used")
		}
		for _, name := range got {
			if name != got[0] || name == "" {
				t.Errorf("one provider has the names %q", got)
			}
		}
		names = append(names, got[0])
	}
	if names[0] == names[1] {
		t.Error("two providers share a circuit")
	}
}
