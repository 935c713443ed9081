package localnet

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudcoin/cloudcoin/crypto/leasecode"
	"github.com/cloudcoin/cloudcoin/drive/lease"
	"github.com/cloudcoin/cloudcoin/internal/homelock"
	"github.com/cloudcoin/cloudcoin/sync/model"
	"github.com/cloudcoin/cloudcoin/sync/transfer"
	"github.com/cloudcoin/cloudcoin/sync/transfer/shardstest"
)

var binary string

// TestMain builds the program once. With CC_LOCALNET_PARENT it is a parent that starts a network and then does nothing (see TestEndsWithParent).
func TestMain(m *testing.M) {
	if dir := os.Getenv("CC_LOCALNET_PARENT"); dir != "" {
		beParent(dir)
	}
	dir, err := os.MkdirTemp("", "localnet")
	if err == nil {
		binary = filepath.Join(dir, "ccprovider")
		cmd := exec.Command("go", "build", "-o", binary, "github.com/cloudcoin/cloudcoin/cmd/ccprovider")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		cmd.Stderr = os.Stderr
		err = cmd.Run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "build ccprovider:", err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, dir string) *Net {
	t.Helper()
	n, err := Open(dir, Options{Binary: binary})
	check(t, err)
	return n
}

func ctx(t testing.TB) context.Context {
	c, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return c
}

// client takes a lease at provider i.
func client(t testing.TB, n *Net, i int, size int64) *lease.Client {
	t.Helper()
	public, key, err := ed25519.GenerateKey(rand.Reader)
	check(t, err)
	code, err := n.Grant(ctx(t), i, leasecode.FormatKey(public), size, time.Now().Add(48*time.Hour))
	check(t, err)
	l, err := leasecode.Parse(code)
	check(t, err)
	c, err := lease.New(lease.Config{URL: l.URL, Provider: l.Provider, Lease: model.LeaseID(l.ID), Key: key, Network: l.Network, Size: l.Size, Until: l.Until})
	check(t, err)
	t.Cleanup(func() { check(t, c.Close()) })
	return c
}

func TestNetworkLifecycle(t *testing.T) {
	dir := t.TempDir()
	n := open(t, dir)
	check(t, n.Start(ctx(t), 2))
	var held *homelock.HeldError
	if _, err := Open(dir, Options{Binary: binary}); !errors.As(err, &held) {
		t.Errorf("second Open: %v", err)
	}
	before := n.Providers()
	info, err := lease.ProviderInfo(ctx(t), lease.Net{}, before[1].URL)
	check(t, err)
	if info.Name != "provider-2" || info.Network != "local" {
		t.Errorf("provider 2 says %+v", info)
	}

	c := client(t, n, 1, 1<<20)
	b, id := shardstest.Bytes(1, 10_000)
	check(t, c.Put(ctx(t), id, b))
	check(t, c.PutSlot(ctx(t), "head", transfer.Slot{Counter: 3, Payload: []byte("x")}))

	check(t, n.Stop(ctx(t), 1))
	if n.Running(1) || !n.Running(2) {
		t.Error("Stop stopped the wrong one")
	}
	if _, err := c.Usage(ctx(t)); err == nil {
		t.Error("a stopped provider answers")
	}
	check(t, n.StartOne(ctx(t), 1))
	check(t, n.StartOne(ctx(t), 1)) // no error
	if got := n.Providers()[0].URL; got != before[0].URL {
		t.Errorf("the address changed from %s to %s", before[0].URL, got)
	}
	check(t, c.Get(ctx(t), id, 0, make([]byte, len(b)), int64(len(b)), true))

	check(t, n.Kill(1))
	check(t, n.StartOne(ctx(t), 1))
	check(t, c.Get(ctx(t), id, 0, make([]byte, len(b)), int64(len(b)), true))

	for _, running := range []bool{true, false} {
		check(t, c.Put(ctx(t), id, b))
		if !running {
			check(t, n.Stop(ctx(t), 1))
		}
		check(t, n.Wipe(ctx(t), 1))
		check(t, n.StartOne(ctx(t), 1))
		if err := c.Get(ctx(t), id, 0, make([]byte, len(b)), int64(len(b)), true); !errors.Is(err, transfer.ErrNotFound) {
			t.Errorf("wiped (running %v): Get gives %v", running, err)
		}
		if _, err := c.GetSlot(ctx(t), "head"); !errors.Is(err, transfer.ErrNotFound) {
			t.Errorf("wiped (running %v): GetSlot gives %v", running, err)
		}
		if u, err := c.Usage(ctx(t)); err != nil || u.Used != 0 || u.Size != 1<<20 {
			t.Errorf("wiped (running %v): usage %+v, %v", running, u, err)
		}
	}
	check(t, n.Close())

	var f struct {
		Peer      *string
		Providers []map[string]string
	}
	raw, err := os.ReadFile(filepath.Join(dir, "network.json"))
	check(t, err)
	check(t, json.Unmarshal(raw, &f))
	if f.Peer == nil || *f.Peer != "" || len(f.Providers) != 2 || f.Providers[0]["name"] != "provider-1" || f.Providers[0]["url"] != before[0].URL || f.Providers[0]["home"] != filepath.Join(dir, "provider-1") {
		t.Errorf("network.json: %s", raw)
	}

	n = open(t, dir)
	check(t, n.Start(ctx(t), 1)) // it has more
	if got := n.Providers(); len(got) != 2 || got[0].URL != before[0].URL || !n.Running(2) {
		t.Errorf("after a restart: %v", got)
	}
	check(t, n.Close())
}

// beParent starts a network, prints the pids of its providers and waits to be killed.
func beParent(dir string) {
	n, err := Open(dir, Options{Binary: os.Getenv("CC_LOCALNET_BINARY")})
	if err == nil {
		err = n.Start(context.Background(), 2)
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for _, p := range n.Providers() {
		fmt.Println(homelock.Holder(p.Home))
	}
	fmt.Println("up")
	select {}
}

func TestEndsWithParentHoweverItEnds(t *testing.T) {
	dir := t.TempDir()
	self, err := os.Executable()
	check(t, err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "CC_LOCALNET_PARENT="+dir, "CC_LOCALNET_BINARY="+binary)
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	var said []string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		said = append(said, lines.Text())
		if lines.Text() == "up" {
			break
		}
	}
	if len(said) != 3 || said[0] == "0" {
		t.Fatalf("the parent said %q", said)
	}
	check(t, cmd.Process.Kill())
	if err := cmd.Wait(); err == nil {
		t.Error("the parent wasn't killed")
	}
	// At once: the children may be dying still, which the next start has to stand.
	n := open(t, dir)
	check(t, n.Start(ctx(t), 2))
	for i, p := range n.Providers() {
		if pid := fmt.Sprint(homelock.Holder(p.Home)); pid == said[i] || pid == "0" {
			t.Errorf("%s is process %s, as before", p.Name, pid)
		}
	}
	check(t, n.Close())
	for _, p := range n.Providers() {
		if pid := homelock.Holder(p.Home); pid != 0 {
			t.Errorf("%s still runs as %d", p.Name, pid)
		}
	}
}

func TestStaleProcessIsEnded(t *testing.T) {
	dir := t.TempDir()
	n := open(t, dir)
	check(t, n.Start(ctx(t), 1))
	home := n.Providers()[0].Home
	check(t, n.Close())
	cmd := exec.Command(binary, "run", "--home", home, "--listen", "127.0.0.1:0")
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	if line, err := bufio.NewReader(out).ReadString('\n'); !strings.HasPrefix(line, "ready: ") {
		t.Fatalf("%q, %v", line, err)
	}
	n = open(t, dir)
	check(t, n.Start(ctx(t), 1))
	if err := cmd.Wait(); err == nil {
		t.Error("the stale process ended in order")
	}
	check(t, n.Close())
}

func TestTakenPortIsReplaced(t *testing.T) {
	dir := t.TempDir()
	n := open(t, dir)
	check(t, n.Start(ctx(t), 1))
	old := n.Providers()[0].URL
	check(t, n.Close())
	other := open(t, t.TempDir())
	other.nodes = append(other.nodes, other.newNode("provider-1", old))
	check(t, other.Start(ctx(t), 1))
	if other.Providers()[0].URL != old {
		t.Skip("the port went to somebody else")
	}
	n = open(t, dir)
	check(t, n.Start(ctx(t), 1))
	if got := n.Providers()[0].URL; got == old || got == "" {
		t.Errorf("the address is %q, which another provider has", got)
	}
	check(t, n.Close())
	check(t, other.Close())
}

func TestErrorsSayWhy(t *testing.T) {
	if _, err := Open(t.TempDir(), Options{Binary: ""}); err != nil && !strings.Contains(err.Error(), "ccprovider") {
		t.Errorf("no program: %v", err)
	}
	dir := t.TempDir()
	n := open(t, dir)
	check(t, os.MkdirAll(filepath.Join(dir, "provider-1"), 0o700))
	check(t, os.WriteFile(filepath.Join(dir, "provider-1", configName), []byte("nonsense = 1\n"), 0o600))
	if err := n.Start(ctx(t), 1); err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("a provider with a wrong configuration: %v", err)
	}
	if err := n.Stop(ctx(t), 9); err == nil {
		t.Error("Stop of a provider that isn't there: no error")
	}
	check(t, n.Close())
}

// BenchmarkProviders moves shards of 4 MiB through six real processes.
func BenchmarkProviders(b *testing.B) {
	n := open(b, b.TempDir())
	check(b, n.Start(ctx(b), 6))
	defer func() { check(b, n.Close()) }()
	const size = 4 << 20
	pool := transfer.NewPool(transfer.Options{})
	defer pool.Close()
	var leases []transfer.Shards
	for i := range 6 {
		leases = append(leases, client(b, n, i+1, 40<<30))
	}
	pool.SetLeases(leases)
	var shards [12][]byte
	var ids [12]model.ShardID
	for i := range shards {
		shards[i], ids[i] = shardstest.Bytes(uint64(i), size)
	}
	each := func(b *testing.B, fn func(i int) error) {
		b.SetBytes(size)
		var wg sync.WaitGroup
		next := make(chan int)
		for range 8 {
			wg.Go(func() {
				for i := range next {
					if err := fn(i); err != nil {
						b.Error(err)
					}
				}
			})
		}
		for i := 0; b.Loop(); i++ {
			next <- i
		}
		close(next)
		wg.Wait()
	}
	lease := func(i int) model.LeaseID { return leases[i%6].Info().ID }
	b.Run("PutShard", func(b *testing.B) {
		each(b, func(i int) error { return pool.PutShard(context.Background(), lease(i), ids[i%12], shards[i%12]) })
	})
	for i := range shards {
		check(b, pool.PutShard(ctx(b), lease(i), ids[i], shards[i]))
	}
	bufs := sync.Pool{New: func() any { return new([size]byte) }}
	read := func(pack *model.Pack, off int64, n int64) func(int) error {
		return func(int) error {
			p := bufs.Get().(*[size]byte)
			defer bufs.Put(p)
			return pool.ReadRange(context.Background(), pack, off, p[:n], func([]byte) error { return nil })
		}
	}
	pack := &model.Pack{K: 4, M: 2, ShardLen: size}
	for i := range 6 {
		pack.Shards = append(pack.Shards, model.Shard{ID: ids[i], Lease: lease(i)})
	}
	b.Run("ReadShard4MiB", func(b *testing.B) {
		each(b, func(i int) error { return read(pack, int64(i%4)*size, size)(i) })
	})
	b.Run("ReadRange4KiB", func(b *testing.B) {
		b.ReportAllocs()
		fn := read(pack, 12345, 4096)
		for i := 0; b.Loop(); i++ {
			check(b, fn(i))
		}
	})
}
