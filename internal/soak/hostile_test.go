//go:build linux

package soak

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudcoin/cloudcoin/internal/bench/session"
)

const (
	hostileTime        = 5 * time.Second
	attackers          = 24        // of each kind
	providerLimit      = 128 << 20 // bytes of memory that a provider under attack may take at most
	hostileReplyWithin = 2 * time.Second
)

// TestSoakHostile lets strangers loose on all six providers while an honest drive writes: slow requests, huge headers, garbage, bodies of claimed exabytes,
// paths that want out, floods of token requests. The memory of the providers stays bounded, none ends, no stranger gets anything, and the drive goes on
// unharmed.
func TestSoakHostile(t *testing.T) {
	rnd, seed := seeded(t)
	d := session.New(bin, workDir(t))
	defer clearAway(t, d)
	if err := d.Start(timeout(t, time.Minute)); err != nil {
		t.Fatal(err)
	}
	providers, err := d.Providers()
	if err != nil {
		t.Fatal(err)
	}
	pids := map[string]int{}
	for _, p := range providers {
		pids[p.Name] = providerPID(t, p)
	}
	length := hostileTime
	if r := newRounds(t, 1, 1, 8); !r.end.IsZero() {
		length = max(length, time.Until(r.end))
	}
	ctx, cancel := context.WithTimeout(context.Background(), length)
	defer cancel()
	var wg sync.WaitGroup
	siege := newSiege(providers)
	for range attackers {
		for _, a := range attacks {
			own := rand.New(rand.NewPCG(seed, rnd.Uint64()))
			wg.Go(func() { siege.run(ctx, own, a) })
		}
	}
	team := newTeam(d.Mount, seed)
	errs := make([]error, len(team.writers))
	for i, w := range team.writers {
		wg.Go(func() { errs[i] = w.Run(ctx) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			t.Errorf("the honest drive: %v", err)
		}
	}
	for _, w := range siege.wrong {
		t.Error(w)
	}
	for _, p := range providers {
		if now := providerPID(t, p); now != pids[p.Name] {
			t.Errorf("%s ended: it was process %d, now %d", p.Name, pids[p.Name], now)
			continue
		}
		peak, err := session.PeakMemoryOf(pids[p.Name])
		if err != nil {
			t.Fatal(err)
		}
		if peak > providerLimit {
			t.Errorf("%s took %d MiB, more than %d", p.Name, peak>>20, providerLimit>>20)
		}
		t.Logf("%s: peak memory %d MiB", p.Name, peak>>20)
	}
	if _, err := d.Run(timeout(t, time.Minute), "evict"); err != nil {
		t.Fatal(err)
	}
	team.check(t, 0)
	finish(t, d, providers)
	t.Logf("%d requests and %d connections of strangers, answers %v; %d acknowledged operations beside them", siege.requests, siege.conns, siege.answers, team.ops())
}

// siege counts what strangers did and got.
type siege struct {
	hosts []string

	mu              sync.Mutex
	requests, conns int
	answers         map[int]int
	wrong           []string
}

func newSiege(providers []session.Provider) *siege {
	s := &siege{answers: map[int]int{}}
	for _, p := range providers {
		if u, err := url.Parse(p.URL); err == nil {
			s.hosts = append(s.hosts, u.Host)
		}
	}
	return s
}

// attack is one thing that a stranger does on a connection. send writes as much as the other side takes.
type attack struct {
	name string
	open bool // any status but a 5xx is right; otherwise it must be an error
	send func(ctx context.Context, rnd *rand.Rand, w io.Writer) error
}

func (s *siege) run(ctx context.Context, rnd *rand.Rand, a attack) {
	for ctx.Err() == nil {
		s.one(ctx, rnd, a)
	}
}

// one connects from one of some hundred addresses, sends, and reads the answers until the other side has enough.
func (s *siege) one(ctx context.Context, rnd *rand.Rand, a attack) {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(2+rnd.IntN(200)))}, Timeout: hostileReplyWithin}
	c, err := dialer.DialContext(ctx, "tcp", s.hosts[rnd.IntN(len(s.hosts))])
	if err != nil {
		return // it has enough of us
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	s.count(func() { s.conns++ })
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_ = a.send(ctx, rnd, c) // refused at any point, which is right
	}()
	defer func() { <-sent }()
	in := bufio.NewReader(c)
	for {
		if err := c.SetReadDeadline(time.Now().Add(hostileReplyWithin)); err != nil {
			return
		}
		r, err := http.ReadResponse(in, nil)
		if err != nil {
			c.Close()
			return
		}
		body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		s.judge(a, r.StatusCode, body)
	}
}

func (s *siege) judge(a attack, status int, body []byte) {
	s.count(func() {
		s.requests++
		s.answers[status]++
		bad := status >= 500 && status != http.StatusServiceUnavailable && status != http.StatusNotImplemented && status != http.StatusHTTPVersionNotSupported
		if bad || !a.open && status < 400 || strings.Contains(string(body), "root:") || strings.Contains(string(body), `"token"`) {
			if len(s.wrong) < 20 {
				s.wrong = append(s.wrong, fmt.Sprintf("%s was answered %d: %.200q", a.name, status, body))
			}
		}
	})
}

func (s *siege) count(fn func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fn()
}

const zeros64 = "0000000000000000000000000000000000000000000000000000000000000000"

var attacks = []attack{
	{"a slow request", true, func(ctx context.Context, rnd *rand.Rand, w io.Writer) error {
		if _, err := io.WriteString(w, "GET /v1/provider HTTP/1.1\r\nHost: x\r\n"); err != nil {
			return err
		}
		for ctx.Err() == nil {
			if _, err := fmt.Fprintf(w, "X-%d: y\r\n", rnd.Uint64()); err != nil {
				return err
			}
			pause(rnd, 200*time.Millisecond)
		}
		return nil
	}},
	{"a huge header", false, func(_ context.Context, _ *rand.Rand, w io.Writer) error {
		_, err := io.WriteString(w, "GET /v1/provider HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat("a", 8<<20)+"\r\n\r\n")
		return err
	}},
	{"garbage", false, func(_ context.Context, rnd *rand.Rand, w io.Writer) error {
		b := make([]byte, 64<<10)
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		_, err := w.Write(b)
		return err
	}},
	{"a claim of exabytes", false, func(_ context.Context, _ *rand.Rand, w io.Writer) error {
		if _, err := fmt.Fprintf(w, "PUT /v1/leases/%s/shards/%s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a.b.c\r\nContent-Length: %d\r\n\r\n",
			zeros64[:32], zeros64, int64(1)<<60); err != nil {
			return err
		}
		b := make([]byte, 64<<10)
		for range 1024 {
			if _, err := w.Write(b); err != nil {
				return err
			}
		}
		return nil
	}},
	{"a path that wants out", false, func(_ context.Context, rnd *rand.Rand, w io.Writer) error {
		paths := []string{
			"/v1/leases/../../../../etc/passwd", "/v1/leases/%2e%2e%2f%2e%2e%2fetc%2fpasswd/shards/x", "//etc/passwd", "/v1/leases/" + zeros64[:32] + "/slots/..%2f..%2fledger",
			"/v1/leases/" + zeros64[:32] + "/shards/%00", "/" + strings.Repeat("a/", 7000), "/v1/leases/" + zeros64[:32] + "/shards?after=%ff&limit=-1", "*", "http://127.0.0.1:1/",
		}
		for range 50 {
			if _, err := fmt.Fprintf(w, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", paths[rnd.IntN(len(paths))]); err != nil {
				return err
			}
		}
		return nil
	}},
	{"a flood for tokens", true, func(_ context.Context, rnd *rand.Rand, w io.Writer) error {
		key := make([]byte, ed25519.PublicKeySize)
		for range 200 {
			for i := range key {
				key[i] = byte(rnd.Uint32())
			}
			body := fmt.Sprintf(`{"key":"%s","nonce":"%x","sig":"%s%s"}`, hex.EncodeToString(key), key[:16], zeros64, zeros64)
			if _, err := fmt.Fprintf(w, "GET /v1/challenge HTTP/1.1\r\nHost: x\r\n\r\nPOST /v1/tokens HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body); err != nil {
				return err
			}
		}
		return nil
	}},
	{"a body without end", false, func(_ context.Context, _ *rand.Rand, w io.Writer) error {
		if _, err := io.WriteString(w, "POST /v1/tokens HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n10000\r\n{\"key\":\""); err != nil {
			return err
		}
		b := []byte(strings.Repeat("a", 0x10000-8) + "\r\n10000\r\n" + strings.Repeat("b", 8))
		for range 1024 {
			if _, err := w.Write(b); err != nil {
				return err
			}
		}
		return nil
	}},
}
