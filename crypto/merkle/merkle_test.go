package merkle

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"testing"

	"pgregory.net/rapid"
)

// mth is RFC 9162, section 2.1.1, word by word, over a list of entries.
func mth(d [][]byte) Hash {
	switch len(d) {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return sha256.Sum256(append([]byte{0}, d[0]...))
	}
	k := 1
	for k*2 < len(d) {
		k *= 2
	}
	l, r := mth(d[:k]), mth(d[k:])
	return sha256.Sum256(append(append([]byte{1}, l[:]...), r[:]...))
}

func reference(b []byte) Hash {
	var leaves [][]byte
	for len(b) > 0 {
		n := min(LeafSize, len(b))
		leaves = append(leaves, b[:n])
		b = b[n:]
	}
	return mth(leaves)
}

// content makes n bytes that no two leaves share.
func content(seed uint64, n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	if _, err := r.Read(b); err != nil {
		panic(err)
	}
	return b
}

func sizes() *rapid.Generator[int] {
	return rapid.Custom(func(t *rapid.T) int {
		leaves := rapid.IntRange(0, 40).Draw(t, "leaves")
		rest := rapid.SampledFrom([]int{0, 0, 1, 63, 4095}).Draw(t, "rest")
		return leaves*LeafSize + rest
	})
}

// The certificate-transparency test vectors for RFC 6962/9162 trees: seven entries and their roots at each size.
func TestVectorsOfCertificateTransparency(t *testing.T) {
	var entries [][]byte
	for _, s := range []string{"", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"} {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, b)
	}
	roots := []string{
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
		"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
		"aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
		"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
		"4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
		"76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
		"ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
		"5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
	}
	for n, want := range roots {
		ref := mth(entries[:n])
		if hex.EncodeToString(ref[:]) != want {
			t.Errorf("reference at size %d: %x, want %s", n, ref, want)
		}
		// The hasher's own tree over the same leaf hashes.
		var h Hasher
		for _, e := range entries[:n] {
			h.push(sha256.Sum256(append([]byte{0}, e...)))
			h.size++
		}
		if got := h.Sum(); hex.EncodeToString(got[:]) != want {
			t.Errorf("hasher at size %d: %x, want %s", n, got, want)
		}
	}
}

func TestHasherIsTheReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := content(1, sizes().Draw(t, "size"))
		h := NewHasher()
		level := rapid.IntRange(0, 7).Draw(t, "level")
		h.KeepLevel(level)
		for rest := b; len(rest) > 0; {
			n := min(len(rest), rapid.SampledFrom([]int{1, 100, 4095, 4096, 4097, 30000}).Draw(t, "write"))
			h.Write(rest[:n])
			rest = rest[n:]
			if rapid.IntRange(0, 9).Draw(t, "look") == 0 {
				if got, want := h.Sum(), reference(b[:len(b)-len(rest)]); got != want {
					t.Fatalf("sum in the middle: %x, want %x", got, want)
				}
			}
		}
		want := reference(b)
		if got := h.Sum(); got != want || Root(b) != want || h.Size() != int64(len(b)) {
			t.Fatalf("sum %x, root %x, want %x", got, Root(b), want)
		}
		if o := h.Outline(); !o.fits(int64(len(b))) || o.Root() != want {
			t.Fatalf("outline of %d hashes has root %x, want %x", len(o.Hashes), o.Root(), want)
		}
		h.Reset()
		if h.Sum() != sha256.Sum256(nil) || h.Outline() != nil {
			t.Fatal("reset leaves something behind")
		}
	})
}

// countingReader counts the bytes that a proof reads.
type countingReader struct {
	io.ReaderAt
	n int64
}

func (c *countingReader) ReadAt(p []byte, off int64) (int, error) {
	c.n += int64(len(p))
	return c.ReaderAt.ReadAt(p, off)
}

func TestRangeProofs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := content(2, sizes().Draw(t, "size"))
		size := int64(len(b))
		leaves := int(Leaves(size))
		var outline *Outline
		level := rapid.IntRange(-1, 6).Draw(t, "level")
		if level >= 0 {
			h := NewHasher()
			h.KeepLevel(level)
			h.Write(b)
			outline = h.Outline()
		}
		var off, end int64
		if leaves > 0 {
			a := rapid.IntRange(0, leaves-1).Draw(t, "first")
			off = int64(a) * LeafSize
			end = min(int64(rapid.IntRange(a+1, leaves).Draw(t, "end"))*LeafSize, size)
		}
		src := &countingReader{ReaderAt: bytes.NewReader(b)}
		proof, err := ProveRange(src, size, outline, off, end-off)
		if err != nil {
			t.Fatal(err)
		}
		if level >= 0 && src.n > 2*LeafSize<<level {
			t.Fatalf("read %d bytes with an outline of level %d", src.n, level)
		}
		root := reference(b)
		if err := VerifyRange(root, size, off, b[off:end], proof); err != nil {
			t.Fatal(err)
		}
		if back, err := ParseProof(AppendProof(nil, proof)); err != nil || len(back) != len(proof) {
			t.Fatalf("wire form: %v", err)
		}
		lie(t, root, b, off, end, proof)
	})
}

// lie changes one thing at a time; each must be noticed.
func lie(t *rapid.T, root Hash, b []byte, off, end int64, proof []Hash) {
	size := int64(len(b))
	must := func(what string, size, off int64, data []byte, proof []Hash) {
		if err := VerifyRange(root, size, off, data, proof); !errors.Is(err, ErrProof) && !errors.Is(err, ErrRange) {
			t.Fatalf("%s: %v", what, err)
		}
	}
	must("one hash more", size, off, b[off:end], append(append([]Hash(nil), proof...), root))
	if end > off {
		bad := bytes.Clone(b[off:end])
		bad[rapid.IntRange(0, len(bad)-1).Draw(t, "byte")] ^= 1
		must("flipped byte", size, off, bad, proof)
		must("shorter", size, off, b[off:end-1], proof)
	}
	if len(proof) > 0 {
		i := rapid.IntRange(0, len(proof)-1).Draw(t, "hash")
		bad := append([]Hash(nil), proof...)
		bad[i][0] ^= 1
		must("flipped hash", size, off, b[off:end], bad)
		must("missing hash", size, off, b[off:end], append(bad[:i:i], proof[i+1:]...))
		must("other place", size, (off+LeafSize)%(size/LeafSize*LeafSize+1), b[off:end], proof)
	}
}

func TestRangesThatAreRefused(t *testing.T) {
	b := content(3, 3*LeafSize+5)
	for _, c := range []struct{ off, n int64 }{{1, 10}, {0, 10}, {LeafSize, 0}, {-LeafSize, LeafSize}, {0, 4 * LeafSize}, {4 * LeafSize, 1}, {0, -1}, {1 << 62, 1 << 62}} {
		if _, err := ProveRange(bytes.NewReader(b), int64(len(b)), nil, c.off, c.n); !errors.Is(err, ErrRange) {
			t.Errorf("%d bytes at %d: %v", c.n, c.off, err)
		}
	}
	if _, err := ProveRange(bytes.NewReader(b[:LeafSize]), int64(len(b)), nil, 0, LeafSize); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("short source: %v", err)
	}
	if _, err := ProveRange(bytes.NewReader(b), int64(len(b)), &Outline{Size: int64(len(b))}, 0, LeafSize); err == nil {
		t.Error("an outline without hashes is accepted")
	}
	if _, err := ParseProof(make([]byte, 33)); err == nil {
		t.Error("33 bytes are a proof")
	}
	if _, err := ParseProof(make([]byte, 32*(MaxProof+1))); err == nil {
		t.Error("a proof without bound")
	}
}

// The golden file holds the outline (level 1) and the proof of leaves 2 and 3 of 22,000 bytes i*i mod 251.
func TestGolden(t *testing.T) {
	b := make([]byte, 22000)
	for i := range b {
		b[i] = byte(i * i % 251)
	}
	h := NewHasher()
	h.KeepLevel(1)
	h.Write(b)
	outline, err := h.Outline().MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	proof, err := ProveRange(bytes.NewReader(b), int64(len(b)), h.Outline(), 2*LeafSize, 2*LeafSize)
	if err != nil {
		t.Fatal(err)
	}
	root := h.Sum()
	got := hex.EncodeToString(root[:]) + "\n" + hex.EncodeToString(outline) + "\n" + hex.EncodeToString(AppendProof(nil, proof)) + "\n"
	want, err := os.ReadFile("testdata/tree.golden")
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the format changed; got\n%s", got)
	}
	var o Outline
	if err := o.UnmarshalBinary(outline); err != nil || o.Root() != root {
		t.Errorf("outline read back: %v", err)
	}
}

func FuzzVerifyRange(f *testing.F) {
	b := content(4, 5*LeafSize+9)
	root := Root(b)
	proof, err := ProveRange(bytes.NewReader(b), int64(len(b)), nil, LeafSize, LeafSize)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(int64(len(b)), int64(LeafSize), b[LeafSize:2*LeafSize], AppendProof(nil, proof))
	f.Add(int64(1<<62), int64(LeafSize), b[:LeafSize], []byte{})
	f.Fuzz(func(t *testing.T, size, off int64, data, wire []byte) {
		p, err := ParseProof(wire)
		if err != nil {
			return
		}
		if VerifyRange(root, size, off, data, p) == nil && (off < 0 || off+int64(len(data)) > int64(len(b)) || !bytes.Equal(data, b[off:off+int64(len(data))])) {
			t.Fatalf("accepted %d bytes at %d that aren't there", len(data), off)
		}
	})
}

func FuzzOutline(f *testing.F) {
	h := NewHasher()
	h.KeepLevel(1)
	h.Write(content(5, 5*LeafSize+9))
	b, _ := h.Outline().MarshalBinary()
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var o Outline
		if o.UnmarshalBinary(b) != nil {
			return
		}
		o.Root()
		if back, _ := o.MarshalBinary(); !bytes.Equal(back, b) {
			t.Fatal("reading and writing changes an outline")
		}
	})
}

func BenchmarkRoot(b *testing.B) {
	data := content(6, 4<<20)
	b.Run("tree", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		b.ReportAllocs()
		for b.Loop() {
			Root(data)
		}
	})
	b.Run("sha256", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			sha256.Sum256(data)
		}
	})
}

func BenchmarkProve(b *testing.B) {
	data := content(7, 4<<20)
	h := NewHasher()
	h.KeepLevel(4)
	h.Write(data)
	o := h.Outline()
	for b.Loop() {
		if _, err := ProveRange(bytes.NewReader(data), int64(len(data)), o, 1<<20, 64<<10); err != nil {
			b.Fatal(err)
		}
	}
}
