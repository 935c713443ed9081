package local

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"time"
)

const (
	block      = 4096
	randReads  = 8000
	randWrites = 65536
	syncWrites = 2 * time.Second
)

func megabytes(n int64, seconds float64) float64 { return float64(n) / 1e6 / seconds }

// fill is data that no layer below can compress or deduplicate.
func fill(seed uint64, p []byte) {
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	_, _ = r.Read(p) // never fails
}

func writeBig(b *bench) (float64, error) {
	buf := make([]byte, 1<<20)
	rnd := rand.NewChaCha8([32]byte{byte(b.seed), 1})
	f, err := os.Create(b.path("big"))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	_, _ = rnd.Read(buf)
	s, err := timed(func() error {
		for off := int64(0); off < b.size; off += int64(len(buf)) {
			// Eight changed bytes in each 4 KiB keep blocks apart without timing a generator.
			for i := 0; i < len(buf); i += block {
				buf[i]++
				buf[i+1] = byte(off >> 20)
			}
			if _, err := f.Write(buf); err != nil {
				return err
			}
		}
		return f.Sync()
	})
	return megabytes(b.size, s), err
}

func readBig(b *bench) (float64, error) {
	if err := dropCaches(); err != nil {
		return 0, err
	}
	f, err := os.Open(b.path("big"))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	buf := make([]byte, 1<<20)
	var n int64
	s, err := timed(func() error {
		for {
			m, err := f.Read(buf)
			n += int64(m)
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
		}
	})
	if err == nil && n != b.size {
		err = fmt.Errorf("read %d bytes of %d", n, b.size)
	}
	return megabytes(n, s), err
}

func randomReads(b *bench) (float64, error) {
	if err := dropCaches(); err != nil {
		return 0, err
	}
	f, err := os.Open(b.path("big"))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	r := rand.New(rand.NewPCG(b.seed, 2))
	buf := make([]byte, block)
	s, err := timed(func() error {
		for range randReads {
			if _, err := f.ReadAt(buf, r.Int64N(b.size/block)*block); err != nil {
				return err
			}
		}
		return nil
	})
	return randReads / s, err
}

func randomWrites(b *bench) (float64, error) {
	f, err := os.OpenFile(b.path("big"), os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	r := rand.New(rand.NewPCG(b.seed, 3))
	buf := make([]byte, block)
	fill(b.seed, buf)
	s, err := timed(func() error {
		for i := range randWrites {
			buf[0], buf[1] = byte(i), byte(i>>8)
			if _, err := f.WriteAt(buf, r.Int64N(b.size/block)*block); err != nil {
				return err
			}
		}
		return f.Sync()
	})
	return randWrites / s, err
}

func writeSync(b *bench) (float64, error) {
	f, err := os.Create(b.path("synced"))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	buf := make([]byte, block)
	fill(b.seed, buf)
	n := 0
	s, err := timed(func() error {
		for end := time.Now().Add(syncWrites); time.Now().Before(end); n++ {
			if _, err := f.Write(buf); err != nil {
				return err
			}
			if err := f.Sync(); err != nil {
				return err
			}
		}
		return nil
	})
	return float64(n) / s, err
}
