package stage

import (
	"math/rand/v2"
	"testing"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

func benchRig(b *testing.B) *rig {
	b.Helper()
	return newRigWith(b, Options{}, 64<<20)
}

func BenchmarkSmallCreate(b *testing.B) {
	r := benchRig(b)
	p := pattern(1, 4096)
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		f := r.file(model.Ino(i+2), nil, 0)
		f.SetPath("folder/some-file-name.txt")
		f.SetAttr(1, 2)
		must(b, f.WriteAt(bg, p, 0))
		must(b, f.Flush())
		must(b, f.Close())
	}
}

func BenchmarkRandom4K(b *testing.B) {
	r := benchRig(b)
	const size = 1 << 30
	f := r.file(2, nil, 0)
	must(b, f.Truncate(bg, size))
	must(b, f.WriteAt(bg, pattern(1, 1<<20), 0))
	p := pattern(1, 4096)
	rnd := rand.New(rand.NewPCG(1, 2))
	b.SetBytes(4096)
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		must(b, f.WriteAt(bg, p, rnd.Int64N(size/4096)*4096))
	}
	b.StopTimer()
	must(b, f.Close())
}

func BenchmarkSequential1M(b *testing.B) {
	r := benchRig(b)
	f := r.file(2, nil, 0)
	p := pattern(1, 1<<20)
	b.SetBytes(1 << 20)
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		must(b, f.WriteAt(bg, p, int64(i%1024)<<20))
	}
	b.StopTimer()
	must(b, f.Close())
}

func BenchmarkWriteSync4K(b *testing.B) {
	r := benchRig(b)
	f := r.file(2, nil, 0)
	must(b, f.Truncate(bg, 1<<20))
	must(b, f.WriteAt(bg, pattern(1, 1<<20), 0))
	p := pattern(1, 4096)
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		must(b, f.WriteAt(bg, p, int64(i%256)*4096))
		must(b, f.Sync(bg))
	}
	b.StopTimer()
	must(b, f.Close())
}

func BenchmarkRead4K(b *testing.B) {
	r := benchRig(b)
	f := r.file(2, nil, 0)
	const size = 64 << 20
	must(b, f.WriteAt(bg, pattern(1, size), 0))
	p := make([]byte, 4096)
	rnd := rand.New(rand.NewPCG(1, 2))
	b.SetBytes(4096)
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		if _, err := f.ReadAt(bg, p, rnd.Int64N(size/4096)*4096); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	must(b, f.Close())
}
