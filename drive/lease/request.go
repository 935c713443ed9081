package lease

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	maxJSON       = 512 << 10       // bytes of any JSON answer
	longestPause  = 5 * time.Second // that a provider may ask for by Retry-After
	pausesAtMost  = 3
	defaultPause  = 500 * time.Millisecond
	drainAtMost   = 64 << 10
	jsonMediaType = "application/json"
)

// json asks a small question without a token. The time is the answer's Date.
func (h *host) json(ctx context.Context, method, path string, ask, answer any) (time.Time, error) {
	req, err := newJSON(ctx, method, h.url+path, ask)
	if err != nil {
		return time.Time{}, err
	}
	resp, err := h.control.Do(req)
	if err != nil {
		return time.Time{}, err
	}
	defer discard(resp)
	if resp.StatusCode != http.StatusOK {
		return time.Time{}, readProblem(resp)
	}
	date, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		date = time.Time{}
	}
	return date, readJSON(resp, answer)
}

func newJSON(ctx context.Context, method, url string, ask any) (*http.Request, error) {
	var body io.Reader
	if ask != nil {
		b, err := json.Marshal(ask)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err == nil && ask != nil {
		req.Header.Set("Content-Type", jsonMediaType)
	}
	return req, err
}

// readJSON reads a bounded answer.
func readJSON(resp *http.Response, answer any) error {
	b, err := readBounded(resp, maxJSON)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, answer); err != nil {
		return fmt.Errorf("read the provider's answer: %w", err)
	}
	return nil
}

// readBounded reads a whole body of at most limit bytes.
func readBounded(resp *http.Response, limit int64) ([]byte, error) {
	if resp.ContentLength > limit {
		return nil, fmt.Errorf("the provider's answer has %d bytes, at most %d are read", resp.ContentLength, limit)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read the provider's answer: %w", err)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("the provider's answer has more than %d bytes", limit)
	}
	return b, nil
}

// discard ends an answer so that its connection can be used again, if little is left of it.
func discard(resp *http.Response) {
	// Both errors only mean that the connection can't be used again.
	_, _ = io.CopyN(io.Discard, resp.Body, drainAtMost)
	_ = resp.Body.Close()
}

// call asks a small question about the lease. answer may be nil.
func (c *Client) call(ctx context.Context, method, path string, ask, answer any) error {
	return c.do(ctx, c.host.control,
		func() (*http.Request, error) { return newJSON(ctx, method, c.base+path, ask) },
		func(resp *http.Response) error {
			if answer == nil {
				return nil
			}
			return readJSON(resp, answer)
		})
}

// do sends a request with a token and hands a good answer to read. A refused token is renewed once; a pause that the provider asks
// for is made, if it is short. Everything else is the caller's (the pool's) to try again.
func (c *Client) do(ctx context.Context, via *http.Client, build func() (*http.Request, error), read func(*http.Response) error) error {
	refused := ""
	for pauses := 0; ; {
		token, err := c.auth.get(ctx, refused)
		if err != nil {
			return err
		}
		err = c.once(via, token, build, read)
		var p *Problem
		switch {
		case !errors.As(err, &p):
			return err
		case p.Status == http.StatusUnauthorized && refused == "":
			refused = token
		case p.Status == http.StatusTooManyRequests && pauses < pausesAtMost && p.retryAfter <= longestPause:
			pauses++
			if err := pause(ctx, max(p.retryAfter, defaultPause)); err != nil {
				return err
			}
		default:
			return err
		}
	}
}

func (c *Client) once(via *http.Client, token string, build func() (*http.Request, error), read func(*http.Response) error) error {
	req, err := build()
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := via.Do(req)
	if err != nil {
		return err
	}
	defer discard(resp)
	if resp.StatusCode >= 300 {
		return readProblem(resp)
	}
	return read(resp)
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
