package erasure

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cloudcoin/cloudcoin/crypto/merkle"
)

func content(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{2})
	_, _ = r.Read(b) // never fails
	return b
}

func clone(shards [][]byte) [][]byte {
	out := make([][]byte, len(shards))
	for i, s := range shards {
		out[i] = bytes.Clone(s)
	}
	return out
}

func TestAnyLossesComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := rapid.IntRange(1, 20).Draw(t, "k")
		m := rapid.IntRange(0, 20).Draw(t, "m")
		if rapid.IntRange(0, 20).Draw(t, "wide") == 0 {
			k, m = rapid.SampledFrom([]int{100, MaxK}).Draw(t, "K"), 56
		}
		n := rapid.SampledFrom([]int{1, 63, 4096, 10000}).Draw(t, "len")
		age := content(k * n)
		shards, err := Encode(bytes.Clone(age), k, m, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(bytes.Join(shards[:k], nil), age) {
			t.Fatal("the data shards are not the file")
		}
		lost := rapid.Permutation(sequence(k+m)).Draw(t, "lost")[:rapid.IntRange(0, m).Draw(t, "losses")]
		left := clone(shards)
		for _, i := range lost {
			left[i] = nil
		}
		if err := Reconstruct(left, k, m, lost); err != nil {
			t.Fatal(err)
		}
		for i := range shards {
			if !bytes.Equal(left[i], shards[i]) {
				t.Fatalf("shard %d is not what it was", i)
			}
		}
		if m > 0 {
			oneRange(t, shards, k, m, n)
		}
	})
}

// oneRange rebuilds a byte range of one shard from k others.
func oneRange(t *rapid.T, shards [][]byte, k, m, n int) {
	order := rapid.Permutation(sequence(k+m)).Draw(t, "order")
	want, others := order[0], order[1:k+1]
	from := rapid.IntRange(0, n-1).Draw(t, "from")
	to := rapid.IntRange(from+1, n).Draw(t, "to")
	pieces := map[int][]byte{}
	for _, i := range others {
		pieces[i] = shards[i][from:to]
	}
	got, err := ReconstructRange(k, m, pieces, want)
	if err != nil || !bytes.Equal(got, shards[want][from:to]) {
		t.Fatalf("range of shard %d: %v", want, err)
	}
	delete(pieces, others[0])
	if _, err := ReconstructRange(k, m, pieces, want); !errors.Is(err, ErrTooFew) {
		t.Fatalf("with %d pieces: %v", len(pieces), err)
	}
}

func sequence(n int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = i
	}
	return s
}

func TestOnlyWhatIsWanted(t *testing.T) {
	shards, err := Encode(content(4000), 4, 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	left := clone(shards)
	left[1], left[5] = nil, nil
	if err := Reconstruct(left, 4, 2, []int{5}); err != nil || left[1] != nil || !bytes.Equal(left[5], shards[5]) {
		t.Errorf("wanted 5 only: %v, shard 1 has %d bytes", err, len(left[1]))
	}
	left[0], left[2] = nil, nil
	if err := Reconstruct(left, 4, 2, []int{0}); !errors.Is(err, ErrTooFew) {
		t.Errorf("three of four: %v", err)
	}
}

func TestBounds(t *testing.T) {
	for _, c := range [][2]int{{0, 1}, {-1, 2}, {MaxK + 1, 1}, {1, MaxM + 1}, {1, -1}, {200, 57}} {
		if _, err := Encode(content(1), c[0], c[1], nil); err == nil {
			t.Errorf("%v is within bounds", c)
		}
		if err := Reconstruct(nil, c[0], c[1], nil); err == nil {
			t.Errorf("%v is within bounds", c)
		}
		if _, err := ReconstructRange(c[0], c[1], nil, 0); err == nil {
			t.Errorf("%v is within bounds", c)
		}
	}
	if _, err := Encode(nil, 4, 2, nil); err == nil {
		t.Error("nothing is encoded")
	}
	if _, err := Encode(content(5), 4, 2, nil); err == nil {
		t.Error("five bytes make four equal shards")
	}
	if _, err := ReconstructRange(4, 2, map[int][]byte{6: {1}}, 0); err == nil {
		t.Error("there is a shard 6 of 4+2")
	}
	if _, err := ReconstructRange(4, 2, map[int][]byte{1: {1}, 2: {1, 2}, 3: {1}, 4: {1}}, 0); err == nil {
		t.Error("pieces of different lengths")
	}
	if err := Reconstruct(make([][]byte, 6), 4, 2, []int{9}); err == nil {
		t.Error("there is a shard 9 of 4+2")
	}
}

func TestParityBufferIsUsed(t *testing.T) {
	age, buf := content(4096*4), bytes.Repeat([]byte{7}, 4096*3)
	shards, err := Encode(age, 4, 2, buf)
	if err != nil {
		t.Fatal(err)
	}
	if &shards[4][0] != &buf[0] || &shards[0][0] != &age[0] {
		t.Error("memory is copied")
	}
	fresh, err := Encode(age, 4, 2, nil)
	if err != nil || !bytes.Equal(fresh[5], shards[5]) {
		t.Error("what was in the buffer gets into the parity")
	}
	if cap(shards[0]) != len(shards[0]) {
		t.Error("an append to shard 0 would overwrite shard 1")
	}
}

func TestIDs(t *testing.T) {
	shards, err := Encode(content(10*5000), 10, 7, nil)
	if err != nil {
		t.Fatal(err)
	}
	shards[3] = nil
	for i, id := range IDs(shards) {
		if (i == 3 && id != [32]byte{}) || (i != 3 && id != merkle.Root(shards[i])) {
			t.Errorf("id of shard %d is %s", i, id)
		}
	}
}

// The golden file freezes the matrix: SHA-256 of the parity of 12,000 bytes i*i mod 251 in several codings.
func TestGolden(t *testing.T) {
	age := make([]byte, 12000)
	for i := range age {
		age[i] = byte(i * i % 251)
	}
	var got strings.Builder
	for _, c := range [][2]int{{1, 1}, {1, 2}, {2, 2}, {4, 1}, {4, 2}, {10, 20}, {200, 56}} {
		shards, err := Encode(age, c[0], c[1], nil)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(bytes.Join(shards[c[0]:], nil))
		fmt.Fprintf(&got, "%d+%d %s\n", c[0], c[1], hex.EncodeToString(sum[:]))
	}
	want, err := os.ReadFile("testdata/parity.golden")
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("parity changed: stored packs could not be rebuilt. Got\n%s", got.String())
	}
}

func BenchmarkEncode(b *testing.B) {
	age, buf := content(16<<20), make([]byte, 8<<20)
	b.SetBytes(int64(len(age)))
	for b.Loop() {
		if _, err := Encode(age, 4, 2, buf); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkIDs(b *testing.B) {
	shards, err := Encode(content(16<<20), 4, 2, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(24 << 20)
	for b.Loop() {
		IDs(shards)
	}
}

func BenchmarkReconstructRange(b *testing.B) {
	shards, err := Encode(content(4<<20), 4, 2, nil)
	if err != nil {
		b.Fatal(err)
	}
	pieces := map[int][]byte{1: shards[1], 2: shards[2], 4: shards[4], 5: shards[5]}
	b.SetBytes(1 << 20)
	for b.Loop() {
		if _, err := ReconstructRange(4, 2, pieces, 0); err != nil {
			b.Fatal(err)
		}
	}
}
