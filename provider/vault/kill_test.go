package vault

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/cloudcoin/cloudcoin/crypto/merkle"
	"github.com/cloudcoin/cloudcoin/provider/ids"
	"github.com/cloudcoin/cloudcoin/provider/ledger"
	"github.com/cloudcoin/cloudcoin/provider/shardstore"
)

const childEnv = "CCPROVIDER_VAULT_KILL_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		if err := child(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

var testLease = ids.Lease{7}

// parts is a vault on a folder.
type parts struct {
	*Vault
	store *shardstore.Folder
	book  *ledger.Ledger
}

func openParts(dir string, now func() time.Time) (*parts, error) {
	if err := shardstore.CreateFolder(filepath.Join(dir, "shards")); err != nil {
		return nil, err
	}
	if err := ledger.Create(filepath.Join(dir, "ledger")); err != nil {
		return nil, err
	}
	store, err := shardstore.OpenFolder(filepath.Join(dir, "shards"))
	if err != nil {
		return nil, err
	}
	quiet := slog.New(slog.DiscardHandler)
	book, err := ledger.Open(filepath.Join(dir, "ledger"), quiet)
	if err != nil {
		return nil, err
	}
	v, err := Open(store, book, now, quiet)
	return &parts{v, store, book}, err
}

func (p *parts) grant(lease ids.Lease, size int64) error {
	renter := ed25519.NewKeyFromSeed(make([]byte, 32)).Public().(ed25519.PublicKey)
	return p.book.Grant(ledger.Lease{ID: lease, Renter: renter, Size: size, Until: time.Now().Add(time.Hour)})
}

func (p *parts) put(lease ids.Lease, body []byte) (ids.Shard, error) {
	id := ids.Shard(merkle.Root(body))
	u, err := p.Put(lease, id, int64(len(body)))
	if err != nil {
		return id, err
	}
	if _, err := u.Write(body); err != nil {
		return id, err
	}
	_, err = u.Commit()
	return id, err
}

// child puts and deletes until it is killed, and says on stdout what was acknowledged: "+" or "-" and the number of the shard.
func child(dir string) error {
	p, err := openParts(dir, time.Now)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	say := func(what string, n uint64) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Printf("%s %d\n", what, n)
	}
	seed := uint64(time.Now().UnixNano())
	var wg sync.WaitGroup
	failed := make(chan error, 4)
	for g := range uint64(4) {
		wg.Go(func() { failed <- childLoop(p, seed*4+g, say) })
	}
	wg.Wait()
	return <-failed
}

func childLoop(p *parts, seed uint64, say func(string, uint64)) error {
	var mine []uint64
	for i := uint64(0); ; i++ {
		n := seed<<20 | i
		if _, err := p.put(testLease, shardBody(n)); err != nil {
			return err
		}
		say("+", n)
		if mine = append(mine, n); len(mine) < 4 {
			continue
		}
		say("?", mine[0])
		say("?", mine[1])
		gone := []ids.Shard{ids.Shard(merkle.Root(shardBody(mine[0]))), ids.Shard(merkle.Root(shardBody(mine[1])))}
		if _, err := p.Delete(testLease, gone); err != nil {
			return err
		}
		say("-", mine[0])
		say("-", mine[1])
		mine = mine[2:]
	}
}

// shardBody is the content of shard n: 8 to 20,007 bytes.
func shardBody(n uint64) []byte {
	return append(binary.BigEndian.AppendUint64(nil, n), bytes.Repeat([]byte{byte(n)}, int(n*2654435761%20000))...)
}

// TestKill kills a process that puts and deletes, again and again, and compares disk, counters and acknowledgements.
func TestKill(t *testing.T) {
	if _, err := os.Executable(); err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	p, err := openParts(dir, time.Now)
	must(t, err)
	must(t, p.grant(testLease, 1<<40))
	must(t, p.book.Close())
	there := map[uint64]string{} // what the children acknowledged: + there, - gone, ? being deleted
	rounds := 25
	if testing.Short() {
		rounds = 8
	}
	for range rounds {
		runAndKill(t, dir, there)
		p, err := openParts(dir, time.Now)
		must(t, err)
		p.compare(t, there)
		must(t, p.book.Close())
	}
	if len(there) < rounds {
		t.Fatalf("only %d shards were put: the test tests nothing", len(there))
	}
}

func runAndKill(t *testing.T, dir string, there map[uint64]string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	lines := bufio.NewScanner(out)
	for left := 1 + rand.IntN(150); lines.Scan(); left-- {
		var what string
		var n uint64
		if _, err := fmt.Sscanf(lines.Text(), "%s %d", &what, &n); err != nil {
			continue // the last line, cut by the kill
		}
		there[n] = what
		if left == 0 {
			must(t, cmd.Process.Kill())
		}
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.Exited() {
		t.Fatalf("the child ended by itself: %v", err)
	}
}

// compare checks that what was acknowledged is true, whole, and counted exactly.
func (p *parts) compare(t *testing.T, there map[uint64]string) {
	t.Helper()
	for n, what := range there {
		body := shardBody(n)
		s, err := p.store.Open(testLease, ids.Shard(merkle.Root(body)))
		switch {
		case err != nil && what == "+":
			t.Fatalf("shard %d was acknowledged and is missing: %v", n, err)
		case err == nil && what == "-":
			t.Fatalf("shard %d is back after its deletion", n)
		case err != nil:
			continue
		}
		got, err := io.ReadAll(s)
		must(t, err)
		must(t, s.Close())
		if !bytes.Equal(got, body) {
			t.Fatalf("shard %d has other bytes", n)
		}
	}
	_, counted, err := p.book.Lease(testLease)
	must(t, err)
	var disk ledger.Usage
	must(t, p.each(testLease, func(e shardstore.Entry) error {
		disk.Shards++
		disk.Bytes += Charge(e.Size)
		return nil
	}))
	if disk != counted {
		t.Fatalf("the disk holds %+v, the ledger says %+v", disk, counted)
	}
	if open := p.book.InFlight(); len(open) != 0 {
		t.Fatalf("still open: %v", open)
	}
	r, err := p.Scrub(context.Background())
	must(t, err)
	if len(r.Damaged) != 0 || r.Shards != disk.Shards {
		t.Fatalf("scrub: %+v", r)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
