//go:build linux

package soak

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/cloudcoin/cloudcoin/internal/bench/session"
	"github.com/cloudcoin/cloudcoin/internal/treecmp"
)

// TestSoakPairs takes away two of the six providers, every pair in turn: first all 15 are stopped, then all 15 are wiped. Everything reads cold, writes go on and
// are stored, and afterwards every pack comes back to full health. The short form tries one pair each.
func TestSoakPairs(t *testing.T) {
	rnd, _ := seeded(t)
	pairs := allPairs()
	rnd.Shuffle(len(pairs), func(i, j int) { pairs[i], pairs[j] = pairs[j], pairs[i] })
	if newRounds(t, 1, 1, 1).end.IsZero() {
		pairs = pairs[:1]
	}
	d := session.New(bin, workDir(t))
	defer clearAway(t, d)
	if err := d.Start(timeout(t, time.Minute)); err != nil {
		t.Fatal(err)
	}
	outside, inside := filepath.Join(workDir(t), "tree"), filepath.Join(d.Mount, "tree")
	for _, dir := range []string{outside, inside} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	p := &pairTest{t: t, d: d, inside: inside, outside: outside}
	for _, size := range []int{0, 1, 4095, 4097, 65536, 1 << 20, 5<<20 + 17, 20 << 20} {
		p.write(size)
	}
	p.command("sync", "--timeout", "2m")
	for _, pair := range pairs {
		p.stopped(pair)
	}
	for _, pair := range pairs {
		p.wiped(pair)
	}
	if err := d.Stop(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d pairs of providers were stopped and %d wiped, nothing lost", len(pairs), len(pairs))
}

func allPairs() (pairs [][2]int) {
	for a := 1; a <= 6; a++ {
		for b := a + 1; b <= 6; b++ {
			pairs = append(pairs, [2]int{a, b})
		}
	}
	return pairs
}

// pairTest holds the same tree inside and outside of the drive.
type pairTest struct {
	t               *testing.T
	d               *session.Drive
	inside, outside string
	files           int
}

func (p *pairTest) command(args ...string) {
	p.t.Helper()
	if _, err := p.d.Run(timeout(p.t, 3*time.Minute), args...); err != nil {
		p.t.Fatal(err)
	}
}

func (p *pairTest) providers(op string, pair [2]int) {
	p.t.Helper()
	for _, n := range pair {
		p.command("local", "provider", op, strconv.Itoa(n))
	}
}

// write writes one more file into both trees.
func (p *pairTest) write(size int) {
	p.t.Helper()
	p.files++
	b := bytes.Repeat([]byte(fmt.Sprintf("%06d.", p.files)), size/7+1)[:size]
	for i := 0; i < len(b); i += 512 {
		b[i] ^= byte(i >> 9) // so that chunks differ
	}
	at := time.Now()
	for _, dir := range []string{p.inside, p.outside} {
		name := filepath.Join(dir, fmt.Sprintf("file-%d", p.files))
		if err := os.WriteFile(name, b, 0o644); err != nil {
			p.t.Fatal(err)
		}
		if err := os.Chtimes(name, at, at); err != nil {
			p.t.Fatal(err)
		}
	}
}

// readCold drops all caches and compares the trees.
func (p *pairTest) readCold(when string) {
	p.t.Helper()
	p.command("evict")
	if err := session.DropCaches(); err != nil {
		p.t.Logf("the kernel may answer from its cache: %v", err)
	}
	diff, err := treecmp.Diff(p.outside, p.inside, treecmp.Options{NoOwner: os.Getuid() != 0, NoDirMod: true})
	if err != nil || len(diff) > 0 {
		p.t.Fatalf("%s: %v %q", when, err, diff)
	}
}

func (p *pairTest) stopped(pair [2]int) {
	p.t.Helper()
	when := fmt.Sprintf("providers %d and %d stopped", pair[0], pair[1])
	p.providers("stop", pair)
	p.readCold(when)
	p.write(300_000)
	p.command("sync", "--timeout", "2m")
	p.readCold(when + ", after writing")
	p.providers("start", pair)
	p.awaitWhole(when + " and started")
}

func (p *pairTest) wiped(pair [2]int) {
	p.t.Helper()
	when := fmt.Sprintf("providers %d and %d wiped", pair[0], pair[1])
	p.providers("wipe", pair)
	p.readCold(when)
	p.write(300_000)
	p.command("sync", "--timeout", "2m")
	p.awaitWhole(when)
	p.readCold(when + ", after repair")
}

// awaitWhole waits until no pack lacks a shard.
func (p *pairTest) awaitWhole(when string) {
	p.t.Helper()
	ctx := timeout(p.t, 2*time.Minute)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		var s struct {
			Health struct {
				Packs, Lost int
				AtRisk      int `json:"at_risk"`
			}
		}
		if err := p.d.JSON(ctx, &s, "status"); err != nil {
			p.t.Fatalf("%s: %v", when, err)
		}
		if s.Health.Packs > 0 && s.Health.AtRisk == 0 && s.Health.Lost == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			p.t.Fatalf("%s: packs don't come back to full health: %+v", when, s.Health)
		}
	}
}
