package fetch

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudcoin/cloudcoin/crypto/leasecode"
	"github.com/cloudcoin/cloudcoin/drive/lease"
	"github.com/cloudcoin/cloudcoin/internal/localnet"
	"github.com/cloudcoin/cloudcoin/sync/model"
	"github.com/cloudcoin/cloudcoin/sync/transfer"
)

// BenchmarkColdRead reads a file of 256 MiB in order, in pieces of 1 MiB, through six real providers; then with two of them stopped.
func BenchmarkColdRead(b *testing.B) {
	bin := filepath.Join(b.TempDir(), "ccprovider")
	check(b, exec.Command("go", "build", "-o", bin, "github.com/cloudcoin/cloudcoin/cmd/ccprovider").Run())
	network, err := localnet.Open(b.TempDir(), localnet.Options{Binary: bin})
	check(b, err)
	check(b, network.Start(context.Background(), 6))
	defer func() { check(b, network.Close()) }()

	w := newWorld(b)
	var all []transfer.Shards
	for i := range 6 {
		public, key, err := ed25519.GenerateKey(rand.Reader)
		check(b, err)
		code, err := network.Grant(context.Background(), i+1, leasecode.FormatKey(public), 8<<30, time.Now().Add(48*time.Hour))
		check(b, err)
		l, err := leasecode.Parse(code)
		check(b, err)
		c, err := lease.New(lease.Config{URL: l.URL, Provider: l.Provider, Lease: model.LeaseID(l.ID), Key: key, Network: l.Network, Size: l.Size})
		check(b, err)
		defer c.Close()
		all = append(all, &meter{Shards: c, bytes: &w.bytes, requests: &w.requests})
	}
	w.pool.SetLeases(all)
	const size = 256 << 20
	w.rename = func(i int) model.LeaseID { return all[i].Info().ID }
	w.add(1, 0, random(1, size), 1<<20)
	w.flush()

	read := func(b *testing.B) {
		b.SetBytes(size)
		p := make([]byte, 1<<20)
		for b.Loop() {
			r := w.reader(Options{})
			base := r.Base(1, 5)
			for off := int64(0); off < size; off += int64(len(p)) {
				check(b, base.ReadAt(context.Background(), p, off))
			}
			b.ReportMetric(float64(w.bytes.Load())/size, "fetched/read")
		}
	}
	b.Run("all", read)
	b.Run("random4KiB", func(b *testing.B) {
		p := make([]byte, 4096)
		r := w.reader(Options{})
		at := int64(1)
		for b.Loop() {
			at = at * 6364136223846793005 & (1<<62 - 1)
			check(b, r.Base(1, 5).ReadAt(context.Background(), p, at%(size-4096)))
		}
	})
	check(b, network.Stop(context.Background(), 2))
	check(b, network.Stop(context.Background(), 5))
	b.Run("twoGone", read)
}

// meter counts what is asked of a lease.
type meter struct {
	transfer.Shards
	bytes, requests *atomic.Int64
}

func (m *meter) Get(ctx context.Context, id model.ShardID, off int64, p []byte, size int64, verify bool) error {
	m.requests.Add(1)
	m.bytes.Add(int64(len(p)))
	return m.Shards.Get(ctx, id, off, p, size, verify)
}
