package provider

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/cloudcoin/cloudcoin/internal/localsock"
)

// ErrNotRunning is returned when no process serves the HOME.
var ErrNotRunning = errors.New("the provider is not running")

const socketFile = "admin.sock"

// listenAdmin opens the local API. The HOME's lock is held, so a socket that is there is a dead one's.
func (p *Provider) listenAdmin() (net.Listener, error) {
	path := p.home.path(socketFile)
	ln, err := localsock.Listen(path)
	if err != nil {
		return nil, fmt.Errorf("local API: %w", err)
	}
	return &removing{ln, path}, nil
}

// removing removes the socket's name when the listener is closed.
type removing struct {
	net.Listener
	path string
}

func (r *removing) Close() error {
	err := r.Listener.Close()
	if rerr := os.Remove(r.path); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
		err = errors.Join(err, rerr)
	}
	return err
}

// adminHandler serves the local API: JSON in, JSON out; an error is {"error": "…"} with status 500.
func (p *Provider) adminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", answer(func(r *http.Request) (any, error) { return p.Status(r.Context()) }))
	mux.HandleFunc("GET /leases", answer(func(r *http.Request) (any, error) { return p.Leases(r.Context()) }))
	mux.HandleFunc("POST /scrub", answer(func(r *http.Request) (any, error) { return p.Scrub(r.Context()) }))
	mux.HandleFunc("POST /wipe", answer(func(r *http.Request) (any, error) { return struct{}{}, p.Wipe(r.Context()) }))
	mux.HandleFunc("POST /grant", answer(func(r *http.Request) (any, error) {
		var a Ask
		if err := json.NewDecoder(io.LimitReader(r.Body, 16<<10)).Decode(&a); err != nil {
			return nil, fmt.Errorf("grant: %w", err)
		}
		return p.Grant(r.Context(), a)
	}))
	return mux
}

type adminError struct {
	Error string `json:"error"`
}

func answer(fn func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := fn(r)
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			v = adminError{err.Error()}
		}
		if err := json.NewEncoder(w).Encode(v); err != nil {
			return // the command went away
		}
	}
}

// Client asks a running provider.
type Client struct{ http *http.Client }

var _ Operator = (*Client)(nil)

// Connect reaches the process that serves a HOME. ErrNotRunning when there is none.
func Connect(ctx context.Context, home Home) (*Client, error) {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		path, release, err := socketAddress(home.Dir)
		if err != nil {
			return nil, err
		}
		defer release()
		return (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, "unix", path)
	}
	c, err := dial(ctx, "", "")
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) || isRefused(err) {
		return nil, ErrNotRunning
	}
	if err != nil {
		return nil, fmt.Errorf("reach the running provider: %w", err)
	}
	if err := c.Close(); err != nil {
		return nil, fmt.Errorf("reach the running provider: %w", err)
	}
	return &Client{&http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}, nil
}

// isRefused tells a refused connection where the system has its own error for it.
func isRefused(err error) bool {
	return err != nil && strings.Contains(err.Error(), "actively refused") // Windows: WSAECONNREFUSED has no portable name
}

func ask[T any](ctx context.Context, c *Client, method, path string, in any) (T, error) {
	var out T
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return out, err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://provider"+path, body)
	if err != nil {
		return out, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return out, fmt.Errorf("ask the running provider: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // read only
	dec := json.NewDecoder(resp.Body)
	if resp.StatusCode != http.StatusOK {
		var e adminError
		if err := dec.Decode(&e); err != nil || e.Error == "" {
			return out, fmt.Errorf("the running provider answered %s", resp.Status)
		}
		return out, errors.New(e.Error)
	}
	if err := dec.Decode(&out); err != nil {
		return out, fmt.Errorf("read the running provider's answer: %w", err)
	}
	return out, nil
}

// Status implements Operator.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return ask[Status](ctx, c, http.MethodGet, "/status", nil)
}

// Leases implements Operator.
func (c *Client) Leases(ctx context.Context) ([]Lease, error) {
	return ask[[]Lease](ctx, c, http.MethodGet, "/leases", nil)
}

// Grant implements Operator.
func (c *Client) Grant(ctx context.Context, a Ask) (Granted, error) {
	return ask[Granted](ctx, c, http.MethodPost, "/grant", a)
}

// Scrub implements Operator.
func (c *Client) Scrub(ctx context.Context) (Scrubbed, error) {
	return ask[Scrubbed](ctx, c, http.MethodPost, "/scrub", nil)
}

// Wipe implements Operator.
func (c *Client) Wipe(ctx context.Context) error {
	_, err := ask[struct{}](ctx, c, http.MethodPost, "/wipe", nil)
	return err
}

// Operate runs fn on the running provider of a HOME, or, when none runs, on the HOME itself.
func Operate(ctx context.Context, home Home, env Env, fn func(Operator) error) (err error) {
	c, err := Connect(ctx, home)
	if err == nil {
		return fn(c)
	}
	if !errors.Is(err, ErrNotRunning) {
		return err
	}
	p, err := Open(home, env)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	return fn(p)
}
