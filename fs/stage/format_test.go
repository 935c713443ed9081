package stage

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudcoin/cloudcoin/sync/journal"
)

var update = flag.Bool("update", false, "write the golden file anew (only for a new version of a format)")

// TestMain lowers the number of property checks, unless it was asked for: many of them sync files.
func TestMain(m *testing.M) {
	flag.Parse()
	set := false
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == "rapid.checks" })
	if !set {
		if err := flag.Set("rapid.checks", "25"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// samples are one of everything that is written.
func samples() map[string][]byte {
	h := header{flags: flagInline, ino: 0x0102030405060708, version: 9, size: 70_000, floor: 4096, mtime: -1, ctime: 1_700_000_000_123_456_789, path: "a/ü"}
	s := &Stage{dir: "home"}
	n := &node{s: s, ino: h.ino, size: 70_000, mtime: 5, ctime: -6, path: "a/b", lsn: 1234, small: &cacheEntry{seg: 1, off: 2, n: 3, crc: 4}}
	fill := s.newFill(h.ino, 7|fillBit, 1<<40)
	low := s.newLayer(h.ino, 8, true, 100)
	low.clean, low.frozen, low.size = true, true, 5000
	low.pieces = []piece{{off: 0, n: 10, ref: journal.Ref{Segment: 3, Off: 4096, Len: 80, LSN: 900}, pos: 70}, {off: 4096, n: 4096, zero: true}}
	top := s.newLayer(h.ino, 9, false, 5000)
	top.addData(0, 3)
	top.addData(70, 71)
	top.addHole(5, 6)
	top.addData(leafBlocks*2+64, leafBlocks*2+130)
	n.layers = []*layer{fill, low, top}
	return map[string][]byte{
		"header":  h.append(nil),
		"write":   append(appendRuns(h.append(nil), []run{{10, 3}, {math.MaxInt32, 2}}), "abcde"...),
		"extents": appendRuns(h.append(nil), []run{{1, 2}, {maxBlock - 3, 3}}),
		"node":    n.encode(),
		"leaf 0":  top.hole.appendLeaf(top.present.appendLeaf(nil, 0), 0),
		"leaf 2":  top.hole.appendLeaf(top.present.appendLeaf(nil, 2), 2),
		"sidecar": n.sidecar(top),
	}
}

func TestGolden(t *testing.T) {
	var b strings.Builder
	all := samples()
	for _, name := range []string{"header", "write", "extents", "node", "leaf 0", "leaf 2", "sidecar"} {
		fmt.Fprintf(&b, "%s\n%s\n", name, hex.EncodeToString(all[name]))
	}
	name := filepath.Join("testdata", "formats.golden")
	if *update {
		must(t, os.MkdirAll("testdata", 0o755))
		must(t, os.WriteFile(name, []byte(b.String()), 0o644))
	}
	want, err := os.ReadFile(name)
	must(t, err)
	if b.String() != string(want) {
		t.Errorf("a format changed:\n%s", b.String())
	}
}

func TestNodeRoundTrip(t *testing.T) {
	b := samples()["node"]
	n := &node{s: &Stage{dir: "home"}, ino: 0x0102030405060708}
	must(t, n.decode(b))
	if !bytes.Equal(n.encode(), b) {
		t.Error("decode and encode is not the identity")
	}
	for i := range b {
		n := &node{s: &Stage{dir: "home"}}
		if err := n.decode(b[:i]); err == nil {
			t.Errorf("%d of %d bytes are taken for a node", i, len(b))
		}
	}
}

func FuzzRecord(f *testing.F) {
	for _, b := range samples() {
		for kind := kindWrite; kind <= kindConvert; kind++ {
			f.Add(uint8(kind), b)
		}
	}
	f.Fuzz(func(t *testing.T, kind uint8, b []byte) {
		p, err := parseRecord(journal.Kind(kind), b)
		if err != nil {
			return
		}
		out := p.header.append(nil)
		if p.runs != nil {
			out = appendRuns(out, p.runs)
		}
		if out = append(out, p.data...); !bytes.Equal(out, b) {
			t.Errorf("decode and encode is not the identity: %x, %x", b, out)
		}
	})
}

func FuzzNode(f *testing.F) {
	f.Add(samples()["node"])
	f.Fuzz(func(t *testing.T, b []byte) {
		n := &node{s: &Stage{dir: "home"}}
		if n.decode(b) != nil {
			return
		}
		m := &node{s: &Stage{dir: "home"}}
		if err := m.decode(n.encode()); err != nil || !bytes.Equal(m.encode(), n.encode()) {
			t.Errorf("decode and encode is not the identity: %v", err)
		}
	})
}

func FuzzSum(f *testing.F) {
	f.Add([]byte("12345678"), int64(7))
	f.Fuzz(func(t *testing.T, b []byte, block int64) {
		if len(b) < sumLen {
			return
		}
		sum, known, sound := getSum(b, block)
		if known != (sound && !bytes.Equal(b[:sumLen], make([]byte, sumLen))) {
			t.Errorf("entry %x: known %v, sound %v", b[:sumLen], known, sound)
		}
		out := make([]byte, sumLen)
		if putSum(out, sum, block); known && !bytes.Equal(out, b[:sumLen]) {
			t.Errorf("decode and encode is not the identity: %x, %x", b[:sumLen], out)
		}
	})
}

func FuzzSidecar(f *testing.F) {
	f.Add(samples()["sidecar"])
	f.Add(samples()["leaf 0"])
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _, _, _, _ = parseSidecar(b)
		var s blockset
		if rest, err := s.setLeaf(3, b); err == nil {
			if got := append(s.appendLeaf(nil, 3), rest...); len(got) > len(b) {
				t.Errorf("a leaf of %d bytes becomes %d", len(b), len(got))
			}
		}
	})
}

func TestBlockset(t *testing.T) {
	var s blockset
	want := map[int64]bool{}
	x := uint64(1)
	for i := 0; i < 3000; i++ {
		x = x*6364136223846793005 + 1442695040888963407
		a := int64(x>>33) % 20_000
		b := a + int64(x>>20)%300
		if x>>60 < 9 {
			s.add(a, b)
		} else {
			s.remove(a, b)
		}
		for ; a < b; a++ {
			want[a] = x>>60 < 9
		}
		if i%100 != 0 {
			continue
		}
		n, last := int64(0), int64(-1)
		for b := int64(0); b < 21_000; b++ {
			if s.has(b) != want[b] {
				t.Fatalf("step %d: block %d is %v", i, b, s.has(b))
			}
			if want[b] {
				n, last = n+1, b
			}
		}
		if s.n != n || s.count(0, 1<<40) != n || s.last() != last {
			t.Fatalf("step %d: %d blocks, counted %d, last %d; want %d, %d", i, s.n, s.count(0, 1<<40), s.last(), n, last)
		}
	}
}
