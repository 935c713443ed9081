package vfs_test

import (
	"strings"
	"testing"
	"time"

	"github.com/cloudcoin/cloudcoin/fs/vfs"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// TestKilledWhileWriting: the record of a file that is being written names a version that the stage knows after a kill, too, so that it can be uploaded.
func TestKilledWhileWriting(t *testing.T) {
	d := newDrive(t, nil)
	e, fh, _, errno := d.fs.Create(bg, vfs.Caller{}, vfs.RootNode, "f", vfs.OpenReadWrite, 0o644)
	ok(t, errno)
	half := strings.Repeat("large", 40_000)
	for i := range 2 {
		_, errno = d.fs.Write(bg, vfs.Caller{}, e.Node, fh, []byte(half), int64(i*len(half)), vfs.WriteFlags{})
		ok(t, errno)
		d.clock.advance(2 * time.Second) // the second write writes the record
	}
	d.crash()
	d.upload("/f")
	rec, err := d.x.Now().Inode(model.Ino(d.stat("/f").Ino))
	check(t, err)
	if rec.Content.Kind != model.ContentStored || rec.Size != int64(2*len(half)) {
		t.Fatalf("%+v", rec)
	}
}

// TestFsyncOfAnotherDescriptor: fsync makes durable what a descriptor wrote that is closed by then.
func TestFsyncOfAnotherDescriptor(t *testing.T) {
	d := newDrive(t, nil)
	d.write("/f", strings.Repeat("large", 200_000))
	n, errno := d.node("/f")
	ok(t, errno)
	unsynced := func() bool {
		f, err := d.st.Open(model.Ino(n), nil, 0)
		check(t, err)
		defer f.Close()
		return f.Unsynced()
	}
	if !unsynced() {
		t.Fatal("synced without fsync: the test shows nothing")
	}
	fh, _, errno := d.fs.Open(bg, vfs.Caller{}, n, vfs.OpenReadOnly)
	ok(t, errno)
	ok(t, d.fs.Fsync(bg, n, fh, false))
	d.fs.Release(n, fh)
	if unsynced() {
		t.Fatal("fsync left the content to the page cache")
	}
}

// TestRenameOfShortened: the content of a file that was large once lies beside the journal, and is synced before it replaces another.
func TestRenameOfShortened(t *testing.T) {
	d := newDrive(t, nil)
	d.write("/old", "old")
	d.write("/f", strings.Repeat("large", 200_000))
	run(t, d, `
		truncate /f 5
		rename /f /old`)
	f, err := d.st.Open(model.Ino(d.stat("/old").Ino), nil, 0)
	check(t, err)
	defer f.Close()
	if f.Unsynced() {
		t.Fatal("a power cut would leave neither the old content nor the new one")
	}
}
