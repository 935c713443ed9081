//go:build linux

package acceptance

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/cloudcoin/cloudcoin/internal/bench/session"
)

// liar stands between the drive and a provider and makes it behave badly.
type liar struct {
	*httptest.Server
	proxy *httputil.ReverseProxy

	mu    sync.Mutex
	mode  string // "": honest; garbage, truncated, silent, broken, old
	told  int    // lies since the mode was changed
	slots map[string][]byte
	hold  chan struct{} // closed when silence ends
}

func newLiar(t *testing.T, to string) *liar {
	t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	l := &liar{proxy: httputil.NewSingleHostReverseProxy(u), slots: map[string][]byte{}, hold: make(chan struct{})}
	l.proxy.ModifyResponse = l.answer
	l.proxy.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
	l.Server = httptest.NewServer(http.HandlerFunc(l.serve))
	t.Cleanup(func() {
		l.be("")
		l.CloseClientConnections()
		l.Close()
	})
	return l
}

// be changes how it behaves.
func (l *liar) be(mode string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.hold)
	l.hold = make(chan struct{})
	l.mode, l.told = mode, 0
}

func (l *liar) now() (string, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mode == "silent" || l.mode == "broken" {
		l.told++
	}
	return l.mode, l.hold
}

func (l *liar) serve(w http.ResponseWriter, r *http.Request) {
	switch mode, hold := l.now(); mode {
	case "silent":
		select {
		case <-hold:
		case <-r.Context().Done():
		}
		panic(http.ErrAbortHandler)
	case "broken":
		http.Error(w, "out of order", http.StatusInternalServerError)
	default:
		l.proxy.ServeHTTP(w, r)
	}
}

func (l *liar) lies() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.told
}

// holders are the addresses of the providers of the first two data shards of the largest pack: every read of it asks them.
func holders(t *testing.T, d *session.Drive, providers []session.Provider) (urls []string) {
	t.Helper()
	var packs []struct {
		Size   int64
		Shards []struct{ Provider string }
	}
	if err := d.JSON(testContext(t), &packs, "pack", "list"); err != nil {
		t.Fatal(err)
	}
	largest := 0
	for i := range packs {
		if packs[i].Size > packs[largest].Size {
			largest = i
		}
	}
	for _, s := range packs[largest].Shards[:2] {
		for _, p := range providers {
			if p.Name == s.Provider {
				urls = append(urls, p.URL)
			}
		}
	}
	if len(urls) != 2 {
		t.Fatalf("providers of the largest pack: %q", urls)
	}
	return urls
}

// answer changes what the provider says of shards and slots.
func (l *liar) answer(resp *http.Response) error {
	r := resp.Request
	shard, slot := strings.Contains(r.URL.Path, "/shards/"), strings.Contains(r.URL.Path, "/slots/")
	if r.Method != http.MethodGet || !shard && !slot || resp.StatusCode >= 300 {
		return nil
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mode == "garbage" || l.mode == "truncated" && shard {
		l.told++
	}
	switch {
	case l.mode == "garbage":
		_, err = rand.Read(body)
	case l.mode == "truncated" && shard:
		body = body[:len(body)/2]
	case l.mode == "old" && slot && l.slots[r.URL.Path] != nil:
		body = l.slots[r.URL.Path]
	case l.mode == "" && slot && l.slots[r.URL.Path] == nil:
		l.slots[r.URL.Path] = body // the first that it saw, for later
	}
	if l.mode != "truncated" { // there the length stays as it was told
		resp.ContentLength = int64(len(body))
		resp.Header.Del("Content-Length")
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return err
}

// through makes the stopped drive reach a provider by another address.
func through(t *testing.T, d *session.Drive, from, to string) {
	t.Helper()
	path := filepath.Join(d.Home, "leases.json")
	b := strings.ReplaceAll(read(t, path), from, to)
	if !json.Valid([]byte(b)) || !strings.Contains(b, to) {
		t.Fatalf("leases.json has no %s", from)
	}
	if err := os.WriteFile(path, []byte(b), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestLyingProviders: two of six behave badly; reads go on, status warns, and when they are better again everything is whole.
func TestLyingProviders(t *testing.T) {
	_, providers := newNetwork(t)
	d, _ := newMounted(t, providers)
	inside, outside := fill(t, d)
	stop(t, d)
	var liars []*liar
	for _, url := range holders(t, d, providers) {
		l := newLiar(t, url)
		liars = append(liars, l)
		through(t, d, url, l.URL)
	}
	startMount(t, d)
	cc(t, d, "doctor")
	await(t, d, "whole packs", whole)
	for _, mode := range []string{"garbage", "truncated", "broken", "silent"} {
		t.Run(mode, func(t *testing.T) {
			for _, l := range liars {
				l.be(mode)
			}
			forget(t, d)
			stop(t, d) // what is in memory would answer without them
			startMount(t, d)
			compare(t, outside, inside)
			told := 0
			for _, l := range liars {
				told = max(told, l.lies())
			}
			if s := getStatus(t, d); told >= 3 && len(s.Warnings) == 0 && s.Health.AtRisk == 0 {
				t.Errorf("%d lies of one, and status says nothing: %+v", told, s)
			} else if told == 0 {
				t.Error("nobody asked the liars")
			}
			for _, l := range liars {
				l.be("")
			}
			cc(t, d, "doctor") // asks at once what would be asked later
			await(t, d, "whole packs", whole)
		})
	}
}

// TestRolledBackProvider: one that answers with an old head is noticed, and what it says isn't used.
func TestRolledBackProvider(t *testing.T) {
	_, providers := newNetwork(t)
	d, _ := newMounted(t, providers)
	path := filepath.Join(d.Mount, "file")
	write(t, path, "old")
	cc(t, d, "sync", "--timeout", "1m")
	stop(t, d)
	l := newLiar(t, providers[1].URL)
	through(t, d, providers[1].URL, l.URL)
	startMount(t, d) // the liar sees the slots of now
	await(t, d, "an answer of the provider", whole)
	write(t, path, "new")
	cc(t, d, "sync", "--timeout", "1m")
	stop(t, d)
	l.be("old")
	startMount(t, d)
	s := await(t, d, "a warning", func(s status) bool { return strings.Contains(strings.Join(s.Warnings, "\n"), "older state") })
	if s.State != "mounted" {
		t.Errorf("the drive is %s: %q", s.State, s.Warnings)
	}
	if got := read(t, path); got != "new" {
		t.Errorf("the file is %q", got)
	}
}
