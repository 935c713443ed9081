package stage

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/cloudcoin/cloudcoin/sync/journal"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

var bg = context.Background()

// rig is a home with a journal and a stage.
type rig struct {
	t    testing.TB
	home string
	boot string
	seg  int64 // size of the journal's segments; 0: 1 MiB
	opt  Options
	hook func(*Stage) // before anything happens
	j    *journal.Journal
	s    *Stage
}

func newRig(t testing.TB, opt Options) *rig {
	return newRigWith(t, opt, 0)
}

func newRigWith(t testing.TB, opt Options, seg int64) *rig {
	r := &rig{t: t, home: t.TempDir(), boot: "boot-1", opt: opt, seg: seg}
	r.open()
	t.Cleanup(func() {
		if r.s != nil {
			r.close()
		}
	})
	return r
}

type failer interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func must(t failer, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (r *rig) open() {
	r.t.Helper()
	var err error
	r.j, err = journal.Open(filepath.Join(r.home, "journal"), journal.Options{BootID: r.boot, SegmentSize: max(r.seg, 1<<20)})
	must(r.t, err)
	r.s, err = Open(filepath.Join(r.home, "stage"), r.j, r.opt)
	must(r.t, err)
	if r.hook != nil {
		r.hook(r.s)
	}
	must(r.t, r.j.Replay(func(rec journal.Record) error {
		if rec.Kind < journal.FirstStageKind {
			return nil
		}
		return r.s.ReplayRecord(rec)
	}))
	must(r.t, r.s.Ready(func(model.Ino) bool { return true }))
}

func (r *rig) close() {
	r.t.Helper()
	must(r.t, r.s.Close())
	must(r.t, r.j.Close())
	r.s, r.j = nil, nil
}

func (r *rig) reopen() {
	r.t.Helper()
	r.close()
	r.open()
}

func (r *rig) checkpoint() {
	r.t.Helper()
	lsn := r.j.End()
	must(r.t, r.s.SyncLayers(bg))
	must(r.t, r.s.Checkpoint())
	must(r.t, r.j.Checkpoint(lsn))
}

// crash abandons the stage as a SIGKILL does, and opens a copy of its folder.
func (r *rig) crash() {
	r.t.Helper()
	to := r.t.TempDir()
	r.halt() // what a copy sees must be of one moment
	must(r.t, copyTree(r.home, to))
	r.abandon()
	r.home = to
	r.open()
}

// abandon closes the handles of a stage that nobody will look at again.
func (r *rig) abandon() {
	r.halt()
	_ = r.s.db.Close()
	_ = r.s.cache.close()
	_ = r.j.Close()
}

// halt stops what runs in the background.
func (r *rig) halt() {
	if r.s.ready.Swap(false) {
		close(r.s.quit)
		r.s.done.Wait()
	}
}

func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		}
		return copySparse(path, filepath.Join(to, rel))
	})
}

// copySparse copies a file and keeps its holes.
func copySparse(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	st, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	if err := out.Truncate(st.Size()); err != nil {
		return err
	}
	buf := make([]byte, 64<<10)
	for off := int64(0); off < st.Size(); {
		n, err := in.ReadAt(buf, off)
		if n > 0 && !allZero(buf[:n]) {
			if _, err := out.WriteAt(buf[:n], off); err != nil {
				return err
			}
		}
		if err != nil && err != io.EOF {
			return err
		}
		off += int64(len(buf))
	}
	return nil
}

func allZero(b []byte) bool {
	return len(bytes.TrimLeft(b, "\x00")) == 0
}

// memBase is a base in memory; whole zero blocks are holes.
type memBase struct {
	b     []byte
	reads int
	err   error
}

func (m *memBase) ReadAt(_ context.Context, p []byte, off int64) error {
	m.reads++
	if m.err != nil {
		return m.err
	}
	clear(p)
	if off < int64(len(m.b)) {
		copy(p, m.b[off:])
	}
	return nil
}

func (m *memBase) next(off int64, want bool) (int64, error) {
	for b := off; b < int64(len(m.b)); b = blockFloor(b) + BlockSize {
		from := blockFloor(b)
		if !allZero(m.b[from:min(from+BlockSize, int64(len(m.b)))]) == want {
			return b, nil
		}
	}
	return 0, syscall.ENXIO
}

func (m *memBase) NextData(off int64) (int64, error) { return m.next(off, true) }

func (m *memBase) NextHole(off int64) (int64, error) {
	if h, err := m.next(off, false); err == nil {
		return h, nil
	}
	if off < int64(len(m.b)) {
		return int64(len(m.b)), nil
	}
	return 0, syscall.ENXIO
}

func (r *rig) file(ino model.Ino, base Base, size int64) *File {
	r.t.Helper()
	f, err := r.s.Open(ino, base, size)
	must(r.t, err)
	return f
}

func readAll(t failer, f *File) []byte {
	t.Helper()
	b := make([]byte, f.Size()+10)
	n, err := f.ReadAt(bg, b, 0)
	must(t, err)
	if int64(n) != f.Size() {
		t.Fatalf("read %d of %d bytes", n, f.Size())
	}
	return b[:n]
}

func pattern(seed byte, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = seed + byte(i*7+i>>8) | 1
	}
	return b
}

func wantBytes(t testing.TB, f *File, want []byte) {
	t.Helper()
	if got := readAll(t, f); !bytes.Equal(got, want) {
		for i := range want {
			if i >= len(got) || got[i] != want[i] {
				t.Fatalf("content differs: %d bytes, want %d; first difference at %d", len(got), len(want), i)
			}
		}
		t.Fatalf("content is %d bytes, want %d", len(got), len(want))
	}
}

func TestSmallAndLarge(t *testing.T) {
	for _, size := range []int{1, 100, 4096, InlineLimit, InlineLimit + 1, 300_000} {
		r := newRig(t, Options{})
		f := r.file(7, nil, 0)
		want := pattern(3, size)
		must(t, f.WriteAt(bg, want[:size/2], 0))
		must(t, f.WriteAt(bg, want[size/2:], int64(size/2)))
		f.SetAttr(11, 12)
		wantBytes(t, f, want)
		must(t, f.Sync(bg))
		must(t, f.Close())
		r.crash()
		f = r.file(7, nil, 0)
		wantBytes(t, f, want)
		if _, m, c := f.Attr(); m != 11 || c != 12 {
			t.Errorf("times are %d, %d", m, c)
		}
		must(t, f.Close())
		r.checkpoint()
		r.reopen()
		f = r.file(7, nil, 0)
		wantBytes(t, f, want)
		must(t, f.Close())
		r.boot = "boot-2"
		r.reopen()
		f = r.file(7, nil, 0)
		wantBytes(t, f, want)
		if u := r.s.Usage(); u.Dirty < int64(size) || u.Cached != 0 {
			t.Errorf("usage %+v", u)
		}
		must(t, f.Close())
		must(t, r.s.Drop(7))
		if u := r.s.Usage(); u.Dirty != 0 || u.Cached != 0 {
			t.Errorf("usage after drop %+v", u)
		}
	}
}

func TestOverBase(t *testing.T) {
	for _, size := range []int{10_000, InlineLimit, 1 << 20} {
		r := newRig(t, Options{})
		base := &memBase{b: pattern(9, size)}
		want := bytes.Clone(base.b)
		f := r.file(5, base, int64(size))
		wantBytes(t, f, want)
		reads := base.reads
		wantBytes(t, f, want)
		if base.reads != reads {
			t.Error("what was fetched is fetched again")
		}
		copy(want[5000:], "hello")
		must(t, f.WriteAt(bg, []byte("hello"), 5000))
		wantBytes(t, f, want)
		must(t, f.Truncate(bg, 9001))
		must(t, f.Truncate(bg, 20000))
		want = append(want[:9001:9001], make([]byte, 20000-9001)...)
		wantBytes(t, f, want)
		v, err := f.Freeze()
		must(t, err)
		snap, err := r.s.Snapshot(5, v, base)
		must(t, err)
		must(t, f.WriteAt(bg, pattern(1, 20000), 0))
		got := make([]byte, snap.Size())
		_, err = snap.ReadAt(bg, got, 0)
		must(t, err)
		if !bytes.Equal(got, want) {
			t.Error("the snapshot changed")
		}
		must(t, snap.Close())
		if err := r.s.Stored(5, v); err != nil {
			t.Fatal(err)
		}
		_, err = r.s.Snapshot(5, v, base)
		if !errors.Is(err, ErrNoVersion) {
			t.Errorf("snapshot of a stored version: %v", err)
		}
		wantBytes(t, f, pattern(1, 20000))
		must(t, f.Close())
	}
}
