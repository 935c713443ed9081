package seal

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"testing/iotest"

	"filippo.io/age"
	"pgregory.net/rapid"
)

// The identity of every test here, and of the golden file.
const identityText = "AGE-SECRET-KEY-1MJHNHAUVY77HKLKLEVRMAEJSCXWNF8M3EREVQ07PZ7JPSJQANRES28Y2L0"

func identity(t testing.TB) *age.X25519Identity {
	t.Helper()
	id, err := age.ParseX25519Identity(identityText)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func content(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(b) // never fails
	return b
}

func sealed(t testing.TB, plain []byte) []byte {
	t.Helper()
	b, err := SealBytes(plain, identity(t).Recipient())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// edges are the plaintext lengths at which the number or kind of blocks changes.
var edges = []int{0, 1, 100, BlockSize - 1, BlockSize, BlockSize + 1, 2*BlockSize - 1, 2 * BlockSize, 3*BlockSize + 7, 20 * BlockSize}

func TestSizes(t *testing.T) {
	for _, n := range edges {
		b := sealed(t, content(n))
		if got := SealedSize(int64(n)); got != int64(len(b)) {
			t.Errorf("SealedSize(%d) = %d, the file has %d", n, got, len(b))
		}
		header, err := age.ExtractHeader(bytes.NewReader(b))
		if err != nil || len(header)+nonceLen != HeaderLen {
			t.Errorf("header of %d bytes, %v; want %d", len(header), err, HeaderLen)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(0, 1<<40).Draw(t, "n")
		if back, ok := PlainFor(SealedSize(n)); !ok || back != n {
			t.Fatalf("PlainFor(SealedSize(%d)) = %d, %v", n, back, ok)
		}
	})
	gaps := 0
	for total := int64(0); total < HeaderLen+2*SealedBlock; total++ {
		n, ok := PlainFor(total)
		if ok && SealedSize(n) != total {
			t.Fatalf("PlainFor(%d) = %d, whose file has %d", total, n, SealedSize(n))
		}
		if !ok {
			gaps++
		}
	}
	if gaps != HeaderLen+16+16 {
		t.Errorf("%d lengths don't occur", gaps)
	}
}

func TestWholeFilesComeBack(t *testing.T) {
	for _, n := range edges {
		plain := content(n)
		b := sealed(t, plain)
		got, err := OpenBytes(b, identity(t), n)
		if err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%d bytes: %v", n, err)
		}
		if n > 0 {
			if _, err := OpenBytes(b, identity(t), n-1); !errors.Is(err, ErrTooLong) {
				t.Errorf("%d bytes with a limit below: %v", n, err)
			}
		}
		for _, bad := range [][]byte{nil, b[:len(b)-1], b[:HeaderLen], append(bytes.Clone(b), 0), flip(b, len(b)-1), flip(b, 130), flip(b, HeaderLen-1)} {
			if _, err := OpenBytes(bad, identity(t), n+100); !errors.Is(err, ErrOpen) {
				t.Errorf("%d bytes, damaged: %v", n, err)
			}
		}
	}
	other, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenBytes(sealed(t, nil), other, 100); !errors.Is(err, ErrOpen) {
		t.Errorf("somebody else's: %v", err)
	}
}

func flip(b []byte, i int) []byte {
	b = bytes.Clone(b)
	b[i] ^= 0x20
	return b
}

func TestTransportErrorsAreNotDamage(t *testing.T) {
	broken := errors.New("the line is cut")
	b := sealed(t, content(3*BlockSize))
	for _, at := range []int64{10, HeaderLen + 100, HeaderLen + SealedBlock + 5} {
		r, err := Open(io.MultiReader(io.LimitReader(bytes.NewReader(b), at), iotest.ErrReader(broken)), identity(t))
		if err == nil {
			_, err = io.Copy(io.Discard, r)
		}
		if !errors.Is(err, broken) || errors.Is(err, ErrOpen) {
			t.Errorf("cut at %d: %v", at, err)
		}
	}
}

// ranges counts what is read, as src of OpenAt.
type ranges struct {
	io.ReaderAt
	read int64
}

func (r *ranges) ReadAt(p []byte, off int64) (int, error) {
	r.read += int64(len(p))
	return r.ReaderAt.ReadAt(p, off)
}

func TestRanges(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.SampledFrom(edges).Draw(rt, "len")
		plain := content(n)
		b := sealed(t, plain)
		total := int64(len(b))
		tailOff, tailLen := LastBlock(HeaderLen, total)
		src := &ranges{ReaderAt: bytes.NewReader(b)}
		r, plainLen, err := OpenAt(b[:HeaderLen], b[tailOff:tailOff+tailLen], total, src, identity(t))
		if err != nil || plainLen != int64(n) {
			rt.Fatalf("%d, %v", plainLen, err)
		}
		if src.read != 0 {
			rt.Fatalf("read %d bytes to open", src.read)
		}
		off := rapid.IntRange(0, n).Draw(rt, "off")
		count := rapid.SampledFrom([]int{0, 1, 4096, BlockSize, BlockSize + 1, 3 * BlockSize, n}).Draw(rt, "count")
		p := make([]byte, count)
		got, err := r.ReadAt(p, int64(off))
		want := plain[off:min(off+count, n)]
		if !bytes.Equal(p[:got], want) || (got < count) != (err == io.EOF) || (err != nil && err != io.EOF) {
			rt.Fatalf("%d bytes at %d: %d, %v", count, off, got, err)
		}
		if _, clen := CipherRange(HeaderLen, total, int64(off), int64(count)); src.read > clen {
			rt.Fatalf("read %d sealed bytes, the range needs %d", src.read, clen)
		}
	})
}

func TestOpener(t *testing.T) {
	plain := content(20*BlockSize + 9)
	b := sealed(t, plain)
	o, err := NewOpener(b[:HeaderLen], int64(len(b)), identity(t))
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		off := rapid.Int64Range(0, o.PlainLen()-1).Draw(t, "off")
		n := rapid.Int64Range(1, min(o.PlainLen()-off, 5*BlockSize)).Draw(t, "n")
		coff, clen := o.CipherRange(off, n)
		run := bytes.Clone(b[coff : coff+clen])
		got, start, err := o.OpenBlocks(run, coff)
		if err != nil || start > off || start+int64(len(got)) < off+n || !bytes.Equal(got, plain[start:start+int64(len(got))]) {
			t.Fatalf("blocks of %d at %d: %d at %d, %v", n, off, len(got), start, err)
		}
		dst := make([]byte, n)
		if err := o.OpenInto(dst, off, bytes.Clone(b[coff:coff+clen])); err != nil || !bytes.Equal(dst, plain[off:off+n]) {
			t.Fatalf("into %d at %d: %v", n, off, err)
		}
		at := rapid.Int64Range(0, clen-1).Draw(t, "damage")
		bad := flip(b[coff:coff+clen], int(at))
		var be *BlockError
		if err := o.OpenInto(dst, off, bad); !errors.As(err, &be) || !errors.Is(err, ErrOpen) {
			t.Fatalf("damaged: %v", err)
		}
		if coff+at < be.Off || coff+at >= be.Off+be.Len {
			t.Fatalf("damage at %d is reported for %d bytes at %d", coff+at, be.Len, be.Off)
		}
		if _, _, err := o.OpenBlocks(flip(b[coff:coff+clen], int(at)), coff); !errors.As(err, &be) {
			t.Fatalf("damaged: %v", err)
		}
	})
	if _, _, err := o.OpenBlocks(make([]byte, SealedBlock), HeaderLen+1); err == nil {
		t.Error("a run that doesn't begin with a block opens")
	}
	if _, _, err := o.OpenBlocks(make([]byte, 100), HeaderLen); err == nil {
		t.Error("half a block opens")
	}
	// A block in the place of another one is noticed.
	if _, _, err := o.OpenBlocks(bytes.Clone(b[HeaderLen:HeaderLen+SealedBlock]), HeaderLen+SealedBlock); !errors.Is(err, ErrOpen) {
		t.Errorf("block 0 as block 1: %v", err)
	}
}

func TestOpenAtRefuses(t *testing.T) {
	b := sealed(t, content(2*BlockSize+9))
	total := int64(len(b))
	tailOff, _ := LastBlock(HeaderLen, total)
	for name, c := range map[string]struct {
		header, tail []byte
		total        int64
	}{
		"short header":  {b[:HeaderLen-1], b[tailOff:], total},
		"long header":   {b[:HeaderLen+1], b[tailOff:], total},
		"flipped nonce": {flip(b[:HeaderLen], HeaderLen-1), b[tailOff:], total},
		"flipped mac":   {flip(b[:HeaderLen], HeaderLen-20), b[tailOff:], total},
		"wrong tail":    {b[:HeaderLen], flip(b[tailOff:], 3), total},
		"cut by blocks": {b[:HeaderLen], b[HeaderLen+SealedBlock : HeaderLen+2*SealedBlock], HeaderLen + 2*SealedBlock},
		"bad total":     {b[:HeaderLen], b[tailOff:], HeaderLen + 3},
	} {
		if _, _, err := OpenAt(c.header, c.tail, c.total, bytes.NewReader(b), identity(t)); !errors.Is(err, ErrOpen) {
			t.Errorf("%s: %v", name, err)
		}
	}
	broken := errors.New("the line is cut")
	r, _, err := OpenAt(b[:HeaderLen], b[tailOff:], total, failing{broken}, identity(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.ReadAt(make([]byte, 5), 0); !errors.Is(err, broken) {
		t.Errorf("broken source: %v", err)
	}
	if _, _, err := OpenAt(b[:HeaderLen], nil, total, bytes.NewReader(b[:len(b)-1]), identity(t)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("short source: %v", err)
	}
}

type failing struct{ err error }

func (f failing) ReadAt([]byte, int64) (int, error) { return 0, f.err }

func TestCache(t *testing.T) {
	c := NewCache(identity(t), 2)
	files := make([][]byte, 3)
	open := func(i int) *Opener {
		t.Helper()
		o, err := c.Opener([16]byte{byte(i)}, files[i][:HeaderLen], int64(len(files[i])))
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	for i := range files {
		files[i] = sealed(t, content(10+i))
	}
	a := open(0)
	if open(1); open(0) != a {
		t.Error("the cache forgets too early")
	}
	open(2) // 1 goes, 0 was used later
	if open(0) != a {
		t.Error("the cache forgets what was used last")
	}
	files[0] = sealed(t, content(50))
	if open(0) == a {
		t.Error("another file under the same key gets the old opener")
	}
	if len(c.byKey) != 2 || c.order.Len() != 2 {
		t.Errorf("%d openers kept, limit 2", len(c.byKey))
	}
	if _, err := c.Opener([16]byte{9}, []byte("nonsense"), 1000); !errors.Is(err, ErrOpen) {
		t.Errorf("bad header: %v", err)
	}
}

// One opener and one cache serve many readers.
func TestManyReaders(t *testing.T) {
	plain := content(6*BlockSize + 9)
	b := sealed(t, plain)
	c := NewCache(identity(t), 1)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 20 {
				o, err := c.Opener([16]byte{byte(g % 2)}, b[:HeaderLen], int64(len(b)))
				if err != nil {
					t.Error(err)
					return
				}
				r, err := o.At(nil, bytes.NewReader(b))
				if err != nil {
					t.Error(err)
					return
				}
				off := (g*31337 + i*7777) % len(plain)
				p := make([]byte, min(100_000, len(plain)-off))
				if _, err := r.ReadAt(p, int64(off)); (err != nil && err != io.EOF) || !bytes.Equal(p, plain[off:off+len(p)]) {
					t.Errorf("%d bytes at %d: %v", len(p), off, err)
				}
			}
		})
	}
	wg.Wait()
}

// The stock tool, built from its own source, opens what is sealed here.
func TestStockAgeOpens(t *testing.T) {
	dir := t.TempDir()
	tool := filepath.Join(dir, "age.exe")
	if out, err := exec.Command("go", "build", "-o", tool, "filippo.io/age/cmd/age").CombinedOutput(); err != nil {
		t.Fatalf("build age: %v\n%s", err, out)
	}
	key := filepath.Join(dir, "identity")
	if err := os.WriteFile(key, []byte(identityText+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 5, BlockSize, 3*BlockSize + 1} {
		plain := content(n)
		cmd := exec.Command(tool, "-d", "-i", key)
		cmd.Stdin = bytes.NewReader(sealed(t, plain))
		out, err := cmd.Output()
		if err != nil || !bytes.Equal(out, plain) {
			t.Errorf("%d bytes: age gives %d bytes, %v", n, len(out), err)
		}
	}
}

// The golden file is 70,000 bytes sealed once: whatever changes, it must still open.
func TestGolden(t *testing.T) {
	b, err := os.ReadFile("testdata/sealed.age")
	if err != nil {
		t.Fatal(err)
	}
	plain := content(70000)
	if got, err := OpenBytes(b, identity(t), len(plain)); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("whole: %d bytes, %v", len(got), err)
	}
	r, n, err := OpenAt(b[:HeaderLen], nil, int64(len(b)), bytes.NewReader(b), identity(t))
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(r, 0, n)); err != nil || [32]byte(h.Sum(nil)) != sha256.Sum256(plain) {
		t.Errorf("by ranges: %v", err)
	}
}

func FuzzOpen(f *testing.F) {
	id := identity(f)
	b := sealed(f, content(100))
	f.Add(b)
	f.Add(b[:HeaderLen])
	f.Fuzz(func(t *testing.T, in []byte) {
		if got, err := OpenBytes(in, id, 1<<16); err == nil && !bytes.Equal(in, b) && !bytes.Equal(got, content(100)) {
			t.Fatalf("opened %d bytes that nobody sealed", len(in))
		}
		if o, err := NewOpener(in[:min(HeaderLen, len(in))], int64(len(in)), id); err == nil && len(in) > HeaderLen {
			_, _, _ = o.OpenBlocks(bytes.Clone(in[HeaderLen:]), HeaderLen) // must not crash
		}
	})
}

func BenchmarkSealPack(b *testing.B) {
	plain := content(16 << 20)
	r := identity(b).Recipient()
	b.SetBytes(int64(len(plain)))
	for b.Loop() {
		if _, err := SealBytes(plain, r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	file := sealed(b, content(16<<20))
	o, err := NewOpener(file[:HeaderLen], int64(len(file)), identity(b))
	if err != nil {
		b.Fatal(err)
	}
	b.Run("header", func(b *testing.B) {
		for b.Loop() {
			if _, err := NewOpener(file[:HeaderLen], int64(len(file)), identity(b)); err != nil {
				b.Fatal(err)
			}
		}
	})
	for name, n := range map[string]int64{"4KiB": 4096, "1MiB": 1 << 20} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(n)
			b.ReportAllocs()
			dst := make([]byte, n)
			coff, clen := o.CipherRange(3<<20, n)
			scratch := make([]byte, clen)
			for b.Loop() {
				copy(scratch, file[coff:coff+clen])
				if err := o.OpenInto(dst, 3<<20, scratch); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
