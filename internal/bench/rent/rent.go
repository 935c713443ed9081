// Package rent measures a whole ccprovider over HTTP with a granted lease, beside the bare file server of package pipeline.
package rent

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cloudcoin/cloudcoin/crypto/merkle"
	"github.com/cloudcoin/cloudcoin/drive/lease"
	"github.com/cloudcoin/cloudcoin/internal/bench/table"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

const (
	shardLen  = 4 << 20
	shards    = 64 // of each run
	puts      = 8  // in flight
	gets      = 4
	rangeLen  = 4096
	rangeTime = 2 * time.Second
)

// Names of the subjects.
const (
	Bare = "bare handler"
	Ours = "ccprovider"
)

// Options of Run.
type Options struct {
	Bare  string // URL of a bare server
	Lease *lease.Client
	Runs  int
	Log   func(format string, a ...any)
}

// subject is a server that keeps shards.
type subject struct {
	name string
	put  func(ctx context.Context, i int) error
	get  func(ctx context.Context, i int, off int64, p []byte) error
}

type runner struct {
	opt    Options
	client *http.Client
	bodies [][]byte
	ids    []model.ShardID
}

// Run measures all rows; the subjects take turns.
func Run(ctx context.Context, opt Options) ([]*table.Row, error) {
	r := &runner{opt: opt, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: puts, WriteBufferSize: 256 << 10, ReadBufferSize: 256 << 10}}}
	rows := []*table.Row{
		{Name: "durable PUT of 4 MiB, 8 in flight", Unit: table.MBps, Target: 0.8},
		{Name: "GET of 4 MiB, 4 in flight", Unit: table.MBps, Target: 0.8},
		{Name: "GET of a range of 4 KiB, 4 in flight", Unit: table.IOPS, Target: 0.7},
	}
	measures := []func(context.Context, subject) (float64, error){r.puts, r.gets, r.ranges}
	for run := range opt.Runs {
		if err := r.fresh(run); err != nil {
			return nil, err
		}
		for i, row := range rows {
			for _, s := range []subject{{Bare, r.barePut, r.bareGet}, {Ours, r.leasePut, r.leaseGet}} {
				v, err := measures[i](ctx, s)
				if err != nil {
					return nil, fmt.Errorf("%s on %s: %w", row.Name, s.name, err)
				}
				row.Add(s.name, v)
				opt.Log("run %d: %s on %s: %.0f %s", run+1, row.Name, s.name, v, row.Unit.Name)
			}
		}
	}
	return rows, nil
}

// fresh makes shards that no server has yet.
func (r *runner) fresh(run int) error {
	if r.bodies == nil {
		r.ids = make([]model.ShardID, shards)
		for range shards {
			b := make([]byte, shardLen)
			if _, err := rand.Read(b); err != nil {
				return err
			}
			r.bodies = append(r.bodies, b)
		}
	}
	for i, b := range r.bodies {
		binary.BigEndian.PutUint64(b, uint64(run))
		r.ids[i] = merkle.Root(b)
	}
	return nil
}

func each(ctx context.Context, inFlight int, fn func(ctx context.Context, i int) error) (float64, error) {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(inFlight)
	start := time.Now()
	for i := range shards {
		g.Go(func() error { return fn(ctx, i) })
	}
	err := g.Wait()
	return shards * shardLen / 1e6 / time.Since(start).Seconds(), err
}

func (r *runner) puts(ctx context.Context, s subject) (float64, error) {
	return each(ctx, puts, s.put)
}

func (r *runner) gets(ctx context.Context, s subject) (float64, error) {
	free := make(chan []byte, gets)
	for range gets {
		free <- make([]byte, shardLen)
	}
	return each(ctx, gets, func(ctx context.Context, i int) error {
		p := <-free
		defer func() { free <- p }()
		return s.get(ctx, i, 0, p)
	})
}

func (r *runner) ranges(ctx context.Context, s subject) (float64, error) {
	g, ctx := errgroup.WithContext(ctx)
	var n atomic.Int64
	start := time.Now()
	for range gets {
		g.Go(func() error {
			p := make([]byte, rangeLen)
			for time.Since(start) < rangeTime {
				off := mrand.Int64N(shardLen/rangeLen) * rangeLen
				if err := s.get(ctx, mrand.IntN(shards), off, p); err != nil {
					return err
				}
				n.Add(1)
			}
			return nil
		})
	}
	err := g.Wait()
	return float64(n.Load()) / time.Since(start).Seconds(), err
}

func (r *runner) leasePut(ctx context.Context, i int) error {
	return r.opt.Lease.Put(ctx, r.ids[i], r.bodies[i])
}

func (r *runner) leaseGet(ctx context.Context, i int, off int64, p []byte) error {
	return r.opt.Lease.Get(ctx, r.ids[i], off, p, shardLen, false)
}

func (r *runner) barePut(ctx context.Context, i int) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, r.url(i), bytes.NewReader(r.bodies[i]))
	if err != nil {
		return err
	}
	return r.do(req, http.StatusOK, nil)
}

func (r *runner) bareGet(ctx context.Context, i int, off int64, p []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url(i), nil)
	if err != nil {
		return err
	}
	req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", off, off+int64(len(p))-1))
	return r.do(req, http.StatusPartialContent, p)
}

func (r *runner) url(i int) string { return r.opt.Bare + "/" + r.ids[i].String() }

func (r *runner) do(req *http.Request, want int, p []byte) error {
	res, err := r.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != want {
		return fmt.Errorf("%s: %s", req.Method, res.Status)
	}
	if _, err := io.ReadFull(res.Body, p); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, res.Body)
	return err
}
