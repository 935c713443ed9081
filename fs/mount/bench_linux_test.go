package mount_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cloudcoin/cloudcoin/fs/mount"
)

// places runs a benchmark on the local filesystem and on the mount by each adapter.
func places(b *testing.B, run func(b *testing.B, dir string)) {
	b.Run("local", func(b *testing.B) { run(b, b.TempDir()) })
	for _, a := range []mount.Adapter{mount.GoFuse, mount.Bazil} {
		b.Run(string(a), func(b *testing.B) {
			_, m := mounted(b, a)
			run(b, m.Dir())
		})
	}
}

func makeEmpty(b *testing.B, dir string, n int) {
	check(b, os.Mkdir(dir, 0o755))
	for i := range n {
		fd, err := unix.Open(fmt.Sprintf("%s/file%06d", dir, i), unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o644)
		check(b, err)
		check(b, unix.Close(fd))
	}
}

func BenchmarkCreate(b *testing.B) {
	places(b, func(b *testing.B, dir string) {
		b.ResetTimer()
		makeEmpty(b, filepath.Join(dir, "d"), b.N)
	})
}

func BenchmarkUnlink(b *testing.B) {
	places(b, func(b *testing.B, dir string) {
		makeEmpty(b, filepath.Join(dir, "d"), b.N)
		b.ResetTimer()
		check(b, os.RemoveAll(filepath.Join(dir, "d")))
	})
}

// listings runs a program over 10,000 files whose inodes the kernel has forgotten.
func listings(b *testing.B, args ...string) {
	places(b, func(b *testing.B, dir string) {
		d := filepath.Join(dir, "d")
		makeEmpty(b, d, 10_000)
		b.ResetTimer()
		for range b.N {
			b.StopTimer()
			check(b, os.WriteFile("/proc/sys/vm/drop_caches", []byte("2"), 0))
			b.StartTimer()
			check(b, exec.Command(args[0], append(args[1:], d)...).Run())
		}
	})
}

func BenchmarkLsLong(b *testing.B) { listings(b, "ls", "-l") }

func BenchmarkFindStat(b *testing.B) {
	places(b, func(b *testing.B, dir string) {
		d := filepath.Join(dir, "d")
		makeEmpty(b, d, 10_000)
		b.ResetTimer()
		for range b.N {
			b.StopTimer()
			check(b, os.WriteFile("/proc/sys/vm/drop_caches", []byte("2"), 0))
			b.StartTimer()
			check(b, exec.Command("find", d, "-size", "+1").Run())
		}
	})
}

const large = 256 << 20

func BenchmarkRandomWrites(b *testing.B) {
	places(b, func(b *testing.B, dir string) {
		fd, err := unix.Open(filepath.Join(dir, "f"), unix.O_CREAT|unix.O_RDWR|unix.O_CLOEXEC, 0o644)
		check(b, err)
		defer unix.Close(fd)
		check(b, unix.Ftruncate(fd, large))
		buf, r := make([]byte, 4096), rand.New(rand.NewPCG(1, 1))
		b.ResetTimer()
		for range b.N {
			_, err := unix.Pwrite(fd, buf, r.Int64N(large/4096)*4096)
			check(b, err)
		}
		check(b, unix.Fsync(fd))
	})
}

func BenchmarkFsync(b *testing.B) {
	places(b, func(b *testing.B, dir string) {
		fd, err := unix.Open(filepath.Join(dir, "f"), unix.O_CREAT|unix.O_RDWR|unix.O_CLOEXEC, 0o644)
		check(b, err)
		defer unix.Close(fd)
		buf := make([]byte, 4096)
		b.ResetTimer()
		for i := range b.N {
			_, err := unix.Pwrite(fd, buf, int64(i%1000)*4096)
			check(b, err)
			check(b, unix.Fsync(fd))
		}
	})
}

func BenchmarkSequential(b *testing.B) {
	places(b, func(b *testing.B, dir string) {
		buf := make([]byte, 1<<20)
		r := rand.NewChaCha8([32]byte{1})
		_, _ = r.Read(buf)
		open := func() int {
			fd, err := unix.Open(filepath.Join(dir, "f"), unix.O_CREAT|unix.O_RDWR|unix.O_CLOEXEC, 0o644)
			check(b, err)
			return fd
		}
		b.Run("write", func(b *testing.B) {
			b.SetBytes(large)
			for range b.N {
				fd := open()
				check(b, unix.Ftruncate(fd, 0))
				for i := range large / len(buf) {
					_, err := unix.Pwrite(fd, buf, int64(i*len(buf)))
					check(b, err)
				}
				check(b, unix.Fsync(fd))
				check(b, unix.Close(fd))
			}
		})
		b.Run("read", func(b *testing.B) {
			b.SetBytes(large)
			for range b.N {
				b.StopTimer()
				check(b, os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0))
				b.StartTimer()
				fd := open()
				for i := range large / len(buf) {
					_, err := unix.Pread(fd, buf, int64(i*len(buf)))
					check(b, err)
				}
				check(b, unix.Close(fd))
			}
		})
	})
}
