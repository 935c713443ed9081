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
func written(t *testing.T) *Writer {
	t.Helper()
	w := NewWriter(filepath.Join(t.TempDir(), "w"), 1, 42)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	for w.Ops() < 30 {
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
	return w
}

func TestHonestDiskPasses(t *testing.T) {
	w := written(t)
	must(t, w.Snapshot().Check())
	must(t, w.Adopt())
	must(t, w.Snapshot().Check())
}

// TestOracleSeesLoss: each kind of loss on the disk must be told, at once and after the folder was adopted.
func TestOracleSeesLoss(t *testing.T) {
	for want, harm := range map[string]func(path string, other []byte) error{
		"is gone":               func(path string, _ []byte) error { return os.Remove(path) },
		"were acknowledged":     func(path string, _ []byte) error { return os.Truncate(path, 64) },
		"are possible":          grow,
		"none that a write":     func(path string, _ []byte) error { return os.Truncate(path, 65) },
		"shows the bytes of":    func(path string, other []byte) error { return os.WriteFile(path, other, 0o644) },
		"torn or damaged":       func(path string, _ []byte) error { return edit(path, func(b []byte) { b[30] ^= 1 }) },
		"of block 0":            func(path string, _ []byte) error { return edit(path, func(b []byte) { copy(b[64:], b[:64]) }) },
		"holds version 0":       func(path string, _ []byte) error { return edit(path, func(b []byte) { clear(b[:64]) }) },
		"nobody made this name": func(path string, other []byte) error { return os.WriteFile(path+"x", other, 0o644) },
	} {
		for _, adopted := range []bool{false, true} {
			w := written(t)
			if adopted {
				must(t, w.Snapshot().Check())
				must(t, w.Adopt())
			}
			path, size := victim(t, w)
			must(t, harm(path, blocks(1<<60, 1, 0, size)))
			wants(t, w.Snapshot(), want)
		}
	}
}

// TestOracleSeesUndoneRemoval: an acknowledged unlink or truncation must stay.
func TestOracleSeesUndoneRemoval(t *testing.T) {
	w, f := single(t, 10)
	old, err := os.ReadFile(filepath.Join(w.dir, "file"))
	must(t, err)
	f.cut(3)
	must(t, os.Truncate(filepath.Join(w.dir, "file"), 3*blockSize))
	must(t, w.Snapshot().Check())
	before := w.Snapshot()
	f.synced()
	must(t, os.WriteFile(filepath.Join(w.dir, "file"), old, 0o644))
	must(t, before.Check()) // not acknowledged by then
	wants(t, w.Snapshot(), "are possible")
	f.gone, f.goneAck = true, true
	wants(t, w.Snapshot(), "its removal was acknowledged")
}

// TestPowerCutStates: a disk that is cut off between a snapshot and the writer's end may show any state from the one to the other, and none before or behind.
func TestPowerCutStates(t *testing.T) {
	w, f := single(t, 10)
	path := filepath.Join(w.dir, "file")
	put := func(version uint64) {
		must(t, os.WriteFile(path, blocks(f.id, version, 0, 10), 0o644))
	}
	f.wrote(0, 10)
	f.synced() // version 2 is acknowledged
	before := w.Snapshot()
	f.wrote(0, 10)
	f.synced() // version 3 is, after the snapshot
	for version, ok := range []bool{1: false, 2: true, 3: true, 4: false} {
		if version == 0 {
			continue
		}
		put(uint64(version))
		if err := before.Check(); (err == nil) != ok {
			t.Errorf("version %d: %v", version, err)
		}
	}
	put(2)
	wants(t, w.Snapshot(), "version 3 was acknowledged")
	must(t, os.Remove(path))
	wants(t, before, "is gone")
}

// TestPowerCutReplaces: a name that was replaced since the snapshot shows any of the files that held it, each whole, and is never gone.
func TestPowerCutReplaces(t *testing.T) {
	w, first := single(t, 10)
	path := filepath.Join(w.dir, "file")
	before := w.Snapshot()
	e := w.names["file"]
	replace := func(id uint64) *file {
		f := newFile(id)
		f.wrote(0, 5)
		f.synced()
		f.base, f.named = f.acked, true
		e.past, e.now = append(e.past, e.now), f
		return f
	}
	second, third := replace(8), replace(9)
	for _, f := range []*file{first, second, third} {
		must(t, os.WriteFile(path, blocks(f.id, 1, 0, int64(len(f.written))), 0o644))
		must(t, before.Check())
		must(t, os.Truncate(path, 4*blockSize))
		wants(t, before, "were acknowledged")
	}
	must(t, os.WriteFile(path, blocks(second.id, 1, 0, 5), 0o644))
	wants(t, w.Snapshot(), "shows the bytes of file 8, not of 9")
	must(t, os.Remove(path))
	wants(t, before, "is gone")

	// While the rename is under way both are right, and later writes to the new file may be missing.
	e.past, e.now, e.next = nil, first, third
	before = w.Snapshot()
	e.past, e.now, e.next = []*file{first}, third, nil
	third.wrote(0, 5)
	third.synced()
	for _, f := range []*file{first, third} {
		must(t, os.WriteFile(path, blocks(f.id, 1, 0, int64(len(f.base.durable))), 0o644))
		must(t, before.Check())
	}
	must(t, os.WriteFile(path, blocks(third.id, 0, 0, 5), 0o644))
	wants(t, before, "version 1 was acknowledged")
}

// single is a writer with one acknowledged file of some blocks, "file".
func single(t *testing.T, n int64) (*Writer, *file) {
	t.Helper()
	w := NewWriter(t.TempDir(), 1, 1)
	f := newFile(7)
	f.wrote(0, n)
	f.synced()
	f.base, f.named = f.acked, true
	w.names["file"] = &entry{now: f}
	must(t, os.WriteFile(filepath.Join(w.dir, "file"), blocks(f.id, 1, 0, n), 0o644))
	return w, f
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wants(t *testing.T, s *State, text string) {
	t.Helper()
	if err := s.Check(); err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("the oracle should say %q, and says %v", text, err)
	}
}

// victim is a file whose contents and name were acknowledged.
func victim(t *testing.T, w *Writer) (string, int64) {
	t.Helper()
	for name, e := range w.names {
		if f := e.now; f.named && !f.gone && len(f.acked.durable) > 2 && len(f.acked.durable) == len(f.written) {
			return filepath.Join(w.dir, name), int64(len(f.written))
		}
	}
	t.Fatal("no acknowledged file")
	return "", 0
}

func edit(path string, fn func(b []byte)) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	fn(b)
	return os.WriteFile(path, b, 0o644)
}

func grow(path string, _ []byte) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, make([]byte, 64)...), 0o644)
}
