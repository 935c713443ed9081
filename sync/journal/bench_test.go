package journal

import (
	"context"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
)

// BenchmarkSync measures append + sync of 4 KiB; BenchmarkExt4 the same bytes by write and fsync into a growing file beside it.
func BenchmarkSync(b *testing.B) {
	for _, c := range []struct {
		name    string
		waiters int
	}{{"1", 1}, {"8", 8}} {
		b.Run(c.name, func(b *testing.B) {
			j, _ := open(b, b.TempDir(), Options{})
			p := make([]byte, 4096)
			// Once round, so that segments are recycled ones.
			for i := 0; i < 80<<20; i += 1 << 20 {
				if _, err := j.Append(1, make([]byte, 1<<20-100)); err != nil {
					b.Fatal(err)
				}
			}
			if err := j.Checkpoint(j.End()); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(4096)
			b.SetParallelism(c.waiters)
			b.ResetTimer()
			if c.waiters == 1 {
				for b.Loop() {
					appendSync(b, j, p)
				}
				return
			}
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					appendSync(b, j, p)
				}
			})
		})
	}
}

func appendSync(b *testing.B, j *Journal, p []byte) {
	ref, err := j.Append(64, p)
	if err == nil {
		err = j.Sync(context.Background(), ref.LSN)
	}
	if err != nil {
		b.Fatal(err)
	}
}

func BenchmarkExt4(b *testing.B) {
	for _, name := range []string{"grow", "overwrite"} {
		b.Run(name, func(b *testing.B) {
			f, err := os.Create(filepath.Join(b.TempDir(), "f"))
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close() //nolint:errcheck // a benchmark's file
			p := make([]byte, 4096)
			var off atomic.Int64
			if name == "overwrite" {
				if _, err := f.Write(make([]byte, 64<<20)); err != nil || f.Sync() != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(4096)
			for b.Loop() {
				_, err := f.WriteAt(p, off.Add(4096)%(64<<20))
				if err == nil {
					err = f.Sync()
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppend(b *testing.B) {
	j, _ := open(b, b.TempDir(), Options{})
	p := make([]byte, 300)
	for b.Loop() {
		if _, err := j.Append(1, p); err != nil {
			b.Fatal(err)
		}
		if j.End()%(32<<20) < 344 {
			if err := j.Checkpoint(j.End()); err != nil {
				b.Fatal(err)
			}
		}
	}
}
