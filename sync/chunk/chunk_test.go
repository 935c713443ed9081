package chunk

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	chunkers "github.com/PlakarKorp/go-cdc-chunkers"
	"github.com/zeebo/blake3"
	"pgregory.net/rapid"
)

var testKey = [32]byte{1, 2, 3}

func splitter(t testing.TB, key [32]byte) *Splitter {
	t.Helper()
	s, err := NewSplitter(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func content(seed byte, n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{seed})
	_, _ = r.Read(b) // never fails
	return b
}

// lengths splits b and checks that the chunks are b.
func lengths(t testing.TB, s *Splitter, b []byte) (out []int64) {
	t.Helper()
	at := int64(0)
	err := s.Split(bytes.NewReader(b), func(off int64, data []byte) error {
		if off != at || !bytes.Equal(data, b[off:off+int64(len(data))]) {
			t.Fatalf("chunk of %d bytes at %d, want one at %d", len(data), off, at)
		}
		at += int64(len(data))
		out = append(out, int64(len(data)))
		return nil
	})
	if err != nil || at != int64(len(b)) {
		t.Fatalf("%d of %d bytes, %v", at, len(b), err)
	}
	return out
}

func TestLengthsAndMean(t *testing.T) {
	n := 64 << 20
	got := lengths(t, splitter(t, testKey), content(1, n))
	for i, l := range got {
		if l > Max || (l < Min && i < len(got)-1) {
			t.Errorf("chunk of %d bytes", l)
		}
	}
	mean := n / len(got)
	t.Logf("%d chunks, mean %d KiB", len(got), mean>>10)
	if mean < Mean*9/10 || mean > Mean*5/4 {
		t.Errorf("mean %d", mean)
	}
	for name, b := range map[string][]byte{"zeros": make([]byte, 20<<20), "text": bytes.Repeat([]byte("the same line, over and over\n"), 20<<20/29)} {
		for i, l := range lengths(t, splitter(t, testKey), b) {
			if l > Max || (l < Min && (i+1)*Max < len(b)) {
				t.Errorf("%s: chunk of %d bytes", name, l)
			}
		}
	}
}

func TestSmallAndOddLengths(t *testing.T) {
	s := splitter(t, testKey)
	for _, n := range []int{0, 1, 4096, Min - 1, Min, Min + 1, Mean, Max, Max + 1} {
		got := lengths(t, s, content(2, n))
		if (n == 0) != (len(got) == 0) || (n > 0 && n <= Min && len(got) != 1) {
			t.Errorf("%d bytes: %v", n, got)
		}
	}
}

// The way in which a reader hands out its bytes must not show.
func TestReadersDontMatter(t *testing.T) {
	s, b := splitter(t, testKey), content(3, 5<<20)
	want := lengths(t, s, b)
	for name, r := range map[string]io.Reader{"halves": iotest.HalfReader(bytes.NewReader(b)), "data with EOF": iotest.DataErrReader(bytes.NewReader(b))} {
		var got []int64
		if err := s.Split(r, func(_ int64, data []byte) error { got = append(got, int64(len(data))); return nil }); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v; want %v", name, got, err, want)
		}
	}
}

func TestErrorsEndIt(t *testing.T) {
	s, broken := splitter(t, testKey), errors.New("broken")
	b := content(4, 3<<20)
	for _, n := range []int{0, 10, Min + 1, 2 << 20} {
		var got int64
		err := s.Split(io.MultiReader(bytes.NewReader(b[:n]), iotest.ErrReader(broken)), func(_ int64, data []byte) error { got += int64(len(data)); return nil })
		if !errors.Is(err, broken) {
			t.Errorf("source breaks after %d: %v", n, err)
		}
	}
	calls := 0
	if err := s.Split(bytes.NewReader(b), func(int64, []byte) error { calls++; return broken }); !errors.Is(err, broken) || calls != 1 {
		t.Errorf("fn fails: %v after %d calls", err, calls)
	}
	nothing := func(int64, []byte) error { return nil }
	if err := s.Recut(bytes.NewReader(b[:Min]), int64(len(b)), nil, []Range{{0, 1}}, nothing); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("file shorter than said: %v", err)
	}
	if err := s.Recut(bytes.NewReader(b), int64(len(b)), nil, []Range{{-1, 5}}, nothing); err == nil {
		t.Error("a range before the file")
	}
	if err := s.Recut(bytes.NewReader(b), int64(len(b)), nil, []Range{{0, 1}}, func(int64, []byte) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("fn fails: %v", err)
	}
}

func TestKeysMoveBoundaries(t *testing.T) {
	b := content(5, 8<<20)
	one, other := lengths(t, splitter(t, testKey), b), lengths(t, splitter(t, [32]byte{9}), b)
	if slices.Equal(one, other) {
		t.Error("another key cuts at the same places")
	}
}

func TestMovedContentIsFoundAgain(t *testing.T) {
	s := splitter(t, testKey)
	b := content(6, 16<<20)
	ids := map[string]bool{}
	count := func(r io.Reader) (n, known int) {
		if err := s.Split(r, func(_ int64, data []byte) error {
			id := ID(testKey, data).String()
			n++
			if ids[id] {
				known++
			}
			ids[id] = true
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return n, known
	}
	count(bytes.NewReader(b))
	n, known := count(io.MultiReader(strings.NewReader("something in front"), bytes.NewReader(b)))
	if n-known > 4 {
		t.Errorf("%d of %d chunks are new after 18 bytes in front", n-known, n)
	}
}

func TestIDIsKeyed(t *testing.T) {
	if ID(testKey, nil) == ID([32]byte{}, nil) || ID(testKey, []byte("a")) == ID(testKey, []byte("b")) {
		t.Error("ids must depend on key and bytes")
	}
	rapid.Check(t, func(t *rapid.T) {
		key := [32]byte{rapid.Byte().Draw(t, "key") % 3}
		data := rapid.SliceOfN(rapid.Byte(), 0, 3000).Draw(t, "data")
		h, err := blake3.NewKeyed(key[:])
		if err != nil {
			t.Fatal(err)
		}
		_, _ = h.Write(data)
		if got := ID(key, data); !bytes.Equal(got[:], h.Sum(nil)) {
			t.Fatalf("kept hasher gives %s", got)
		}
	})
}

// The library's own driver, with its own buffer, is the oracle.
func TestSplitIsTheLibrary(t *testing.T) {
	b := content(7, 10<<20)
	c, err := chunkers.NewChunker(algorithm, bytes.NewReader(b), &chunkers.ChunkerOpts{MinSize: Min, NormalSize: Mean, MaxSize: Max, Key: testKey[:]})
	if err != nil {
		t.Fatal(err)
	}
	var want []int64
	if err := c.Split(func(_, n uint, _ []byte) error { want = append(want, int64(n)); return nil }); err != nil {
		t.Fatal(err)
	}
	if want[len(want)-1] == 0 {
		want = want[:len(want)-1]
	}
	if got := lengths(t, splitter(t, testKey), b); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// The golden file freezes boundaries and ids: a change would store every file anew.
func TestGolden(t *testing.T) {
	b := content(8, 8<<20)
	var got strings.Builder
	sum := sha256.Sum256(b)
	fmt.Fprintf(&got, "content %s\n", hex.EncodeToString(sum[:]))
	if err := splitter(t, testKey).Split(bytes.NewReader(b), func(off int64, data []byte) error {
		fmt.Fprintf(&got, "%d %d %s\n", off, len(data), ID(testKey, data))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/chunks.golden")
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("boundaries or ids changed; got\n%s", got.String())
	}
}

func TestPlan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.Int64Range(0, 40<<20).Draw(t, "size")
		old := rapid.SliceOfN(rapid.Int64Range(-5, 42<<20), 0, 30).Draw(t, "old")
		dirty := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Range {
			return Range{rapid.Int64Range(0, 42<<20).Draw(t, "off"), rapid.Int64Range(0, 2<<20).Draw(t, "len")}
		}), 0, 6).Draw(t, "dirty")
		runs, err := plan(size, old, dirty)
		if err != nil {
			t.Fatal(err)
		}
		bounds := boundaries(old, size)
		covered := func(from, to int64) bool {
			return slices.ContainsFunc(runs, func(r Range) bool { return r.Off <= from && to <= r.end() })
		}
		changed := func(from, to int64) bool {
			return slices.ContainsFunc(dirty, func(d Range) bool { return d.Len > 0 && d.Off < to && from < d.end() })
		}
		for i, r := range runs {
			_, starts := slices.BinarySearch(bounds, r.Off)
			_, ends := slices.BinarySearch(bounds, r.end())
			if !starts || !ends || r.Len <= 0 || (i > 0 && runs[i-1].end() >= r.Off) {
				t.Fatalf("runs %v, bounds %v", runs, bounds)
			}
		}
		for i := 1; i < len(bounds); i++ {
			from, to := bounds[i-1], bounds[i]
			switch {
			case changed(from, to) && !covered(from, to):
				t.Fatalf("interval %d to %d changed and isn't cut: %v", from, to, runs)
			case !changed(from, to) && to-from >= Min && covered(from, to):
				t.Fatalf("interval %d to %d is cut without a change: %v", from, to, runs)
			case !changed(from, to) && covered(from, to):
				if !(i > 1 && changed(bounds[i-2], from)) && !(i+1 < len(bounds) && changed(to, bounds[i+1])) {
					t.Fatalf("interval %d to %d is cut, and none beside it changed: %v", from, to, runs)
				}
			}
		}
	})
}

// countingReaderAt counts what is read.
type countingReaderAt struct {
	io.ReaderAt
	n int64
}

func (c *countingReaderAt) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.ReaderAt.ReadAt(p, off)
	c.n += int64(n)
	return n, err
}

// A file of old chunks with changes: old chunks where nothing was cut and new ones elsewhere give the file again, each byte once.
func TestRecut(t *testing.T) {
	s := splitter(t, testKey)
	base := content(9, 6<<20)
	oldChunks := map[int64][]byte{}
	var old []int64
	if err := s.Split(bytes.NewReader(base), func(off int64, data []byte) error {
		oldChunks[off] = bytes.Clone(data)
		old = append(old, off, off+int64(len(data)))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		now := bytes.Clone(base)[:rapid.SampledFrom([]int{len(base), len(base), 3<<20 + 7}).Draw(rt, "cut")]
		var dirty []Range
		if grow := rapid.SampledFrom([]int{0, 0, 100, 2 << 20}).Draw(rt, "grow"); grow > 0 {
			dirty = append(dirty, Range{int64(len(now)), int64(grow)})
			now = append(now, content(10, grow)...)
		}
		for range rapid.IntRange(0, 4).Draw(rt, "writes") {
			off := rapid.IntRange(0, len(now)-1).Draw(rt, "off")
			n := min(rapid.SampledFrom([]int{1, 4096, 600000}).Draw(rt, "len"), len(now)-off)
			copy(now[off:off+n], content(byte(11+off%7), n))
			dirty = append(dirty, Range{int64(off), int64(n)})
		}
		size := int64(len(now))
		src := &countingReaderAt{ReaderAt: bytes.NewReader(now)}
		fresh := map[int64]int64{}
		cutBytes := int64(0)
		if err := s.Recut(src, size, old, dirty, func(off int64, data []byte) error {
			if !bytes.Equal(data, now[off:off+int64(len(data))]) || len(data) > Max {
				rt.Fatalf("chunk of %d bytes at %d is not the file", len(data), off)
			}
			fresh[off] = int64(len(data))
			cutBytes += int64(len(data))
			return nil
		}); err != nil {
			rt.Fatal(err)
		}
		if src.n > cutBytes+Min*int64(len(dirty)) {
			rt.Fatalf("%d bytes read for %d bytes of chunks", src.n, cutBytes)
		}
		for at := int64(0); at < size; {
			if n, ok := fresh[at]; ok {
				at += n
				continue
			}
			b, ok := oldChunks[at]
			n := min(int64(len(b)), size-at)
			if !ok || !bytes.Equal(b[:n], now[at:at+n]) {
				rt.Fatalf("at %d neither a new chunk nor an old one that still holds", at)
			}
			at += n
		}
	})
}

func TestSmallChangesCostOneChunk(t *testing.T) {
	s := splitter(t, testKey)
	b := content(12, 16<<20)
	var old []int64
	if err := s.Split(bytes.NewReader(b), func(off int64, _ []byte) error { old = append(old, off); return nil }); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	total, chunks := int64(0), 0
	for range 20 {
		off := r.Int64N(int64(len(b)) - 4096)
		now := bytes.Clone(b)
		copy(now[off:], content(13, 4096))
		if err := s.Recut(bytes.NewReader(now), int64(len(now)), old, []Range{{off, 4096}}, func(_ int64, data []byte) error {
			total += int64(len(data))
			chunks++
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	if mean := int64(len(b) / len(old)); total > 20*mean*2 {
		t.Errorf("20 writes of 4 KiB cost %d chunks, %d KiB; the mean chunk has %d KiB", chunks, total>>10, mean>>10)
	}
}

// A log that is stored after every line must not become one chunk for each line.
func TestGrowingFileKeepsLongChunks(t *testing.T) {
	s := splitter(t, testKey)
	b := content(14, 2<<20)
	old := []int64{}
	for size := int64(0); size < int64(len(b)); {
		before := size
		size = min(size+10_000, int64(len(b)))
		var fresh []int64
		if err := s.Recut(bytes.NewReader(b[:size]), size, append(old, before), []Range{{before, size - before}}, func(off int64, _ []byte) error {
			fresh = append(fresh, off)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		old = append(slices.DeleteFunc(old, func(o int64) bool { return o >= fresh[0] }), fresh...)
	}
	if len(old) > 2<<20/Min+1 {
		t.Errorf("%d chunks for %d bytes", len(old), len(b))
	}
}

func BenchmarkSplit(b *testing.B) {
	s := splitter(b, testKey)
	data := content(15, 64<<20)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Split(bytes.NewReader(data), func(int64, []byte) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkID(b *testing.B) {
	data := content(16, 1<<20)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		ID(testKey, data)
	}
}
