package pipeline

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"

	"filippo.io/age"
	chunkers "github.com/PlakarKorp/go-cdc-chunkers"
	_ "github.com/PlakarKorp/go-cdc-chunkers/chunkers/fastcdc" // registers the chunker
	"github.com/klauspost/reedsolomon"
	"github.com/zeebo/blake3"
	"golang.org/x/sync/errgroup"
)

const (
	dataShards   = 4
	parityShards = 2
	packSize     = 16 << 20
	inFlight     = 2 // packs
)

// Limit holds what upload and download share.
type Limit struct {
	URLs   []string // of six servers
	client *http.Client
	id     *age.X25519Identity
	packs  []*packed
}

type packed struct {
	name  string
	size  int // of the age file
	shard int
}

// New makes a limit over six servers.
func New(urls []string) (*Limit, error) {
	if len(urls) != dataShards+parityShards {
		return nil, fmt.Errorf("%d servers, want %d", len(urls), dataShards+parityShards)
	}
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, err
	}
	t := &http.Transport{MaxIdleConnsPerHost: 8, WriteBufferSize: 256 << 10, ReadBufferSize: 256 << 10}
	return &Limit{URLs: urls, client: &http.Client{Transport: t}, id: id}, nil
}

// Upload cuts, hashes, seals, codes and puts everything that r gives.
func (l *Limit) Upload(ctx context.Context, r io.Reader) error {
	l.packs = nil
	opts := &chunkers.ChunkerOpts{MinSize: 256 << 10, NormalSize: 1 << 20, MaxSize: 4 << 20, Key: make([]byte, 32)}
	c, err := chunkers.NewChunker("fastcdc-v1.0.0", r, opts)
	if err != nil {
		return err
	}
	hash, err := blake3.NewKeyed(make([]byte, 32))
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(inFlight)
	pack := make([]byte, 0, packSize)
	flush := func() {
		full := pack
		pack = make([]byte, 0, packSize)
		p := &packed{name: fmt.Sprintf("pack-%d", len(l.packs))}
		l.packs = append(l.packs, p)
		g.Go(func() (err error) {
			p.size, p.shard, err = l.put(ctx, p.name, full)
			return err
		})
	}
	for {
		chunk, err := c.Next()
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		hash.Reset()
		_, _ = hash.Write(chunk)
		hash.Sum(nil)
		if len(pack)+len(chunk) > packSize {
			flush()
		}
		pack = append(pack, chunk...)
		if errors.Is(err, io.EOF) {
			break
		}
	}
	flush()
	return g.Wait()
}

func (l *Limit) put(ctx context.Context, name string, plain []byte) (size, shard int, err error) {
	var sealed bytes.Buffer
	sealed.Grow(len(plain) + len(plain)/1024 + 1024)
	w, err := age.Encrypt(&sealed, l.id.Recipient())
	if err != nil {
		return 0, 0, err
	}
	if _, err := w.Write(plain); err != nil {
		return 0, 0, err
	}
	if err := w.Close(); err != nil {
		return 0, 0, err
	}
	size = sealed.Len()
	enc, err := reedsolomon.New(dataShards, parityShards)
	if err != nil {
		return 0, 0, err
	}
	shards, err := enc.Split(sealed.Bytes())
	if err != nil {
		return 0, 0, err
	}
	if err := enc.Encode(shards); err != nil {
		return 0, 0, err
	}
	g, ctx := errgroup.WithContext(ctx)
	for i, s := range shards {
		g.Go(func() error {
			sha256.Sum256(s)
			req, err := http.NewRequestWithContext(ctx, http.MethodPut, l.URLs[i]+"/"+name, bytes.NewReader(s))
			if err != nil {
				return err
			}
			return l.do(req, io.Discard)
		})
	}
	return size, len(shards[0]), g.Wait()
}

func (l *Limit) do(req *http.Request, w io.Writer) error {
	res, err := l.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s", req.Method, req.URL.Path, res.Status)
	}
	_, err = io.Copy(w, res.Body)
	return err
}

// Download gets, rebuilds where a server is gone, and opens everything that Upload put.
func (l *Limit) Download(ctx context.Context, gone int, w io.Writer) error {
	type opened struct{ plain chan []byte }
	g, ctx := errgroup.WithContext(ctx)
	queue := make(chan opened, inFlight)
	g.Go(func() error {
		defer close(queue)
		for _, p := range l.packs {
			o := opened{make(chan []byte, 1)}
			select {
			case queue <- o:
			case <-ctx.Done():
				return ctx.Err()
			}
			g.Go(func() error {
				b, err := l.get(ctx, p, gone)
				o.plain <- b
				return err
			})
		}
		return nil
	})
	for o := range queue {
		if _, err := w.Write(<-o.plain); err != nil {
			return err
		}
	}
	return g.Wait()
}

func (l *Limit) get(ctx context.Context, p *packed, gone int) ([]byte, error) {
	shards := make([][]byte, dataShards+parityShards)
	g, gctx := errgroup.WithContext(ctx)
	for i := gone; i < gone+dataShards; i++ {
		g.Go(func() error {
			req, err := http.NewRequestWithContext(gctx, http.MethodGet, l.URLs[i]+"/"+p.name, nil)
			if err != nil {
				return err
			}
			b := bytes.NewBuffer(make([]byte, 0, p.shard))
			err = l.do(req, b)
			shards[i] = b.Bytes()
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	if gone > 0 {
		enc, err := reedsolomon.New(dataShards, parityShards)
		if err != nil {
			return nil, err
		}
		if err := enc.ReconstructData(shards); err != nil {
			return nil, err
		}
	}
	sealed := make([]byte, 0, dataShards*p.shard)
	for _, s := range shards[:dataShards] {
		sealed = append(sealed, s...)
	}
	r, err := age.Decrypt(bytes.NewReader(sealed[:p.size]), l.id)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// Random is n bytes that can't be compressed, as a stream.
func Random(n int64) io.Reader { return io.LimitReader(rand.Reader, n) }
