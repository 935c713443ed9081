package lease

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/cloudcoin/cloudcoin/crypto/merkle"
	"github.com/cloudcoin/cloudcoin/crypto/token"
	"github.com/cloudcoin/cloudcoin/sync/model"
	"github.com/cloudcoin/cloudcoin/sync/transfer"
)

const (
	batch       = 1000     // ids in one request
	maxProof    = 8 << 10  // bytes: more than any tree of 2^64 leaves needs
	maxProved   = 16 << 20 // bytes of one range with a proof
	minCharge   = 4096     // shards are charged in multiples of it
	uploadSlice = 64 << 10 // granularity of the upload limit
)

func (c *Client) shardURL(id model.ShardID) string { return c.base + "/shards/" + id.String() }

// Put implements transfer.Shards.
func (c *Client) Put(ctx context.Context, id model.ShardID, body []byte) error {
	c.mu.Lock()
	cautious := c.cautious
	c.mu.Unlock()
	fresh := false
	err := c.do(ctx, c.host.bulk, func() (*http.Request, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPut, c.shardURL(id), c.host.uploading(ctx, body))
		if err != nil {
			return nil, err
		}
		req.ContentLength = int64(len(body))
		req.GetBody = func() (io.ReadCloser, error) { return c.host.uploading(ctx, body), nil }
		req.Header.Set("Content-Type", "application/octet-stream")
		if cautious {
			req.Header.Set("Expect", "100-continue")
		}
		return req, nil
	}, func(resp *http.Response) error {
		fresh = resp.StatusCode == http.StatusCreated
		return c.checkReceipt(resp, id, int64(len(body)))
	})
	c.afterPut(err, fresh, int64(len(body)))
	if err != nil {
		return c.wrap("put shard "+id.String(), err)
	}
	return nil
}

// afterPut counts what was added. When a provider refuses early, the refusal can get lost with the connection: after an error without
// an answer the next PUT asks first.
func (c *Client) afterPut(err error, fresh bool, n int64) {
	var p *Problem
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cautious = err != nil && !errors.As(err, &p)
	if err == nil && fresh {
		c.used += (n + minCharge - 1) / minCharge * minCharge
	}
}

func (c *Client) checkReceipt(resp *http.Response, id model.ShardID, n int64) error {
	b, err := readBounded(resp, token.MaxLen)
	if err != nil {
		return err
	}
	r, err := token.VerifyReceipt(string(b), c.cfg.Provider, c.cfg.Network)
	if err != nil {
		return fmt.Errorf("receipt: %w: %w", transfer.ErrDamaged, err)
	}
	if r.Lease != c.cfg.Lease || r.Shard != id || r.Size != n {
		return fmt.Errorf("receipt is for %d bytes of shard %x: %w", r.Size, r.Shard, transfer.ErrDamaged)
	}
	return nil
}

// Get implements transfer.Shards.
func (c *Client) Get(ctx context.Context, id model.ShardID, off int64, p []byte, size int64, verify bool) error {
	n := int64(len(p))
	if n == 0 || off < 0 || off > size-n {
		return fmt.Errorf("get shard %s: bytes %d to %d of %d", id, off, off+n, size)
	}
	var err error
	switch {
	case !verify:
		err = c.getPlain(ctx, id, off, p, size)
	case n == size:
		if err = c.getPlain(ctx, id, off, p, size); err == nil && merkle.Root(p) != id {
			err = transfer.ErrDamaged
		}
	default:
		err = c.getProved(ctx, id, off, p, size)
	}
	if err != nil {
		return c.wrap("get shard "+id.String(), err)
	}
	return nil
}

func (c *Client) getPlain(ctx context.Context, id model.ShardID, off int64, p []byte, size int64) error {
	whole := int64(len(p)) == size
	return c.do(ctx, c.host.bulk, func() (*http.Request, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.shardURL(id), nil)
		if err == nil && !whole {
			req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", off, off+int64(len(p))-1))
		}
		return req, err
	}, func(resp *http.Response) error {
		if err := checkRange(resp, off, int64(len(p)), size, int64(len(p))); err != nil {
			return err
		}
		_, err := io.ReadFull(resp.Body, p)
		return err
	})
}

// checkRange compares the headers of an answer with what was asked; body is how long it has to be (-1: any).
func checkRange(resp *http.Response, off, n, size, body int64) error {
	if resp.StatusCode == http.StatusPartialContent {
		want := fmt.Sprintf("bytes %d-%d/%d", off, off+n-1, size)
		if got := resp.Header.Get("Content-Range"); got != want {
			return fmt.Errorf("it sent the range %q, asked was %q: %w", printable(got), want, transfer.ErrDamaged)
		}
	} else if n != size {
		return fmt.Errorf("it answered %d to a range: %w", resp.StatusCode, transfer.ErrDamaged)
	}
	if body >= 0 && resp.ContentLength != body {
		return fmt.Errorf("it sends %d bytes of %d: %w", resp.ContentLength, body, transfer.ErrDamaged)
	}
	return nil
}

// getProved gets a range of any length with proofs.
func (c *Client) getProved(ctx context.Context, id model.ShardID, off int64, p []byte, size int64) error {
	for len(p) > 0 {
		n := min(int64(len(p)), maxProved-off%merkle.LeafSize)
		if err := c.getOneProved(ctx, id, off, p[:n], size); err != nil {
			return err
		}
		off, p = off+n, p[n:]
	}
	return nil
}

func (c *Client) getOneProved(ctx context.Context, id model.ShardID, off int64, p []byte, size int64) error {
	a := off / merkle.LeafSize * merkle.LeafSize
	b := min((off+int64(len(p))+merkle.LeafSize-1)/merkle.LeafSize*merkle.LeafSize, size)
	buf := p
	if b-a != int64(len(p)) {
		buf = make([]byte, b-a)
	}
	err := c.do(ctx, c.host.bulk, func() (*http.Request, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.shardURL(id)+"?proof=1", nil)
		if err == nil {
			req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", a, b-1))
		}
		return req, err
	}, func(resp *http.Response) error {
		if resp.StatusCode != http.StatusPartialContent {
			return fmt.Errorf("it answered %d to a proof: %w", resp.StatusCode, transfer.ErrDamaged)
		}
		if err := checkRange(resp, a, b-a, size, -1); err != nil {
			return err
		}
		proof, err := readProof(resp, b-a)
		if err != nil {
			return err
		}
		if _, err := io.ReadFull(resp.Body, buf); err != nil {
			return err
		}
		if err := merkle.VerifyRange(id, size, a, buf, proof); err != nil {
			return fmt.Errorf("%w: %w", transfer.ErrDamaged, err)
		}
		return nil
	})
	if err == nil && b-a != int64(len(p)) {
		copy(p, buf[off-a:])
	}
	return err
}

// readProof reads the proof in front of n bytes.
func readProof(resp *http.Response, n int64) ([]merkle.Hash, error) {
	var head [4]byte
	if _, err := io.ReadFull(resp.Body, head[:]); err != nil {
		return nil, err
	}
	length := int64(binary.BigEndian.Uint32(head[:]))
	if length > maxProof || resp.ContentLength != 4+length+n {
		return nil, fmt.Errorf("a proof of %d bytes in an answer of %d: %w", length, resp.ContentLength, transfer.ErrDamaged)
	}
	raw := make([]byte, length)
	if _, err := io.ReadFull(resp.Body, raw); err != nil {
		return nil, err
	}
	proof, err := merkle.ParseProof(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", transfer.ErrDamaged, err)
	}
	return proof, nil
}

type idList struct {
	IDs []string `json:"ids"`
}

func hexIDs(ids []model.ShardID) idList {
	l := idList{IDs: make([]string, len(ids))}
	for i, id := range ids {
		l.IDs[i] = hex.EncodeToString(id[:])
	}
	return l
}

// Has implements transfer.Shards.
func (c *Client) Has(ctx context.Context, ids []model.ShardID) ([]bool, error) {
	out := make([]bool, 0, len(ids))
	for len(ids) > 0 {
		n := min(len(ids), batch)
		var a struct {
			Has []bool `json:"has"`
		}
		if err := c.call(ctx, http.MethodPost, "/shards:has", hexIDs(ids[:n]), &a); err != nil {
			return nil, c.wrap("ask for shards", err)
		}
		if len(a.Has) != n {
			return nil, c.wrap("ask for shards", fmt.Errorf("%d answers to %d questions: %w", len(a.Has), n, transfer.ErrDamaged))
		}
		out, ids = append(out, a.Has...), ids[n:]
	}
	return out, nil
}

// Delete implements transfer.Shards.
func (c *Client) Delete(ctx context.Context, ids []model.ShardID) error {
	for len(ids) > 0 {
		n := min(len(ids), batch)
		if err := c.call(ctx, http.MethodPost, "/shards:delete", hexIDs(ids[:n]), nil); err != nil {
			return c.wrap("delete shards", err)
		}
		ids = ids[n:]
	}
	return nil
}

// List implements transfer.Shards. The answer is checked to go upwards, so that going through all pages ends.
func (c *Client) List(ctx context.Context, after model.ShardID) ([]model.ShardID, error) {
	path := fmt.Sprintf("/shards?limit=%d", batch)
	if after != (model.ShardID{}) {
		path += "&after=" + after.String()
	}
	var a struct {
		Shards []struct {
			ID string `json:"id"`
		} `json:"shards"`
	}
	if err := c.call(ctx, http.MethodGet, path, nil, &a); err != nil {
		return nil, c.wrap("list shards", err)
	}
	if len(a.Shards) > batch {
		return nil, c.wrap("list shards", fmt.Errorf("%d in one page: %w", len(a.Shards), transfer.ErrDamaged))
	}
	out := make([]model.ShardID, len(a.Shards))
	for i, s := range a.Shards {
		id, err := model.ParseShardID(s.ID)
		if err != nil {
			return nil, c.wrap("list shards", fmt.Errorf("%w: %w", transfer.ErrDamaged, err))
		}
		if bytes.Compare(id[:], after[:]) <= 0 {
			return nil, c.wrap("list shards", fmt.Errorf("%w: they don't come in order", transfer.ErrDamaged))
		}
		out[i], after = id, id
	}
	return out, nil
}
