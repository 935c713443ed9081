package engine

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/cloudcoin/cloudcoin/sync/chunk"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

const modelSize = 60

// spot is what one byte of a file is: a byte of a chunk, or a hole (chunk 0).
type spot struct {
	chunk byte
	at    int64
}

// bytesOf lays extents out byte by byte.
func bytesOf(list []model.Extent, size int) []spot {
	out := make([]spot, size)
	for _, x := range list {
		for i := range x.Len {
			if !x.IsHole() && x.Off+i < int64(size) {
				out[x.Off+i] = spot{x.Chunk[0], x.Skip + i}
			}
		}
	}
	return out
}

// drawExtents draws sorted, disjoint extents.
func drawExtents(t *rapid.T, label string, holes bool) (out []model.Extent) {
	pos := int64(0)
	for pos < modelSize {
		pos += rapid.Int64Range(0, 10).Draw(t, label+" gap")
		n := min(rapid.Int64Range(1, 15).Draw(t, label+" len"), modelSize-pos)
		if n <= 0 {
			break
		}
		x := model.Extent{Off: pos, Len: n}
		if !holes || rapid.Bool().Draw(t, label+" data") {
			x.Chunk, x.Skip = model.ChunkID{byte(rapid.IntRange(1, 3).Draw(t, label+" chunk"))}, rapid.Int64Range(0, 5).Draw(t, label+" skip")
		}
		out = append(out, x)
		pos += n
	}
	return out
}

func TestOverlay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base, changes := drawExtents(t, "base", false), drawExtents(t, "change", true)
		size := rapid.IntRange(0, modelSize).Draw(t, "size")
		want := bytesOf(base, size)
		for _, c := range changes {
			for i := range c.Len {
				if c.Off+i < int64(size) {
					want[c.Off+i] = bytesOf([]model.Extent{c}, modelSize)[c.Off+i]
				}
			}
		}
		got := overlay(base, changes, int64(size))
		if b := bytesOf(got, modelSize); !slices.Equal(b[:size], want) || slices.ContainsFunc(b[size:], func(p spot) bool { return p.chunk != 0 }) {
			t.Fatalf("%v over %v cut at %d is %v", changes, base, size, got)
		}
	})
}

func TestDifference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cur, want := drawExtents(t, "cur", false), drawExtents(t, "want", false)
		runs := difference(cur, want)
		b := bytesOf(cur, modelSize)
		last := int64(-1)
		for _, run := range runs {
			if run[0].Off <= last {
				t.Fatalf("runs touch: %v", runs)
			}
			pos := run[0].Off
			for _, x := range run {
				if x.Off != pos || x.Len <= 0 {
					t.Fatalf("run with a gap: %v", run)
				}
				one := bytesOf([]model.Extent{x}, modelSize)
				copy(b[x.Off:x.Off+x.Len], one[x.Off:x.Off+x.Len])
				pos += x.Len
			}
			last = pos
		}
		if w := bytesOf(want, modelSize); !slices.Equal(b, w) {
			t.Fatalf("%v with %v written over it isn't %v", cur, runs, want)
		}
		if again := difference(want, want); len(again) != 0 {
			t.Fatalf("nothing changed, and yet %v", again)
		}
	})
}

// Long runs of zeros become holes however finely a snapshot tells what is dirty; short ones stay bytes of a chunk.
func TestHolesAreFound(t *testing.T) {
	data := noise(3, 4<<20)
	clear(data[1<<20 : 3<<20])
	clear(data[3<<20+8192 : 3<<20+16384])
	snap := &snapshot{b: data, base: make([]byte, 1)}
	dirty, err := dirtyRanges(snap, snap.Size(), []model.Extent{{Len: 1, Chunk: model.ChunkID{1}}})
	if err != nil {
		t.Fatal(err)
	}
	bytes, holes, err := splitHoles(snap, snap.Size(), dirty)
	if err != nil {
		t.Fatal(err)
	}
	if want := []chunk.Range{{Off: 1 << 20, Len: 2 << 20}}; !slices.Equal(holes, want) {
		t.Errorf("holes %v, want %v", holes, want)
	}
	if want := []chunk.Range{{Off: 0, Len: 1 << 20}, {Off: 3 << 20, Len: 1 << 20}}; !slices.Equal(bytes, want) {
		t.Errorf("data %v, want %v", bytes, want)
	}
	if b := boundaries([]model.Extent{{Off: 0, Len: 2 << 20}, {Off: 2 << 20, Len: 2 << 20}}, holes, 4<<20); !slices.Equal(b, []int64{0, 1 << 20, 3 << 20, 4 << 20}) {
		t.Errorf("boundaries %v", b)
	}
}
