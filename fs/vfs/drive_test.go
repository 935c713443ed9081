package vfs_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cloudcoin/cloudcoin/fs/stage"
	"github.com/cloudcoin/cloudcoin/fs/vfs"
	"github.com/cloudcoin/cloudcoin/sync/index"
	"github.com/cloudcoin/cloudcoin/sync/journal"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// clock is a wall clock that moves when it is told to, and a nanosecond at each look.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(time.Microsecond)
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// chunks plays the providers: contents by chunk id.
type chunks struct {
	mu sync.Mutex
	m  map[model.ChunkID][]byte
	x  *index.Index
}

func (s *chunks) Base(ino model.Ino, rev model.Rev) stage.Base { return &chunkBase{s, ino, rev} }

type chunkBase struct {
	s   *chunks
	ino model.Ino
	rev model.Rev
}

func (b *chunkBase) ReadAt(_ context.Context, p []byte, off int64) error {
	clear(p)
	b.s.mu.Lock()
	defer b.s.mu.Unlock()
	return b.s.x.At(b.rev).Extents(b.ino, off, int64(len(p)), func(e model.Extent) bool {
		if e.IsHole() {
			return true
		}
		data := b.s.m[e.Chunk][e.Skip : e.Skip+e.Len]
		if e.Off >= off {
			copy(p[e.Off-off:], data)
		} else {
			copy(p, data[off-e.Off:])
		}
		return true
	})
}

func (b *chunkBase) NextData(off int64) (int64, error) { return off, nil }
func (b *chunkBase) NextHole(int64) (int64, error)     { return vfs.MaxFileSize, nil }

// drive is a tree over a real index and stage in a folder.
type drive struct {
	t        testing.TB
	dir      string
	clock    *clock
	remote   *chunks
	j        *journal.Journal
	x        *index.Index
	st       *stage.Stage
	fs       *vfs.FS
	reports  []string
	setup    func(*vfs.Config)
	stageOpt func(*stage.Options)
}

func newDrive(t testing.TB, setup func(*vfs.Config)) *drive {
	d := &drive{
		t: t, dir: t.TempDir(), setup: setup,
		clock:  &clock{now: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)},
		remote: &chunks{m: map[model.ChunkID][]byte{}},
	}
	d.open()
	t.Cleanup(d.close)
	return d
}

func (d *drive) open() {
	t := d.t
	t.Helper()
	log := slog.New(slog.NewTextHandler(logWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	var err error
	d.j, err = journal.Open(filepath.Join(d.dir, "journal"), journal.Options{Logger: log, SegmentSize: 8 << 20})
	check(t, err)
	d.x, err = index.Open(filepath.Join(d.dir, "index"), d.j, index.Options{
		HashKey: [32]byte{1}, DevicePart: 7, Clock: d.clock.Now, Logger: log, Network: "local",
	})
	check(t, err)
	d.remote.x = d.x
	opt := stage.Options{
		Clock: d.clock.Now, Logger: log,
		Base: func(ino model.Ino) (stage.Base, error) { return vfs.StoredBase(d.x, d.remote, ino) },
	}
	if d.stageOpt != nil {
		d.stageOpt(&opt)
	}
	d.st, err = stage.Open(filepath.Join(d.dir, "stage"), d.j, opt)
	check(t, err)
	check(t, d.j.Replay(func(r journal.Record) error {
		if r.Kind < 64 {
			return d.x.ReplayRecord(r)
		}
		return d.st.ReplayRecord(r)
	}))
	check(t, d.x.Ready())
	check(t, d.st.Ready(func(ino model.Ino) bool {
		_, err := d.x.Now().Inode(ino)
		return !errors.Is(err, index.ErrNotFound)
	}))
	cfg := vfs.Config{
		Index: d.x, Stage: d.st, Remote: d.remote, Clock: d.clock.Now, Logger: log,
		Report: func(s string) { d.reports = append(d.reports, s) },
	}
	if d.setup != nil {
		d.setup(&cfg)
	}
	d.fs, err = vfs.New(cfg)
	check(t, err)
}

func (d *drive) close() {
	if d.fs == nil {
		return
	}
	d.t.Helper()
	check(d.t, d.fs.Close(context.Background()))
	d.fs = nil
	d.shut()
	if len(d.reports) > 0 {
		d.t.Errorf("reported: %s", d.reports)
	}
}

// shut closes what lies below the tree.
func (d *drive) shut() {
	check(d.t, d.st.Close())
	check(d.t, d.x.Close())
	check(d.t, d.j.Close())
}

// reopen ends everything in order and starts again.
func (d *drive) reopen() {
	d.t.Helper()
	d.close()
	d.open()
}

// crash starts again from a copy of the files as they are now, as after a SIGKILL.
func (d *drive) crash() {
	d.t.Helper()
	to := d.t.TempDir()
	check(d.t, copyTree(d.dir, to))
	d.fs = nil
	d.shut()
	d.dir = to
	d.open()
}

func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(p string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		q := filepath.Join(to, strings.TrimPrefix(p, from))
		if e.IsDir() {
			return os.MkdirAll(q, 0o700)
		}
		in, err := os.Open(p)
		if err != nil {
			return err
		}
		defer in.Close()
		out, err := os.Create(q)
		if err != nil {
			return err
		}
		_, err = io.Copy(out, in)
		return errors.Join(err, out.Close())
	})
}

// upload stores the content of a path as the engine would.
func (d *drive) upload(path string) {
	d.t.Helper()
	ino := d.stat(path).Ino
	ready, err := d.fs.Freeze(context.Background(), model.Ino(ino), true)
	check(d.t, err)
	if !ready {
		d.t.Fatalf("%s has nothing to upload", path)
	}
	d.uploadAll()
}

// uploadAll stores every settled content, oldest first.
func (d *drive) uploadAll() {
	d.t.Helper()
	type job struct {
		ino     model.Ino
		rev     model.Rev
		version uint64
	}
	var jobs []job
	check(d.t, d.x.Staged(func(ino model.Ino, rev model.Rev, version uint64) bool {
		jobs = append(jobs, job{ino, rev, version})
		return true
	}))
	for _, j := range jobs {
		rec, err := d.x.At(j.rev).Inode(j.ino)
		if errors.Is(err, index.ErrNotFound) || err == nil && (rec.Rev != j.rev || !rec.Content.Settled || rec.Content.Kind != model.ContentStaged) {
			continue // not frozen, or stored with an earlier one
		}
		check(d.t, err)
		snap, err := d.st.Snapshot(j.ino, j.version, vfs.BaseAt(d.remote, j.ino, rec.Content.Rev))
		check(d.t, err)
		data := make([]byte, snap.Size())
		if n, err := snap.ReadAt(context.Background(), data, 0); n != len(data) {
			d.t.Fatalf("snapshot read %d of %d: %v", n, len(data), err)
		}
		check(d.t, snap.Close())
		check(d.t, d.fs.Content(j.ino, func() error { return d.store(j.ino, j.version, rec.Content.Rev, data) }))
	}
}

// store writes into the index that a version is stored as one chunk, and tells the stage.
func (d *drive) store(ino model.Ino, version uint64, base model.Rev, data []byte) error {
	var same, later []model.Inode
	err := d.x.InodeRevs(ino, func(n model.Inode) bool {
		switch {
		case n.Content.Kind != model.ContentStaged:
		case n.Content.Version == version:
			same = append(same, n)
		case n.Content.Version > version && n.Content.Rev == base:
			later = append(later, n)
		}
		return true
	})
	if err != nil || len(same) == 0 {
		return err
	}
	id := model.ChunkID(sha256.Sum256(data))
	d.remote.mu.Lock()
	d.remote.m[id] = data
	d.remote.mu.Unlock()
	b := d.x.Begin()
	b.Local()
	pack := model.Pack{ID: model.PackID(id[:16]), K: 1, M: 0, ShardLen: int64(len(data)) + 1, PlainLen: int64(len(data)), Shards: []model.Shard{{}}}
	if len(data) > 0 {
		b.PutPack(&pack)
		b.PutChunk(model.Chunk{ID: id, Len: int64(len(data)), Pack: pack.ID})
		b.PutExtents(ino, []model.Extent{{Off: 0, Len: int64(len(data)), Chunk: id}})
	}
	b.TruncateExtents(ino, int64(len(data)))
	at, err := b.Commit()
	if err != nil {
		return err
	}
	b = d.x.Begin()
	for _, n := range same {
		b.SetContent(ino, n.Rev, model.Content{Kind: model.ContentStored, Version: version, Rev: at})
	}
	for _, n := range later {
		c := n.Content
		c.Rev = at
		b.SetContent(ino, n.Rev, c)
	}
	if _, err := b.Commit(); err != nil {
		return err
	}
	return d.st.Stored(ino, version)
}

// evict drops the cached content of a path.
func (d *drive) evict(path string) {
	d.t.Helper()
	_, _, err := d.st.EvictFile(model.Ino(d.stat(path).Ino))
	check(d.t, err)
}

type logWriter struct{ t testing.TB }

func (w logWriter) Write(p []byte) (int, error) {
	w.t.Logf("%s", strings.TrimSpace(string(p)))
	return len(p), nil
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func ok(t testing.TB, errno syscall.Errno) {
	t.Helper()
	if errno != 0 {
		t.Fatalf("%s (%d)", errno, int(errno))
	}
}

var bg = context.Background()

// parent finds the folder of a path, following names only.
func (d *drive) parent(path string) (vfs.NodeID, string, syscall.Errno) {
	dir, name := filepath.Split(strings.TrimSuffix(path, "/"))
	n, errno := d.node(dir)
	return n, name, errno
}

func (d *drive) node(path string) (vfs.NodeID, syscall.Errno) {
	n := vfs.RootNode
	for _, name := range strings.Split(path, "/") {
		if name == "" {
			continue
		}
		e, errno := d.fs.Lookup(bg, vfs.Caller{}, n, name)
		if errno != 0 {
			return 0, errno
		}
		n = e.Node
	}
	return n, 0
}

func (d *drive) stat(path string) vfs.Attr {
	d.t.Helper()
	n, errno := d.node(path)
	ok(d.t, errno)
	a, errno := d.fs.GetAttr(bg, vfs.Caller{}, n, 0)
	ok(d.t, errno)
	return a
}

// write makes a file with a content, replacing what it had.
func (d *drive) write(path, content string) {
	d.t.Helper()
	ok(d.t, d.tryWrite(path, content))
}

func (d *drive) tryWrite(path, content string) syscall.Errno {
	p, name, errno := d.parent(path)
	if errno != 0 {
		return errno
	}
	e, fh, _, errno := d.fs.Create(bg, vfs.Caller{}, p, name, vfs.OpenReadWrite|vfs.OpenTrunc, 0o644)
	if errno != 0 {
		return errno
	}
	defer d.fs.Release(e.Node, fh)
	if content != "" {
		if _, errno = d.fs.Write(bg, vfs.Caller{}, e.Node, fh, []byte(content), 0, vfs.WriteFlags{}); errno != 0 {
			return errno
		}
	}
	return d.fs.Flush(bg, e.Node, fh)
}

func (d *drive) read(path string) string {
	d.t.Helper()
	s, errno := d.tryRead(path)
	if errno != 0 {
		d.t.Fatalf("read %s: %s", path, errno)
	}
	return s
}

func (d *drive) tryRead(path string) (string, syscall.Errno) {
	n, errno := d.node(path)
	if errno != 0 {
		return "", errno
	}
	fh, _, errno := d.fs.Open(bg, vfs.Caller{}, n, vfs.OpenReadOnly)
	if errno != 0 {
		return "", errno
	}
	defer d.fs.Release(n, fh)
	a, errno := d.fs.GetAttr(bg, vfs.Caller{}, n, fh)
	if errno != 0 {
		return "", errno
	}
	p := make([]byte, a.Size+10)
	got, errno := d.fs.Read(bg, n, fh, p, 0)
	return string(p[:got]), errno
}
