package shardstore

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"

	"github.com/cloudcoin/cloudcoin/provider/ids"
)

func TestFolderConforms(t *testing.T) { conform(t, func(t *testing.T) Store { return newFolder(t) }) }
func TestMemoryConforms(t *testing.T) { conform(t, func(*testing.T) Store { return NewMemory() }) }

func newFolder(t testing.TB) *Folder {
	t.Helper()
	dir := t.TempDir()
	if err := CreateFolder(dir); err != nil {
		t.Fatal(err)
	}
	f, err := OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

var leaseA, leaseB = ids.Lease{0xa}, ids.Lease{0xb}

func shardID(i int) ids.Shard {
	return sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i)))
}

func put(t testing.TB, s Store, lease ids.Lease, id ids.Shard, body []byte) {
	t.Helper()
	w, err := s.Create(lease, id)
	if err != nil {
		t.Fatal(err)
	}
	for len(body) > 0 {
		n, err := w.Write(body[:min(1000, len(body))])
		if err != nil {
			t.Fatal(err)
		}
		body = body[n:]
	}
	if _, err := s.Stat(lease, id); errors.Is(err, ErrNotFound) {
		if err := w.Publish(); err != nil {
			t.Fatal(err)
		}
	} else {
		if err := w.Sync(); err != nil {
			t.Fatal(err)
		}
		if err := w.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Abort(); err != nil {
		t.Fatalf("abort after commit: %v", err)
	}
}

func get(t testing.TB, s Store, lease ids.Lease, id ids.Shard) []byte {
	t.Helper()
	r, err := s.Open(lease, id)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	return b
}

// conform is what every Store has to do.
func conform(t *testing.T, open func(*testing.T) Store) {
	for name, test := range map[string]func(*testing.T, Store){
		"put and get": suitePutGet, "nothing before commit": suiteAbort, "replace": suiteReplace, "delete": suiteDelete, "list": suiteList,
		"leases apart": suiteLeases, "set aside": suiteSetAside, "slots": suiteSlots, "concurrent": suiteConcurrent, "read after delete": suiteReadAfterDelete,
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			test(t, s)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func suitePutGet(t *testing.T, s Store) {
	for _, n := range []int{0, 1, 4096, 1 << 20} {
		body := bytes.Repeat([]byte{byte(n), 7}, (n+1)/2)[:n]
		put(t, s, leaseA, shardID(n), body)
		if got := get(t, s, leaseA, shardID(n)); !bytes.Equal(got, body) {
			t.Fatalf("%d bytes came back as %d", n, len(got))
		}
		if size, err := s.Stat(leaseA, shardID(n)); err != nil || size != int64(n) {
			t.Fatalf("stat: %d, %v", size, err)
		}
	}
	r, err := s.Open(leaseA, shardID(1<<20))
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 3)
	if _, err := r.ReadAt(p, 1<<20-3); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	if end, err := r.Seek(0, io.SeekEnd); err != nil || end != 1<<20 {
		t.Fatalf("seek: %d, %v", end, err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if free, total, err := s.Room(); err != nil || free <= 0 || total < free {
		t.Fatalf("room: %d of %d, %v", free, total, err)
	}
}

func suiteAbort(t *testing.T, s Store) {
	w, err := s.Create(leaseA, shardID(1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("half")); err != nil {
		t.Fatal(err)
	}
	if err := w.Sync(); err != nil {
		t.Fatal(err)
	}
	gone := func() {
		t.Helper()
		if _, err := s.Stat(leaseA, shardID(1)); !errors.Is(err, ErrNotFound) {
			t.Fatalf("stat: %v", err)
		}
		if _, err := s.Open(leaseA, shardID(1)); !errors.Is(err, ErrNotFound) {
			t.Fatalf("open: %v", err)
		}
		if l, err := s.List(leaseA, nil, 10); err != nil || len(l) != 0 {
			t.Fatalf("list: %v, %v", l, err)
		}
	}
	gone()
	for range 2 {
		if err := w.Abort(); err != nil {
			t.Fatal(err)
		}
	}
	gone()
}

func suiteReplace(t *testing.T, s Store) {
	put(t, s, leaseA, shardID(1), []byte("damaged"))
	put(t, s, leaseA, shardID(1), []byte("whole again"))
	if got := get(t, s, leaseA, shardID(1)); string(got) != "whole again" {
		t.Fatalf("got %q", got)
	}
	if l, err := s.List(leaseA, nil, 10); err != nil || len(l) != 1 {
		t.Fatalf("list: %v, %v", l, err)
	}
}

func suiteDelete(t *testing.T, s Store) {
	for i := range 5 {
		put(t, s, leaseA, shardID(i), []byte{1})
	}
	if err := s.Delete(leaseA, []ids.Shard{shardID(0), shardID(3), shardID(99)}); err != nil {
		t.Fatal(err)
	}
	l, err := s.List(leaseA, nil, 10)
	if err != nil || len(l) != 3 {
		t.Fatalf("list: %v, %v", l, err)
	}
	if err := s.Delete(leaseB, []ids.Shard{shardID(1)}); err != nil {
		t.Fatalf("delete from a lease that holds nothing: %v", err)
	}
}

func suiteReadAfterDelete(t *testing.T, s Store) {
	put(t, s, leaseA, shardID(1), []byte("still here"))
	r, err := s.Open(leaseA, shardID(1))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(leaseA, []ids.Shard{shardID(1)}); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil || string(b) != "still here" {
		t.Fatalf("%q, %v", b, err)
	}
}

func suiteList(t *testing.T, s Store) {
	var want []ids.Shard
	for i := range 700 {
		put(t, s, leaseA, shardID(i), bytes.Repeat([]byte{1}, i%9))
		want = append(want, shardID(i))
	}
	slices.SortFunc(want, func(a, b ids.Shard) int { return bytes.Compare(a[:], b[:]) })
	for _, limit := range []int{1, 7, 256, 699, 700, 1000} {
		var got []ids.Shard
		var after *ids.Shard
		for {
			page, err := s.List(leaseA, after, limit)
			if err != nil {
				t.Fatal(err)
			}
			if len(page) > limit {
				t.Fatalf("page of %d, limit %d", len(page), limit)
			}
			for _, e := range page {
				got = append(got, e.ID)
			}
			if len(page) < limit {
				break
			}
			after = &page[len(page)-1].ID
			if limit == 1 && len(got) > 20 {
				got = append(got, want[len(got):]...)
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("limit %d: %d ids, want %d", limit, len(got), len(want))
		}
	}
	all, err := s.List(leaseA, nil, 1000)
	if err != nil {
		t.Fatal(err)
	}
	var bytes int64
	for _, e := range all {
		bytes += e.Size
	}
	if bytes != 77*36+21 {
		t.Fatalf("%d bytes", bytes)
	}
}

func suiteLeases(t *testing.T, s Store) {
	put(t, s, leaseA, shardID(1), []byte("a"))
	put(t, s, leaseB, shardID(1), []byte("b"))
	if err := s.PutSlot(leaseB, "head", []byte("v")); err != nil {
		t.Fatal(err)
	}
	if err := s.DropLease(leaseB); err != nil {
		t.Fatal(err)
	}
	if err := s.DropLease(leaseB); err != nil {
		t.Fatalf("twice: %v", err)
	}
	if _, err := s.Stat(leaseB, shardID(1)); !errors.Is(err, ErrNotFound) {
		t.Fatal(err)
	}
	if _, err := s.Slot(leaseB, "head"); !errors.Is(err, ErrNotFound) {
		t.Fatal(err)
	}
	if got := get(t, s, leaseA, shardID(1)); string(got) != "a" {
		t.Fatalf("the other lease: %q", got)
	}
	if l, err := s.Leases(); err != nil || !slices.Equal(l, []ids.Lease{leaseA}) {
		t.Fatalf("leases: %v, %v", l, err)
	}
	put(t, s, leaseB, shardID(2), []byte("new")) // a dropped lease can be used again
	if got := get(t, s, leaseB, shardID(2)); string(got) != "new" {
		t.Fatalf("after the drop: %q", got)
	}
}

func suiteSetAside(t *testing.T, s Store) {
	if err := s.SetAside(leaseA, shardID(1)); !errors.Is(err, ErrNotFound) {
		t.Fatalf("absent: %v", err)
	}
	for range 2 { // damaged twice
		put(t, s, leaseA, shardID(1), []byte("rotten"))
		if err := s.SetAside(leaseA, shardID(1)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Stat(leaseA, shardID(1)); !errors.Is(err, ErrNotFound) {
			t.Fatal(err)
		}
	}
	put(t, s, leaseA, shardID(1), []byte("healed"))
	if got := get(t, s, leaseA, shardID(1)); string(got) != "healed" {
		t.Fatalf("got %q", got)
	}
}

func suiteSlots(t *testing.T, s Store) {
	if names, err := s.Slots(leaseA); err != nil || len(names) != 0 {
		t.Fatalf("none: %v, %v", names, err)
	}
	big := bytes.Repeat([]byte{9}, MaxSlot)
	for name, v := range map[string][]byte{"b": []byte("1"), "B": []byte("2"), "a-_9": {}, "z": big} {
		if err := s.PutSlot(leaseA, name, []byte("old")); err != nil {
			t.Fatal(err)
		}
		if err := s.PutSlot(leaseA, name, v); err != nil {
			t.Fatal(err)
		}
		got, err := s.Slot(leaseA, name)
		if err != nil || !bytes.Equal(got, v) {
			t.Fatalf("slot %s: %d bytes, %v", name, len(got), err)
		}
	}
	if names, err := s.Slots(leaseA); err != nil || !slices.Equal(names, []string{"B", "a-_9", "b", "z"}) {
		t.Fatalf("names: %v, %v", names, err)
	}
	if _, err := s.Slot(leaseA, "c"); !errors.Is(err, ErrNotFound) {
		t.Fatal(err)
	}
	if _, err := s.Slot(leaseB, "b"); !errors.Is(err, ErrNotFound) {
		t.Fatal(err)
	}
}

func suiteConcurrent(t *testing.T, s Store) {
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 20 {
				id := shardID(i * (1 + g%2)) // half of them write the same shards
				put(t, s, leaseA, id, fmt.Appendf(nil, "%x", id[:]))
				if got := get(t, s, leaseA, id); string(got) != id.String() {
					t.Errorf("got %q", got)
				}
				if g == 0 {
					if err := s.Delete(leaseA, []ids.Shard{shardID(1000 + i)}); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	l, err := s.List(leaseA, nil, 1000)
	if err != nil || len(l) != 30 {
		t.Fatalf("%d shards, %v", len(l), err)
	}
}
