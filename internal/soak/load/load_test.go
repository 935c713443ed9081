//go:build linux

package load

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// written runs a writer on a plain folder for some operations.
func written(t *testing.T) (*Writer, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "w")
	w := NewWriter(dir, 1, 42)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	for w.Ops() < 60 {
		select {
		case err := <-done:
			t.Fatal(err)
		default:
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return w, dir
}

func TestHonestDiskPasses(t *testing.T) {
	w, _ := written(t)
	if err := w.Snapshot().Check(); err != nil {
		t.Fatal(err)
	}
	if err := w.Adopt(); err != nil {
		t.Fatal(err)
	}
	if err := w.Snapshot().Check(); err != nil {
		t.Fatal(err)
	}
}

// TestOracleSeesLoss: each kind of loss on the disk must be told.
func TestOracleSeesLoss(t *testing.T) {
	for name, harm := range map[string]func(path string, other []byte) error{
		"is gone":               func(path string, _ []byte) error { return os.Remove(path) },
		"acknowledged":          func(path string, _ []byte) error { return os.Truncate(path, 64) },
		"shows the bytes of":    func(path string, other []byte) error { return os.WriteFile(path, other, 0o644) },
		"torn or damaged":       func(path string, _ []byte) error { return flip(path) },
		"holds version 0":       func(path string, _ []byte) error { return zero(path) },
		"nobody made this name": func(path string, other []byte) error { return os.WriteFile(path+"x", other, 0o644) },
	} {
		w, _ := written(t)
		path, size := victim(t, w)
		f := &file{id: 1 << 60}
		if err := harm(path, blocks(f.id, 1, 0, size)); err != nil {
			t.Fatal(err)
		}
		if err := w.Snapshot().Check(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: the oracle says %v", name, err)
		}
	}
}

// victim is a file whose contents and name were acknowledged.
func victim(t *testing.T, w *Writer) (string, int64) {
	t.Helper()
	for name, f := range w.files {
		if f.named && !f.gone && len(f.durable) > 2 && len(f.durable) == len(f.written) && !strings.HasSuffix(name, either) {
			return filepath.Join(w.dir, name), int64(len(f.written))
		}
	}
	t.Fatal("no acknowledged file")
	return "", 0
}

func flip(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	b[30] ^= 1
	return os.WriteFile(path, b, 0o644)
}

func zero(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	clear(b[:64])
	return os.WriteFile(path, b, 0o644)
}
