package fileserver

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudcoin/cloudcoin/crypto/merkle"
	"github.com/cloudcoin/cloudcoin/crypto/token"
	"github.com/cloudcoin/cloudcoin/provider/ids"
	"github.com/cloudcoin/cloudcoin/provider/ledger"
	"github.com/cloudcoin/cloudcoin/provider/shardstore"
)

func TestTokensOfOthers(t *testing.T) {
	r := newRig(t, options{})
	body := content(1, 5000)
	id, a := r.put(r.token(alice), aliceLease, body)
	a.want(t, 201, "")
	now := r.clock.now()
	good := token.Token{
		Provider: public(providerKey), Holder: public(alice), Network: network, Lease: aliceLease, Rights: token.Read | token.Write | token.Delete,
		Quota: 1 << 30, NotBefore: now, Expires: now.Add(time.Minute),
	}
	issue := func(k ed25519.PrivateKey, change func(*token.Token)) string {
		tok := good
		change(&tok)
		s, err := token.Issue(&tok, k)
		must(t, err)
		return s
	}
	cases := map[string]struct {
		tok    string
		status int
		name   string
	}{
		"none":            {"", 401, "unauthorized"},
		"garbage":         {"a.b.c", 401, "unauthorized"},
		"long":            {strings.Repeat("x", token.MaxLen+1), 401, "unauthorized"},
		"foreign signer":  {issue(key(3), func(*token.Token) {}), 401, "unauthorized"},
		"other network":   {issue(tokenKey, func(k *token.Token) { k.Network = "bitcoin" }), 401, "unauthorized"},
		"other provider":  {issue(tokenKey, func(k *token.Token) { k.Provider = public(bob) }), 401, "unauthorized"},
		"not yet":         {issue(tokenKey, func(k *token.Token) { k.NotBefore, k.Expires = now.Add(time.Hour), now.Add(2*time.Hour) }), 401, "unauthorized"},
		"other lease":     {r.token(bob), 403, "forbidden"},
		"not the holder":  {issue(tokenKey, func(k *token.Token) { k.Holder = public(bob) }), 403, "forbidden"},
		"read only":       {issue(tokenKey, func(k *token.Token) { k.Rights = token.Read }), 403, "forbidden"},
		"cannot delete":   {issue(tokenKey, func(k *token.Token) { k.Rights = token.Read | token.Write }), 204, ""},
		"everything goes": {issue(tokenKey, func(*token.Token) {}), 204, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			del := r.do("DELETE", shardPath(aliceLease, ids.Shard{1}), c.tok, nil)
			if name == "cannot delete" {
				del.want(t, 403, "forbidden")
				return
			}
			del.want(t, c.status, c.name)
		})
	}
	tok := issue(tokenKey, func(*token.Token) {})
	r.do("GET", shardPath(aliceLease, id), tok, nil).want(t, 200, "") // remembered now
	r.clock.advance(time.Hour)
	r.do("GET", shardPath(aliceLease, id), tok, nil).want(t, 401, "unauthorized")
}

func TestBadPuts(t *testing.T) {
	r := newRig(t, options{max: 1 << 20, store: folder(t)})
	tok := r.token(alice)
	body := content(7, 9000)
	id := ids.Shard(merkle.Root(body))
	path := shardPath(aliceLease, id)
	r.do("PUT", path, tok, bytes.NewReader(body[:8999])).want(t, 400, "shard-mismatch")
	r.do("PUT", path, tok, bytes.NewReader(append(body[:8999:8999], 0))).want(t, 400, "shard-mismatch")
	r.do("PUT", path, tok, bytes.NewReader(nil)).want(t, 400, "bad-request")
	r.do("PUT", path, tok, struct{ io.Reader }{bytes.NewReader(body)}).want(t, 411, "length-required")
	r.do("PUT", path, tok, bytes.NewReader(make([]byte, 1<<20+1))).want(t, 413, "too-large")
	r.do("POST", path, tok, bytes.NewReader(body)).want(t, 405, "method-not-allowed")
	for _, p := range []string{
		strings.ToUpper(path), path + "/", path[:len(path)-1], path + "0", "/v1/leases//shards/" + id.String(), "/v1/leases/" + aliceLease.String() + "/shards/../usage",
		"/v1/leases/" + aliceLease.String() + "/shards/%2e%2e%2f%2e%2e", "/v1/leases/" + aliceLease.String() + "/slots/..", "/v2/provider", "/", "/v1/leases", "//v1/provider",
		"/v1/leases/" + aliceLease.String() + "/slots/" + strings.Repeat("a", 65), "/v1/leases/" + strings.Repeat("0", 32) + "/usage",
	} {
		if a := r.do("GET", p, tok, nil); a.status != 400 && a.status != 404 && a.status != 403 {
			t.Errorf("GET %s: %d %.100s", p, a.status, a.body)
		}
	}
	if u := r.used(aliceLease); u != (ledger.Usage{}) {
		t.Fatalf("usage %+v", u)
	}
	r.wantNoLeftovers(tok, id)
	r.do("PUT", path, tok, bytes.NewReader(body)).want(t, 201, "")
}

// wantNoLeftovers checks that nothing is reserved and that a shard isn't there.
func (r *rig) wantNoLeftovers(tok string, id ids.Shard) {
	r.t.Helper()
	if a := r.do("HEAD", shardPath(aliceLease, id), tok, nil); a.status != 404 {
		r.t.Fatalf("status %d", a.status)
	}
	l, u, err := r.ledger.Lease(aliceLease)
	must(r.t, err)
	release, err := r.ledger.Reserve(aliceLease, l.Size-u.Bytes)
	if err != nil {
		r.t.Fatalf("something stays reserved: %v", err)
	}
	release()
}

func TestBadRanges(t *testing.T) {
	r := newRig(t, options{})
	tok := r.token(alice)
	id, a := r.put(tok, aliceLease, content(3, 10_000))
	a.want(t, 201, "")
	for _, rng := range []string{"bytes=10000-", "bytes=5-4", "bytes=-0", "bytes=0-1,3-4", "bytes=", "bytes=-", "bytes=a-b", "bits=0-1", "bytes=+1-2", "bytes=99999999999999999999-", "bytes=0--1"} {
		a := r.do("GET", shardPath(aliceLease, id), tok, nil, "Range", rng)
		a.want(t, 416, "bad-range")
		if a.header.Get("Content-Range") != "bytes */10000" {
			t.Errorf("%s: %v", rng, a.header)
		}
	}
	for _, rng := range []string{"", "bytes=1-4095", "bytes=0-4000", "bytes=4096-8000"} {
		r.do("GET", shardPath(aliceLease, id)+"?proof=1", tok, nil, "Range", rng).want(t, 416, "bad-range")
	}
	if a := r.do("GET", shardPath(aliceLease, id), tok, nil, "Range", "bytes=9990-99999"); a.status != 206 || len(a.body) != 10 {
		t.Fatalf("%d, %d bytes", a.status, len(a.body))
	}
}

func TestQuotaIsReservedBeforeTheBody(t *testing.T) {
	r := newRig(t, options{})
	small := ids.Lease{0xc}
	must(t, r.ledger.Grant(ledger.Lease{ID: small, Renter: public(key(12)), Size: 3 * 4096, Until: r.clock.now().Add(time.Hour)}))
	tok := r.token(key(12))
	first, a := r.put(tok, small, content(1, 4097))
	a.want(t, 201, "")
	_, a = r.put(tok, small, content(2, 4097))
	a.want(t, 413, "lease-full")
	_, a = r.put(tok, small, content(1, 4097)) // what is there may be put again
	a.want(t, 200, "")
	// A body that is announced and never sent holds its quota until the connection ends, and not longer.
	body := content(3, 4096)
	c := r.raw(fmt.Sprintf("PUT %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 4096\r\nExpect: 100-continue\r\n\r\n", shardPath(small, ids.Shard(merkle.Root(body))), tok))
	line, err := bufio.NewReader(c).ReadString('\n')
	must(t, err)
	if line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("%q", line)
	}
	_, a = r.put(tok, small, content(4, 10))
	a.want(t, 413, "lease-full")
	must(t, c.Close())
	for {
		if _, a = r.put(tok, small, content(4, 10)); a.status == 201 {
			break
		}
		a.want(t, 413, "lease-full")
		runtime.Gosched()
	}
	r.do("DELETE", shardPath(small, first), tok, nil).want(t, 204, "")
}

// raw sends text on a connection of its own.
func (r *rig) raw(text string) net.Conn {
	r.t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	must(r.t, err)
	r.t.Cleanup(func() {
		if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			r.t.Error(err)
		}
	})
	_, err = io.WriteString(c, text)
	must(r.t, err)
	return c
}

func TestSlowAndCutBodies(t *testing.T) {
	r := newRig(t, options{limits: Limits{Patience: 100 * time.Millisecond}, store: folder(t)})
	tok := r.token(alice)
	body := content(5, 20_000)
	id := ids.Shard(merkle.Root(body))
	head := fmt.Sprintf("PUT %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 16000\r\n\r\n", shardPath(aliceLease, id), tok)
	resp, err := http.ReadResponse(bufio.NewReader(r.raw(head+string(body[:100]))), nil)
	must(t, err)
	b, err := io.ReadAll(resp.Body)
	must(t, err)
	answer{resp.StatusCode, resp.Header, b}.want(t, 408, "too-slow")
	cut := r.raw(head + string(body[:100]))
	must(t, cut.(*net.TCPConn).CloseWrite())
	resp, err = http.ReadResponse(bufio.NewReader(cut), nil)
	must(t, err)
	if resp.StatusCode != 400 {
		t.Fatalf("%d", resp.StatusCode)
	}
	r.wantNoLeftovers(tok, id)
}

func TestGarbage(t *testing.T) {
	r := newRig(t, options{})
	for _, text := range []string{
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "GET / HTTP/9.9\r\n\r\n", strings.Repeat("A", 100_000) + "\r\n\r\n",
		"GET /v1/provider HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("y", 1<<20) + "\r\n\r\n", "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
		"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "\x00\x00\x00\x00\r\n\r\n",
	} {
		c, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
		must(t, err)
		go func() { // the server may hang up in the middle
			io.WriteString(c, text)       //nolint:errcheck
			c.(*net.TCPConn).CloseWrite() //nolint:errcheck
		}()
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err == nil && resp.StatusCode < 400 {
			t.Errorf("%.20q got %d", text, resp.StatusCode)
		}
		must(t, c.Close())
	}
	r.do("GET", "/v1/provider", "", nil).want(t, 200, "")
}

func TestLimits(t *testing.T) {
	r := newRig(t, options{limits: Limits{StrangerRate: 2, KeyRate: 3}})
	tok := r.token(alice)
	var status [600]int
	for range 100 {
		status[r.do("GET", "/v1/challenge", "", nil).status]++
	}
	if status[200] != 18 || status[429] != 82 { // the login took two of twenty
		t.Fatalf("challenges: %d answered, %d refused", status[200], status[429])
	}
	usage := "/v1/leases/" + aliceLease.String() + "/usage"
	r.do("GET", usage, "bad", nil).want(t, 429, "too-many-requests")
	for range 30 {
		r.do("GET", usage, tok, nil).want(t, 200, "")
	}
	a := r.do("GET", usage, tok, nil)
	a.want(t, 429, "too-many-requests")
	if a.header.Get("Retry-After") != "1" {
		t.Fatal("no Retry-After")
	}
	r.clock.advance(time.Second)
	r.do("GET", usage, tok, nil).want(t, 200, "")
}

func TestTableIsBounded(t *testing.T) {
	c := &clock{}
	tab := newTable(1, 10, c.now)
	for i := range tableSize {
		leave, ok := tab.enter(fmt.Sprint(i))
		if !ok {
			t.Fatal(i)
		}
		leave()
	}
	if _, ok := tab.enter("one more"); ok {
		t.Fatal("the table grew")
	}
	c.advance(time.Minute)
	if _, ok := tab.enter("one more"); !ok || len(tab.entries) != 1 {
		t.Fatalf("%d entries", len(tab.entries))
	}
	if _, ok := tab.enter("one more"); ok {
		t.Fatal("two at once")
	}
}

// faulty is a store that fails on demand.
type faulty struct {
	shardstore.Store
	full bool
}

func (f *faulty) Create(l ids.Lease, id ids.Shard) (shardstore.Writer, error) {
	w, err := f.Store.Create(l, id)
	return &faultyWriter{w, f}, err
}

type faultyWriter struct {
	shardstore.Writer
	f *faulty
}

func (w *faultyWriter) Publish() error {
	if w.f.full {
		return fmt.Errorf("publish: %w", shardstore.ErrFull)
	}
	return w.Writer.Publish()
}

func TestFullDisk(t *testing.T) {
	mem := shardstore.NewMemory()
	f := &faulty{Store: mem}
	r := newRig(t, options{store: f})
	tok := r.token(alice)
	mem.Limit = 10_000
	id, a := r.put(tok, aliceLease, content(1, 20_000))
	a.want(t, 507, "disk-full")
	r.wantNoLeftovers(tok, id)
	f.full = true // discovered only when the bytes are flushed
	id, a = r.put(tok, aliceLease, content(1, 5_000))
	a.want(t, 507, "disk-full")
	r.wantNoLeftovers(tok, id)
	f.full = false
	_, a = r.put(tok, aliceLease, content(1, 5_000))
	a.want(t, 201, "")
	if u := r.used(aliceLease); u != (ledger.Usage{Bytes: 8192, Shards: 1}) {
		t.Fatalf("%+v", u)
	}
}

func TestDamageIsFoundByProofAndHealed(t *testing.T) {
	dir := t.TempDir()
	must(t, shardstore.CreateFolder(dir))
	store, err := shardstore.OpenFolder(dir)
	must(t, err)
	r := newRig(t, options{store: store})
	tok := r.token(alice)
	body := content(9, 50_000)
	id, a := r.put(tok, aliceLease, body)
	a.want(t, 201, "")
	files, err := filepath.Glob(filepath.Join(dir, "shards", "*", "*", id.String()))
	must(t, err)
	damaged := bytes.Clone(body)
	damaged[40_000] ^= 4
	must(t, os.WriteFile(files[0], damaged, 0o600))
	r.do("GET", shardPath(aliceLease, id)+"?proof=1", tok, nil, "Range", "bytes=0-4095").want(t, 404, "shard-damaged")
	r.do("GET", shardPath(aliceLease, id), tok, nil).want(t, 404, "no-such-shard")
	if u := r.used(aliceLease); u != (ledger.Usage{}) {
		t.Fatalf("%+v", u)
	}
	_, a = r.put(tok, aliceLease, body)
	a.want(t, 201, "")
	must(t, os.WriteFile(files[0], damaged, 0o600)) // again, and this time the renter puts before anybody noticed
	_, a = r.put(tok, aliceLease, body)
	a.want(t, 200, "")
	r.checkReads(tok, id, body)
}

// TestManyDrives: 200 renters at once put, read and delete; each finds its own bytes and the counters are exact.
func TestManyDrives(t *testing.T) {
	r := newRig(t, options{limits: Limits{StrangerRate: 1000}})
	var wg sync.WaitGroup
	for i := range 200 {
		k := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(i), 1}, 16))
		lease := ids.Lease{1, byte(i)}
		must(t, r.ledger.Grant(ledger.Lease{ID: lease, Renter: public(k), Size: 1 << 20, Until: r.clock.now().Add(time.Hour)}))
		wg.Go(func() { r.oneDrive(k, lease, uint64(i)) })
	}
	wg.Wait()
	for i := range 200 {
		if u := r.used(ids.Lease{1, byte(i)}); u != (ledger.Usage{Bytes: 4 * 12288, Shards: 4}) {
			t.Fatalf("drive %d: %+v", i, u)
		}
	}
}

func (r *rig) oneDrive(k ed25519.PrivateKey, lease ids.Lease, n uint64) {
	t := r.t
	var l tokenList
	a := r.login(k)
	if err := json.Unmarshal(a.body, &l); err != nil || len(l.Leases) != 1 {
		t.Errorf("login: %d %s", a.status, a.body)
		return
	}
	tok := l.Leases[0].Token
	for i := range uint64(5) {
		body := content(n<<8|i, 10_000)
		id, a := r.put(tok, lease, body)
		if a.status != 201 {
			t.Errorf("put: %d %s", a.status, a.body)
			return
		}
		if a = r.do("GET", shardPath(lease, id), tok, nil); !bytes.Equal(a.body, body) {
			t.Errorf("get: %d", a.status)
		}
		if i == 2 {
			if a = r.do("DELETE", shardPath(lease, id), tok, nil); a.status != 204 {
				t.Errorf("delete: %d", a.status)
			}
		}
	}
}

// TestMemoryIsBounded puts and gets a 4 MiB shard eight times; the server allocates a small part of that.
func TestMemoryIsBounded(t *testing.T) {
	r := newRig(t, options{store: folder(t)})
	tok := r.token(alice)
	body := bytes.Repeat([]byte("0123456789abcdef"), 1<<18)
	id := ids.Shard(merkle.Root(body))
	var before, after runtime.MemStats
	run := func(method string, b io.Reader) int {
		req := httptest.NewRequest(method, shardPath(aliceLease, id), b)
		req.Header.Set("Authorization", "Bearer "+tok)
		if b != nil {
			req.ContentLength = int64(len(body))
		}
		w := &discard{header: http.Header{}}
		r.server.ServeHTTP(w, req)
		return w.status
	}
	runtime.ReadMemStats(&before)
	for range 8 {
		if s := run("PUT", bytes.NewReader(body)); s != 200 && s != 201 {
			t.Fatal(s)
		}
		if s := run("GET", nil); s != 200 {
			t.Fatal(s)
		}
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 8<<20 {
		t.Fatalf("%d bytes allocated for %d", got, 16*len(body))
	}
}

type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header { return d.header }
func (d *discard) WriteHeader(s int)   { d.status = s }
func (d *discard) Write(p []byte) (int, error) {
	if d.status == 0 {
		d.status = 200
	}
	return len(p), nil
}

func FuzzRange(f *testing.F) {
	for _, s := range []string{"bytes=0-1", "bytes=-5", "bytes=7-", "bytes=1-2,3-4"} {
		f.Add(s, int64(10))
	}
	f.Fuzz(func(t *testing.T, s string, size int64) {
		if size < 1 {
			return
		}
		r, err := parseRange(s, size)
		if err == nil && (r.off < 0 || r.n < 1 || r.off+r.n > size || r.off+r.n < 0) {
			t.Fatalf("%q of %d: %+v", s, size, r)
		}
	})
}

func FuzzSlotValue(f *testing.F) {
	f.Add(slotBody(alice, aliceLease, "s", 1, []byte("x")))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := ParseSlotValue(b)
		if err == nil && !bytes.Equal(v.Append(nil), b) {
			t.Fatal("not the identity")
		}
	})
}

func FuzzRequest(f *testing.F) {
	r := newRig(f, options{})
	tok := r.token(alice)
	base := "/v1/leases/" + aliceLease.String() + "/"
	for _, p := range []string{"shards", "shards:has", "shards:delete", "slots/x", "usage", "shards/" + strings.Repeat("0", 64)} {
		for _, m := range []string{"GET", "PUT", "POST", "DELETE"} {
			f.Add(m, base+p, "after=00&limit=3", []byte(`{"ids":["00"]}`))
		}
	}
	f.Add("POST", "/v1/tokens", "", []byte(`{"key":"","nonce":"","sig":""}`))
	f.Fuzz(func(t *testing.T, method, path, query string, body []byte) {
		req := httptest.NewRequest(http.MethodGet, "/", bytes.NewReader(body))
		req.Method, req.URL.Path, req.URL.RawQuery, req.RemoteAddr = method, path, query, ""
		req.Header.Set("Authorization", "Bearer "+tok)
		r.clock.advance(0)
		w := httptest.NewRecorder()
		r.server.ServeHTTP(w, req)
		if w.Code == 500 {
			t.Fatalf("%s %q?%q: %s", method, path, query, w.Body)
		}
	})
}
