package fileserver

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	mrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudcoin/cloudcoin/crypto/merkle"
	"github.com/cloudcoin/cloudcoin/crypto/token"
	"github.com/cloudcoin/cloudcoin/provider/ids"
	"github.com/cloudcoin/cloudcoin/provider/ledger"
	"github.com/cloudcoin/cloudcoin/provider/shardstore"
	"github.com/cloudcoin/cloudcoin/provider/vault"
)

const network = "local"

func key(b byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{b}, ed25519.SeedSize))
}

func public(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

var (
	providerKey, tokenKey = key(1), key(2)
	alice, bob            = key(10), key(11)
	aliceLease, bobLease  = ids.Lease{0xa}, ids.Lease{0xb}
)

// clock is a time that a test moves.
type clock struct{ ns atomic.Int64 }

func (c *clock) now() time.Time          { return time.Unix(0, c.ns.Load()) }
func (c *clock) advance(d time.Duration) { c.ns.Add(int64(d)) }

// rig is a server on real parts.
type rig struct {
	t      testing.TB
	clock  *clock
	store  shardstore.Store
	ledger *ledger.Ledger
	vault  *vault.Vault
	server *Server
	http   *httptest.Server
	url    string
}

type options struct {
	store  shardstore.Store
	limits Limits
	max    int64
}

func newRig(t testing.TB, o options) *rig {
	t.Helper()
	r := &rig{t: t, clock: &clock{}, store: o.store}
	r.clock.ns.Store(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC).UnixNano())
	if r.store == nil {
		r.store = shardstore.NewMemory()
	}
	dir := t.TempDir()
	quiet := slog.New(slog.DiscardHandler)
	must(t, ledger.Create(dir))
	var err error
	r.ledger, err = ledger.Open(dir, quiet)
	must(t, err)
	t.Cleanup(func() { must(t, r.ledger.Close()) })
	r.vault, err = vault.Open(r.store, r.ledger, r.clock.now, quiet)
	must(t, err)
	for id, k := range map[ids.Lease]ed25519.PrivateKey{aliceLease: alice, bobLease: bob} {
		must(t, r.ledger.Grant(ledger.Lease{
			ID: id, Renter: public(k), Size: 1 << 30, Created: r.clock.now(), Until: r.clock.now().Add(24 * time.Hour), Grace: 48 * time.Hour,
		}))
	}
	r.server, err = New(Config{
		Vault: r.vault, Register: r.ledger, Key: providerKey, TokenKey: tokenKey, Network: network, Name: "test", Country: "DE",
		MaxShard: o.max, Limits: o.limits, Now: r.clock.now, Random: rand.Reader, Logger: quiet,
	})
	must(t, err)
	r.http = httptest.NewUnstartedServer(r.server)
	r.http.Config.MaxHeaderBytes = 16 << 10
	r.http.Start()
	t.Cleanup(r.http.Close)
	r.url = r.http.URL
	return r
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// answer is a response, read whole.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (r *rig) do(method, path, tok string, body io.Reader, header ...string) answer {
	r.t.Helper()
	req, err := http.NewRequest(method, r.url+path, body)
	must(r.t, err)
	if tok != "" {
		req.Header.Set("Authorization", "Bearer "+tok)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := r.http.Client().Do(req)
	must(r.t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	must(r.t, err)
	return answer{resp.StatusCode, resp.Header, b}
}

// want checks status and problem name.
func (a answer) want(t testing.TB, status int, name string) {
	t.Helper()
	if a.status != status {
		t.Fatalf("status %d, want %d: %.300s", a.status, status, a.body)
	}
	if status < 400 {
		return
	}
	var p Problem
	if err := json.Unmarshal(a.body, &p); err != nil || p.Status != status || p.Type != "urn:cloudcoin:problem:"+name || a.header.Get("Content-Type") != "application/problem+json" {
		t.Fatalf("problem %.300s (%v), want %s", a.body, err, name)
	}
}

func (a answer) json(t testing.TB, v any) {
	t.Helper()
	a.want(t, 200, "")
	must(t, json.Unmarshal(a.body, v))
}

type tokenList struct {
	Leases []struct {
		Lease, State, Token, Expires, Until string
		Size, Used                          int64
	}
}

// login proves a key and returns the answer.
func (r *rig) login(k ed25519.PrivateKey) answer {
	r.t.Helper()
	var c struct{ Nonce string }
	r.do("GET", "/v1/challenge", "", nil).json(r.t, &c)
	return r.prove(k, c.Nonce, network)
}

func (r *rig) prove(k ed25519.PrivateKey, nonce, network string) answer {
	r.t.Helper()
	body, err := json.Marshal(map[string]string{
		"key": hex.EncodeToString(public(k)), "nonce": nonce, "sig": hex.EncodeToString(ed25519.Sign(k, AuthMessage(network, public(providerKey), public(k), nonce))),
	})
	must(r.t, err)
	return r.do("POST", "/v1/tokens", "", bytes.NewReader(body))
}

func (r *rig) token(k ed25519.PrivateKey) string {
	r.t.Helper()
	var l tokenList
	r.login(k).json(r.t, &l)
	if len(l.Leases) != 1 {
		r.t.Fatalf("%d leases", len(l.Leases))
	}
	return l.Leases[0].Token
}

func content(seed uint64, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		seed = seed*6364136223846793005 + 1442695040888963407
		b[i] = byte(seed >> 56)
	}
	return b
}

func shardPath(lease ids.Lease, id ids.Shard) string {
	return fmt.Sprintf("/v1/leases/%s/shards/%s", lease, id)
}

func (r *rig) put(tok string, lease ids.Lease, body []byte) (ids.Shard, answer) {
	r.t.Helper()
	id := ids.Shard(merkle.Root(body))
	return id, r.do("PUT", shardPath(lease, id), tok, bytes.NewReader(body))
}

func (r *rig) used(lease ids.Lease) ledger.Usage {
	_, u, err := r.ledger.Lease(lease)
	must(r.t, err)
	return u
}

func TestLogin(t *testing.T) {
	r := newRig(t, options{})
	var about map[string]any
	r.do("GET", "/v1/provider", "", nil).json(t, &about)
	if about["provider"] != hex.EncodeToString(public(providerKey)) || about["network"] != network || about["country"] != "DE" {
		t.Fatalf("%v", about)
	}
	var l tokenList
	r.login(alice).json(t, &l)
	if len(l.Leases) != 1 || l.Leases[0].Lease != aliceLease.String() || l.Leases[0].State != "open" || l.Leases[0].Size != 1<<30 {
		t.Fatalf("%+v", l)
	}
	r.login(key(99)).json(t, &l)
	if len(l.Leases) != 0 {
		t.Fatalf("a stranger got %+v", l)
	}
	var c struct{ Nonce string }
	r.do("GET", "/v1/challenge", "", nil).json(t, &c)
	r.prove(alice, c.Nonce, "bitcoin").want(t, 401, "unauthorized")
	r.prove(alice, c.Nonce[1:]+"A", network).want(t, 401, "unauthorized")
	r.prove(alice, "", network).want(t, 401, "unauthorized")
	r.clock.advance(nonceLife)
	r.prove(alice, c.Nonce, network).want(t, 401, "unauthorized")
	for _, body := range []string{"", "{", "[]", `{"key":"00"}`, `{"key":"` + hex.EncodeToString(public(alice)) + `","sig":"zz"}`} {
		r.do("POST", "/v1/tokens", "", bytes.NewBufferString(body)).want(t, 400, "bad-request")
	}
	r.do("POST", "/v1/tokens", "", bytes.NewReader(make([]byte, maxJSON+1))).want(t, 413, "too-large")
}

func TestShardRoundTrip(t *testing.T) {
	for name, store := range map[string]func(testing.TB) shardstore.Store{"memory": func(testing.TB) shardstore.Store { return nil }, "folder": folder} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, options{store: store(t)})
			tok := r.token(alice)
			for _, n := range []int{1, 4095, 4096, 4097, 300_000} {
				body := content(uint64(n), n)
				before := r.used(aliceLease)
				id, a := r.put(tok, aliceLease, body)
				a.want(t, 201, "")
				rec, err := token.VerifyReceipt(string(a.body), public(providerKey), network)
				if err != nil || rec.Lease != aliceLease || rec.Shard != id || rec.Size != int64(n) || a.header.Get("Content-Type") != "application/jose" {
					t.Fatalf("receipt %+v, %v", rec, err)
				}
				if u := r.used(aliceLease); u.Shards != before.Shards+1 || u.Bytes != before.Bytes+vault.Charge(int64(n)) {
					t.Fatalf("usage %+v after %+v", u, before)
				}
				_, a = r.put(tok, aliceLease, body)
				a.want(t, 200, "")
				if u := r.used(aliceLease); u.Shards != before.Shards+1 {
					t.Fatalf("charged twice: %+v", u)
				}
				r.checkReads(tok, id, body)
			}
		})
	}
}

func folder(t testing.TB) shardstore.Store {
	t.Helper()
	dir := t.TempDir()
	must(t, shardstore.CreateFolder(dir))
	s, err := shardstore.OpenFolder(dir)
	must(t, err)
	return s
}

// checkReads compares whole, ranged, proved and HEAD reads of a shard with its bytes.
func (r *rig) checkReads(tok string, id ids.Shard, body []byte) {
	t, path := r.t, shardPath(aliceLease, id)
	t.Helper()
	a := r.do("GET", path, tok, nil)
	if a.status != 200 || !bytes.Equal(a.body, body) || a.header.Get("ETag") != `"`+id.String()+`"` {
		t.Fatalf("get: %d, %d bytes", a.status, len(a.body))
	}
	if a = r.do("HEAD", path, tok, nil); a.status != 200 || a.header.Get("Content-Length") != fmt.Sprint(len(body)) {
		t.Fatalf("head: %+v", a)
	}
	n := len(body)
	for _, rng := range [][2]int{{0, n}, {n - 1, n}, {0, 1}, {n / 3, n/2 + 1}} {
		a := r.do("GET", path, tok, nil, "Range", fmt.Sprintf("bytes=%d-%d", rng[0], rng[1]-1))
		if a.status != 206 || !bytes.Equal(a.body, body[rng[0]:rng[1]]) || a.header.Get("Content-Range") != fmt.Sprintf("bytes %d-%d/%d", rng[0], rng[1]-1, n) {
			t.Fatalf("range %v: %d %v", rng, a.status, a.header)
		}
		from, to := rng[0]/4096*4096, min(n, (rng[1]+4095)/4096*4096)
		a = r.do("GET", path+"?proof=1", tok, nil, "Range", fmt.Sprintf("bytes=%d-%d", from, to-1))
		a.want(t, 206, "")
		p := int(a.body[0])<<24 | int(a.body[1])<<16 | int(a.body[2])<<8 | int(a.body[3])
		proof, err := merkle.ParseProof(a.body[4 : 4+p])
		must(t, err)
		must(t, merkle.VerifyRange(merkle.Hash(id), int64(n), int64(from), a.body[4+p:], proof))
		if !bytes.Equal(a.body[4+p:], body[from:to]) {
			t.Fatal("proved bytes differ")
		}
	}
}

func TestDeleteHasList(t *testing.T) {
	r := newRig(t, options{})
	tok := r.token(alice)
	var all []string
	for i := range 25 {
		id, a := r.put(tok, aliceLease, content(uint64(i), 100+i))
		a.want(t, 201, "")
		all = append(all, id.String())
	}
	base := "/v1/leases/" + aliceLease.String()
	var got []string
	for next := ""; ; {
		var page struct {
			Shards []listed
			Next   string
		}
		r.do("GET", base+"/shards?limit=10&after="+next, tok, nil).json(t, &page)
		for _, s := range page.Shards {
			got = append(got, s.ID)
			if s.Size < 100 || s.Size > 124 || len(got) > 1 && got[len(got)-2] >= s.ID {
				t.Fatalf("%+v after %v", s, got)
			}
		}
		if next = page.Next; next == "" {
			break
		}
	}
	if len(got) != 25 {
		t.Fatalf("listed %d", len(got))
	}
	mrand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	r.do("DELETE", base+"/shards/"+all[0], tok, nil).want(t, 204, "")
	r.do("DELETE", base+"/shards/"+all[0], tok, nil).want(t, 204, "")
	r.do("GET", base+"/shards/"+all[0], tok, nil).want(t, 404, "no-such-shard")
	body, err := json.Marshal(batch{IDs: append(all[:5:5], all[1])})
	must(t, err)
	var has struct{ Has []bool }
	r.do("POST", base+"/shards:has", tok, bytes.NewReader(body)).json(t, &has)
	if fmt.Sprint(has.Has) != "[false true true true true true]" {
		t.Fatalf("%v", has.Has)
	}
	var del struct{ Deleted int }
	r.do("POST", base+"/shards:delete", tok, bytes.NewReader(body)).json(t, &del)
	if del.Deleted != 4 || r.used(aliceLease) != (ledger.Usage{Bytes: 20 * 4096, Shards: 20}) {
		t.Fatalf("deleted %d, usage %+v", del.Deleted, r.used(aliceLease))
	}
	var usage struct {
		Used, Size, Shards int64
		State              string
	}
	r.do("GET", base+"/usage", tok, nil).json(t, &usage)
	if usage.Used != 20*4096 || usage.Shards != 20 || usage.Size != 1<<30 || usage.State != "open" {
		t.Fatalf("%+v", usage)
	}
}

func slotBody(k ed25519.PrivateKey, lease ids.Lease, name string, counter uint64, payload []byte) []byte {
	v := SlotValue{Counter: counter, Payload: payload}
	copy(v.Signature[:], ed25519.Sign(k, SlotMessage(network, public(providerKey), lease, name, counter, payload)))
	return v.Append(nil)
}

func TestSlots(t *testing.T) {
	r := newRig(t, options{})
	tok := r.token(alice)
	base := "/v1/leases/" + aliceLease.String() + "/slots"
	put := func(name string, b []byte) answer {
		return r.do("PUT", base+"/"+name, tok, bytes.NewReader(b))
	}
	r.do("GET", base+"/head", tok, nil).want(t, 404, "no-such-slot")
	put("head", slotBody(alice, aliceLease, "head", 5, []byte("five"))).want(t, 204, "")
	put("head", slotBody(alice, aliceLease, "head", 5, []byte("five"))).want(t, 204, "")
	put("head", slotBody(alice, aliceLease, "head", 5, []byte("fork"))).want(t, 409, "slot-conflict")
	a := put("head", slotBody(alice, aliceLease, "head", 4, []byte("four")))
	a.want(t, 409, "slot-conflict")
	var p Problem
	must(t, json.Unmarshal(a.body, &p))
	if p.Counter == nil || *p.Counter != 5 {
		t.Fatalf("%s", a.body)
	}
	put("head", slotBody(alice, aliceLease, "head", 9, nil)).want(t, 204, "")
	put("Head", slotBody(alice, aliceLease, "Head", 1, content(1, maxPayload))).want(t, 204, "")
	if a := r.do("GET", base+"/Head", tok, nil); a.status != 200 || !bytes.Equal(a.body, slotBody(alice, aliceLease, "Head", 1, content(1, maxPayload))) {
		t.Fatalf("%d, %d bytes", a.status, len(a.body))
	}
	var list struct{ Slots []listedSlot }
	r.do("GET", base, tok, nil).json(t, &list)
	if fmt.Sprint(list.Slots) != "[{Head 1 65536} {head 9 0}]" {
		t.Fatalf("%v", list.Slots)
	}
	put("head", slotBody(bob, aliceLease, "head", 10, nil)).want(t, 400, "bad-signature")
	put("head", slotBody(alice, bobLease, "head", 10, nil)).want(t, 400, "bad-signature")
	put("head", slotBody(alice, aliceLease, "Head", 10, nil)).want(t, 400, "bad-signature")
	put("head", make([]byte, slotHeader-1)).want(t, 400, "bad-request")
	put("head", append([]byte{2}, slotBody(alice, aliceLease, "head", 10, nil)[1:]...)).want(t, 400, "bad-request")
	put("head", make([]byte, slotHeader+maxPayload+1)).want(t, 413, "too-large")
	put("he.ad", slotBody(alice, aliceLease, "he.ad", 1, nil)).want(t, 400, "bad-request")
	for i := range vault.MaxSlots - 2 {
		must(t, r.store.PutSlot(aliceLease, fmt.Sprint("s", i), []byte("x")))
	}
	put("more", slotBody(alice, aliceLease, "more", 1, nil)).want(t, 413, "too-many-slots")
	put("head", slotBody(alice, aliceLease, "head", 10, nil)).want(t, 204, "")
}

func TestTermGraceEnd(t *testing.T) {
	r := newRig(t, options{})
	tok := r.token(alice)
	id, a := r.put(tok, aliceLease, content(1, 10))
	a.want(t, 201, "")
	r.clock.advance(24*time.Hour - time.Second)
	tok = r.token(alice)
	r.clock.advance(time.Second)
	_, a = r.put(tok, aliceLease, content(2, 10)) // with a token from before the end
	a.want(t, 402, "payment-required")
	tok = r.token(alice)
	_, a = r.put(tok, aliceLease, content(2, 10))
	a.want(t, 402, "payment-required")
	r.do("PUT", "/v1/leases/"+aliceLease.String()+"/slots/s", tok, bytes.NewReader(slotBody(alice, aliceLease, "s", 1, nil))).want(t, 402, "payment-required")
	r.do("GET", shardPath(aliceLease, id), tok, nil).want(t, 200, "")
	must(t, r.vault.Reap())
	r.do("GET", shardPath(aliceLease, id), tok, nil).want(t, 200, "")
	r.clock.advance(48*time.Hour - 30*time.Minute)
	tok = r.token(alice)
	r.clock.advance(30 * time.Minute)
	r.do("GET", shardPath(aliceLease, id), tok, nil).want(t, 402, "payment-required")
	var l tokenList
	r.login(alice).json(t, &l)
	if len(l.Leases) != 1 || l.Leases[0].State != "ended" || l.Leases[0].Token != "" {
		t.Fatalf("%+v", l)
	}
	must(t, r.vault.Reap())
	if u := r.used(aliceLease); u.Shards != 1 {
		t.Fatalf("two days passed at once and the data was dropped: %+v", u)
	}
	r.clock.advance(ledger.SureAfter)
	must(t, r.vault.Reap())
	if u := r.used(aliceLease); u != (ledger.Usage{}) {
		t.Fatalf("usage %+v", u)
	}
	if _, err := r.store.Stat(aliceLease, id); !errors.Is(err, shardstore.ErrNotFound) {
		t.Fatal(err)
	}
}
