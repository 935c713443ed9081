package engine

import (
	"fmt"
	"testing"
)

// BenchmarkUpload stores one large file on six leases in memory.
func BenchmarkUpload(b *testing.B) {
	const size = 128 << 20
	b.SetBytes(size)
	for i := range b.N {
		b.StopTimer()
		w := newWorld(b, 6)
		h := w.home(b.TempDir(), 1)
		h.mkroot()
		h.start()
		data := noise(uint64(i), size)
		f := h.create("f")
		b.StartTimer()
		h.write(f, data)
		h.sync()
		b.StopTimer()
		h.close()
	}
}

// BenchmarkSmallFiles stores 2,000 files of 4 KiB on six leases in memory.
func BenchmarkSmallFiles(b *testing.B) {
	for i := range b.N {
		b.StopTimer()
		w := newWorld(b, 6)
		h := w.home(b.TempDir(), 1)
		h.mkroot()
		h.start()
		b.StartTimer()
		for n := range 2000 {
			h.write(h.create(fmt.Sprint("f", n)), noise(uint64(i*2000+n), 4096))
		}
		h.sync()
		b.StopTimer()
		h.close()
	}
}
