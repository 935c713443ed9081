//go:build linux

package soak

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/cloudcoin/cloudcoin/internal/bench/session"
)

// memoryLimit is the most resident memory that a drive may take.
const memoryLimit = 150 << 20

// TestSoakMemory writes many small files through the mount (SOAK_FILES, at least 200,000) and watches the memory of the drive; then it kills the drive
// and measures the time until it can be listed again. The long form only.
func TestSoakMemory(t *testing.T) {
	if newRounds(t, 0, 1, 1).end.IsZero() {
		t.Skip("only in the long form: set SOAK_MINUTES")
	}
	files := 200_000
	if n, err := strconv.Atoi(os.Getenv("SOAK_FILES")); err == nil {
		files = n
	}
	d := session.New(bin, workDir(t))
	defer clearAway(t, d)
	if err := d.Start(timeout(t, time.Minute)); err != nil {
		t.Fatal(err)
	}
	took, err := session.Timed(func() error { return manyFiles(d.Mount, files) })
	if err != nil {
		t.Fatal(err)
	}
	peak := peakMemory(t, d)
	t.Logf("%d files written in %v, peak memory %d MiB", files, took.Round(time.Second), peak>>20)
	took, err = session.Timed(func() error {
		_, err := d.Run(timeout(t, 10*time.Minute), "sync", "--timeout", "10m")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	peak = max(peak, peakMemory(t, d))
	t.Logf("stored %v later, peak memory %d MiB", took.Round(time.Second), peak>>20)
	index, err := dirSize(filepath.Join(d.Home, "index"))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the index takes %d bytes for each file", index/int64(files))

	if err := d.Kill(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if err := d.Start(timeout(t, time.Minute)); err != nil {
		t.Fatal(err)
	}
	names, err := os.ReadDir(d.Mount)
	if err != nil || len(names) == 0 {
		t.Fatalf("the first listing after the kill: %d names, %v", len(names), err)
	}
	t.Logf("first listing %v after the start that followed a kill (six providers are started with it)", time.Since(start).Round(time.Millisecond))
	seen := 0
	if err := filepath.WalkDir(d.Mount, func(_ string, e os.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			seen++
			_, err = e.Info()
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if seen != files {
		t.Fatalf("%d files are listed after the kill, %d were stored", seen, files)
	}
	peak = max(peak, peakMemory(t, d))
	if err := d.Stop(); err != nil {
		t.Fatal(err)
	}
	if peak > memoryLimit {
		t.Fatalf("the drive took %d MiB, more than %d", peak>>20, memoryLimit>>20)
	}
}

// manyFiles writes small files of different sizes, 500 in each folder.
func manyFiles(dir string, files int) error {
	b := make([]byte, 2000)
	for i := range files {
		folder := filepath.Join(dir, strconv.Itoa(i/500))
		if i%500 == 0 {
			if err := os.Mkdir(folder, 0o755); err != nil {
				return err
			}
		}
		copy(b, fmt.Sprintf("file %d\n", i))
		if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("small-%d", i)), b[:10+i*37%1990], 0o644); err != nil {
			return err
		}
	}
	return nil
}

func peakMemory(t *testing.T, d *session.Drive) int64 {
	t.Helper()
	n, err := d.PeakMemory()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func dirSize(dir string) (n int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		i, err := e.Info()
		if err == nil {
			n += i.Size()
		}
		return err
	})
	return n, err
}
