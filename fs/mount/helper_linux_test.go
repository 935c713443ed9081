package mount_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/cloudcoin/cloudcoin/fs/mount"
	"github.com/cloudcoin/cloudcoin/fs/mount/posixtest"
	"github.com/cloudcoin/cloudcoin/fs/stage"
	"github.com/cloudcoin/cloudcoin/fs/vfs"
	"github.com/cloudcoin/cloudcoin/sync/index"
	"github.com/cloudcoin/cloudcoin/sync/journal"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

func TestMain(m *testing.M) {
	posixtest.Main()
	if job := os.Getenv(killedEnv); job != "" {
		serveChild(job)
		return
	}
	os.Exit(m.Run())
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// nothingStored is the remote of a drive that has uploaded nothing: all that no layer has are holes.
type nothingStored struct{}

func (nothingStored) Base(model.Ino, model.Rev) stage.Base { return holes{} }

type holes struct{}

func (holes) ReadAt(_ context.Context, p []byte, _ int64) error {
	clear(p)
	return nil
}
func (holes) NextData(int64) (int64, error)     { return vfs.MaxFileSize, nil }
func (holes) NextHole(off int64) (int64, error) { return off, nil }

// drive is a tree over a real journal, index and stage in a folder.
type drive struct {
	t  testing.TB
	j  *journal.Journal
	x  *index.Index
	st *stage.Stage
	fs *vfs.FS

	mu      sync.Mutex
	reports []string
}

func (d *drive) report(s string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reports = append(d.reports, s)
}

// takeReports gives what was reported, and forgets it.
func (d *drive) takeReports() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	r := d.reports
	d.reports = nil
	return r
}

// logWriter shows log lines with the test that they belong to.
type logWriter struct{ t testing.TB }

func (w logWriter) Write(p []byte) (int, error) {
	w.t.Logf("%s", bytes.TrimRight(p, "\n"))
	return len(p), nil
}

func testLogger(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(logWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// openDrive opens the drive that lies in dir, a new one if there is none.
func openDrive(t testing.TB, dir string) *drive {
	t.Helper()
	return openDriveOn(t, dir, nothingStored{})
}

func openDriveOn(t testing.TB, dir string, remote vfs.Remote) *drive {
	t.Helper()
	log := testLogger(t)
	d := &drive{t: t}
	var err error
	d.j, err = journal.Open(filepath.Join(dir, "journal"), journal.Options{Logger: log})
	check(t, err)
	d.x, err = index.Open(filepath.Join(dir, "index"), d.j, index.Options{
		HashKey: [32]byte{1}, DevicePart: 7, Clock: time.Now, Logger: log, Network: "local",
	})
	check(t, err)
	d.st, err = stage.Open(filepath.Join(dir, "stage"), d.j, stage.Options{Clock: time.Now, Logger: log})
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
	d.fs, err = vfs.New(vfs.Config{Index: d.x, Stage: d.st, Remote: remote, Clock: time.Now, Logger: log, Report: d.report})
	check(t, err)
	return d
}

func (d *drive) close() {
	d.t.Helper()
	check(d.t, d.fs.Close(context.Background()))
	check(d.t, d.st.Close())
	check(d.t, d.x.Close())
	check(d.t, d.j.Close())
	if r := d.takeReports(); len(r) > 0 {
		d.t.Errorf("reported: %q", r)
	}
}

// mounted mounts a new drive for the time of a test.
func mounted(t testing.TB, a mount.Adapter) (*drive, *mount.Mounted) {
	t.Helper()
	d := openDrive(t, t.TempDir())
	m := mountDrive(t, d, posixtest.OpenDir(t), mount.Options{Adapter: a, AllowOther: true})
	t.Cleanup(func() {
		check(t, m.Unmount(context.Background()))
		d.close()
	})
	return d, m
}

func mountDrive(t testing.TB, d *drive, dir string, opt mount.Options) *mount.Mounted {
	t.Helper()
	opt.Logger, opt.Report = testLogger(t), d.report
	m, err := mount.Mount(context.Background(), dir, d.fs, opt)
	check(t, err)
	return m
}
