package drive

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"
)

// Client speaks to the local API of a drive: over the Unix socket of the process that works in the HOME.
// It is safe for concurrent use.
type Client struct{ http *http.Client }

// Dial connects to the process that works in home. ErrNotRunning when there is none.
func Dial(home Home) (*Client, error) {
	socket := home.Socket()
	conn, err := dialSocket(context.Background(), socket)
	if err != nil {
		return nil, fmt.Errorf("the drive of %s is %w", home.Dir, ErrNotRunning)
	}
	conn.Close()
	return dialed(socket), nil
}

// DialNetwork connects to the process that runs the local network of home. ErrNotRunning when there is none.
func DialNetwork(home Home) (*Client, error) {
	socket := home.networkSocket()
	conn, err := dialSocket(context.Background(), socket)
	if err != nil {
		return nil, fmt.Errorf("the local network of %s is %w", home.Dir, ErrNotRunning)
	}
	conn.Close()
	return dialed(socket), nil
}

func dialed(socket string) *Client {
	return &Client{&http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialSocket(ctx, socket)
	}}}}
}

func dialSocket(ctx context.Context, socket string) (conn net.Conn, err error) {
	err = withShortPath(socket, func(short string) (err error) {
		d := net.Dialer{Timeout: 5 * time.Second}
		conn, err = d.DialContext(ctx, "unix", short)
		return err
	})
	return conn, err
}

// ClientOf speaks to a drive of this process.
func ClientOf(d *Drive) *Client { return &Client{&http.Client{Transport: inProcess{d.Handler()}}} }

// inProcess hands requests to a handler without a socket; the body streams.
type inProcess struct{ handler http.Handler }

func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	pr, pw := io.Pipe()
	w := &pipeWriter{header: http.Header{}, body: pw, started: make(chan struct{})}
	go func() {
		defer func() {
			// A handler that gives up in the middle breaks the answer off.
			if v := recover(); v != nil {
				w.WriteHeader(http.StatusInternalServerError)
				pw.CloseWithError(io.ErrUnexpectedEOF)
			}
		}()
		p.handler.ServeHTTP(w, r)
		w.WriteHeader(http.StatusOK)
		pw.Close()
	}()
	<-w.started
	return &http.Response{StatusCode: w.status, Header: w.header, Body: pr, Request: r, ProtoMajor: 1, ProtoMinor: 1}, nil
}

type pipeWriter struct {
	header  http.Header
	status  int
	body    *io.PipeWriter
	started chan struct{}
}

func (w *pipeWriter) Header() http.Header { return w.header }

func (w *pipeWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
		close(w.started)
	}
}

func (w *pipeWriter) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(p)
}

// maxAnswer bounds an answer that is held in memory: a listing of packs or revisions.
const maxAnswer = 1 << 30

// call sends in (nil: nothing) and decodes the answer into out (nil: nothing).
func (c *Client) call(ctx context.Context, method, path string, query url.Values, in, out any) error {
	body, err := c.stream(ctx, method, path, query, in)
	if err != nil {
		return err
	}
	defer body.Close()
	if out == nil {
		_, err = io.Copy(io.Discard, body)
		return err
	}
	if err := json.NewDecoder(io.LimitReader(body, maxAnswer)).Decode(out); err != nil {
		return fmt.Errorf("read the drive's answer: %w", err)
	}
	return nil
}

func (c *Client) stream(ctx context.Context, method, path string, query url.Values, in any) (io.ReadCloser, error) {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("ask the drive: %w", err)
		}
		body = bytes.NewReader(b)
	}
	u := "http://drive/v1/" + path
	if len(query) > 0 {
		u += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, u, body)
	if err != nil {
		return nil, fmt.Errorf("ask the drive: %w", err)
	}
	res, err := c.http.Do(req)
	if err != nil {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return nil, fmt.Errorf("the drive's answer %w", ErrTimeout)
		}
		return nil, fmt.Errorf("ask the drive: %w", err)
	}
	if res.StatusCode == http.StatusOK {
		return res.Body, nil
	}
	defer res.Body.Close()
	var we wireError
	if err := json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&we); err != nil {
		return nil, fmt.Errorf("the drive answers %s", res.Status)
	}
	return nil, &remoteError{we.Message, codes[we.Code]}
}

// Status asks how the drive is.
func (c *Client) Status(ctx context.Context) (*Status, error) {
	var s Status
	return &s, c.call(ctx, "GET", "status", nil, nil, &s)
}

// Sync returns when all that was written before is stored; ErrTimeout after timeout (0: never).
func (c *Client) Sync(ctx context.Context, timeout time.Duration) error {
	q := url.Values{"timeout": {timeout.String()}}
	return c.call(ctx, "POST", "sync", q, nil, nil)
}

// Unmount ends the mount and with it the daemon; it returns when both are gone from the mountpoint.
func (c *Client) Unmount(ctx context.Context) error {
	return c.call(ctx, "POST", "unmount", nil, nil, nil)
}

// History lists the revisions of a path, newest first.
func (c *Client) History(ctx context.Context, path string) ([]Revision, error) {
	revs := []Revision{}
	return revs, c.call(ctx, "GET", "history", url.Values{"path": {path}}, nil, &revs)
}

// Revert brings path back as it was at a revision or time.
func (c *Client) Revert(ctx context.Context, path, to string) error {
	return c.call(ctx, "POST", "revert", url.Values{"path": {path}, "to": {to}}, nil, nil)
}

// Cat streams an old revision of a file.
func (c *Client) Cat(ctx context.Context, path, at string, w io.Writer) error {
	body, err := c.stream(ctx, "GET", "cat", url.Values{"path": {path}, "at": {at}}, nil)
	if err != nil {
		return err
	}
	defer body.Close()
	_, err = io.Copy(w, body)
	return err
}

// Evict drops cached copies; path "" means all.
func (c *Client) Evict(ctx context.Context, path string) (e Evicted, err error) {
	err = c.call(ctx, "POST", "evict", url.Values{"path": {path}}, nil, &e)
	return e, err
}

// Prune applies retention rules ("" means the drive's own).
func (c *Client) Prune(ctx context.Context, keep string, dryRun bool) (p Pruned, err error) {
	err = c.call(ctx, "POST", "prune", url.Values{"keep": {keep}, "dry_run": {strconv.FormatBool(dryRun)}}, nil, &p)
	return p, err
}

// Doctor checks local state, leases and shards.
func (c *Client) Doctor(ctx context.Context, readData bool) (f []Finding, err error) {
	err = c.call(ctx, "POST", "doctor", url.Values{"read_data": {strconv.FormatBool(readData)}}, nil, &f)
	return f, err
}

// Packs lists the packs.
func (c *Client) Packs(ctx context.Context) ([]PackStatus, error) {
	packs := []PackStatus{}
	return packs, c.call(ctx, "GET", "packs", nil, nil, &packs)
}

// ExportPack writes a pack and its shards into dir (absolute) and names the files.
func (c *Client) ExportPack(ctx context.Context, pack, dir string) (files []string, err error) {
	err = c.call(ctx, "POST", "packs/"+url.PathEscape(pack)+"/export", url.Values{"dir": {dir}}, nil, &files)
	return files, err
}

// Leases lists the leases.
func (c *Client) Leases(ctx context.Context) ([]LeaseStatus, error) {
	leases := []LeaseStatus{}
	return leases, c.call(ctx, "GET", "leases", nil, nil, &leases)
}

// AddLease takes a lease code.
func (c *Client) AddLease(ctx context.Context, code string) (l LeaseStatus, err error) {
	err = c.call(ctx, "POST", "leases", url.Values{"code": {code}}, nil, &l)
	return l, err
}

// LocalProvider tells a running local network to stop, start or wipe provider n (from 1).
func (c *Client) LocalProvider(ctx context.Context, op string, n int) error {
	return c.call(ctx, "POST", "local/provider", url.Values{"op": {op}, "n": {strconv.Itoa(n)}}, nil, nil)
}

// socketGone tells whether nothing answers at the socket any more.
func socketGone(home Home) bool {
	_, err := os.Lstat(home.Socket())
	return errors.Is(err, os.ErrNotExist)
}
