package shardstore

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestStartRemovesInterruptedWrites(t *testing.T) {
	f := newFolder(t)
	put(t, f, leaseA, shardID(1), []byte("kept"))
	w, err := f.Create(leaseA, shardID(2))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("cut off")); err != nil {
		t.Fatal(err)
	}
	again, err := OpenFolder(f.dir) // as after a kill
	if err != nil {
		t.Fatal(err)
	}
	if left, err := readNames(filepath.Join(f.dir, "tmp")); err != nil || len(left) != 0 {
		t.Fatalf("left behind: %v, %v", left, err)
	}
	if got := get(t, again, leaseA, shardID(1)); string(got) != "kept" {
		t.Fatalf("got %q", got)
	}
	if _, err := again.Stat(leaseA, shardID(2)); !errors.Is(err, ErrNotFound) {
		t.Fatal(err)
	}
	if err := w.Commit(); err == nil {
		t.Fatal("a shard was committed without its bytes")
	}
}

func TestOpenFolderNeedsMark(t *testing.T) {
	dir := t.TempDir()
	if _, err := OpenFolder(dir); !errors.Is(err, ErrNoStore) {
		t.Fatalf("an empty folder: %v", err)
	}
	if err := CreateFolder(dir); err != nil {
		t.Fatal(err)
	}
	if err := CreateFolder(dir); err != nil {
		t.Fatalf("twice: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, formatFile), []byte("cloudcoin shards v9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenFolder(dir); err == nil || errors.Is(err, ErrNoStore) {
		t.Fatalf("another format: %v", err)
	}
}

func TestDamagedSlot(t *testing.T) {
	f := newFolder(t)
	if err := f.PutSlot(leaseA, "head", []byte("value")); err != nil {
		t.Fatal(err)
	}
	path := f.slotPath(leaseA, "head")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(good)
	flipped[2] ^= 1
	for _, bad := range [][]byte{nil, good[:3], good[:len(good)-1], flipped, append(bytes.Clone(good), 0), make([]byte, MaxSlot+100)} {
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if v, err := f.Slot(leaseA, "head"); !errors.Is(err, ErrDamaged) {
			t.Errorf("%d bytes: %q, %v", len(bad), v, err)
		}
	}
}

// TestListIgnoresStrangers: files that an operator or a file manager dropped into the folders are neither listed nor an error.
func TestListIgnoresStrangers(t *testing.T) {
	f := newFolder(t)
	put(t, f, leaseA, shardID(1), []byte("1"))
	id := shardID(1)
	dir := filepath.Dir(f.shardPath(leaseA, id))
	for _, name := range []string{".DS_Store", id.String()[:63], id.String() + "0"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(f.dir, "shards", "lost+found"), 0o700); err != nil {
		t.Fatal(err)
	}
	if l, err := f.List(leaseA, nil, 10); err != nil || len(l) != 1 {
		t.Fatalf("%v, %v", l, err)
	}
	if l, err := f.Leases(); err != nil || len(l) != 1 {
		t.Fatalf("%v, %v", l, err)
	}
}

// BenchmarkListPage lists pages of 1,000 out of a lease as large as one of 1,000,000 shards: a page touches one or two of its 256 subfolders, so only
// eight of them are filled, with 3,906 shards each. A target is 50 ms a page.
func BenchmarkListPage(b *testing.B) {
	f := newFolder(b)
	const subs, each = 8, 3906
	for i := range subs * each { // written without fsync, since only listing is measured
		id := shardID(i)
		id[0] = byte(i % subs)
		path := f.shardPath(leaseA, id)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	for i := range b.N {
		after := shardID(i)
		after[0] = byte(i % (subs - 1))
		if page, err := f.List(leaseA, &after, 1000); err != nil || len(page) != 1000 {
			b.Fatal(len(page), err)
		}
	}
}
