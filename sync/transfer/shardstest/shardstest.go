// Package shardstest is the suite that every implementation of transfer.Shards passes: what the pool and the engine count on.
package shardstest

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudcoin/cloudcoin/crypto/merkle"
	"github.com/cloudcoin/cloudcoin/sync/model"
	"github.com/cloudcoin/cloudcoin/sync/transfer"
)

// Lease is one empty lease under test, and what may be done to it behind its back.
type Lease struct {
	Shards transfer.Shards
	Size   int64                           // of the lease in bytes
	Damage func(id model.ShardID, off int) // flips a bit of a stored shard
	Lose   func(id model.ShardID)          // removes a stored shard
}

// Run runs the suite; open gives a fresh lease of at least size bytes.
func Run(t *testing.T, open func(t *testing.T, size int64) Lease) {
	for _, c := range []struct {
		name string
		size int64
		test func(t *testing.T, l Lease)
	}{
		{"PutGet", 64 << 20, testPutGet},
		{"Ranges", 64 << 20, testRanges},
		{"Missing", 1 << 20, testMissing},
		{"Damage", 8 << 20, testDamage},
		{"WrongID", 1 << 20, testWrongID},
		{"Quota", 64 << 10, testQuota},
		{"HasDelete", 64 << 20, testHasDelete},
		{"List", 64 << 20, testList},
		{"Slots", 1 << 20, testSlots},
		{"SlotBounds", 1 << 20, testSlotBounds},
		{"Parallel", 64 << 20, testParallel},
		{"Cancelled", 1 << 20, testCancelled},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t, c.size)) })
	}
}

// Bytes gives n bytes that depend on seed, and their id.
func Bytes(seed uint64, n int) ([]byte, model.ShardID) {
	b := make([]byte, n)
	var key [32]byte
	key[0], key[1], key[2] = byte(seed), byte(seed>>8), byte(seed>>16)
	_, _ = rand.NewChaCha8(key).Read(b) // never fails
	return b, merkle.Root(b)
}

func bg(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func put(t *testing.T, l Lease, seed uint64, n int) ([]byte, model.ShardID) {
	t.Helper()
	b, id := Bytes(seed, n)
	if err := l.Shards.Put(bg(t), id, b); err != nil {
		t.Fatalf("Put %d bytes: %v", n, err)
	}
	return b, id
}

func want(t *testing.T, what string, err, sentinel error) {
	t.Helper()
	if !errors.Is(err, sentinel) {
		t.Errorf("%s: got %v, want %v", what, err, sentinel)
	}
}

func testPutGet(t *testing.T, l Lease) {
	for i, n := range []int{1, 4095, 4096, 4097, 65536, 1<<20 + 17, 4 << 20} {
		b, id := put(t, l, uint64(i), n)
		if err := l.Shards.Put(bg(t), id, b); err != nil {
			t.Errorf("Put of %d bytes again: %v", n, err)
		}
		for _, verify := range []bool{false, true} {
			p := make([]byte, n)
			if err := l.Shards.Get(bg(t), id, 0, p, int64(n), verify); err != nil || !bytes.Equal(p, b) {
				t.Errorf("Get of %d bytes, verify %v: %v, equal %v", n, verify, err, bytes.Equal(p, b))
			}
		}
	}
	u, err := l.Shards.Usage(bg(t))
	if err != nil || u.Size != l.Size || u.Used != 4096+4096+4096+8192+65536+(1<<20+4096)+4<<20 {
		t.Errorf("Usage = %+v, %v", u, err)
	}
	if info := l.Shards.Info(); info.Used != u.Used || info.Size != u.Size {
		t.Errorf("Info says %d of %d, Usage %d of %d", info.Used, info.Size, u.Used, u.Size)
	}
}

func testRanges(t *testing.T, l Lease) {
	size := 300_001
	b, id := put(t, l, 1, size)
	r := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		off := r.IntN(size)
		n := 1 + r.IntN(min(size-off, 20_000))
		switch r.IntN(4) {
		case 0:
			off = off / 4096 * 4096
			n = min(size-off, 8192)
		case 1:
			n = size - off
		}
		for _, verify := range []bool{false, true} {
			p := make([]byte, n)
			if err := l.Shards.Get(bg(t), id, int64(off), p, int64(size), verify); err != nil || !bytes.Equal(p, b[off:off+n]) {
				t.Fatalf("Get %d bytes at %d, verify %v: %v, equal %v", n, off, verify, err, bytes.Equal(p, b[off:off+n]))
			}
		}
	}
}

func testMissing(t *testing.T, l Lease) {
	_, id := Bytes(9, 100)
	for _, verify := range []bool{false, true} {
		want(t, "Get of a missing shard", l.Shards.Get(bg(t), id, 0, make([]byte, 50), 100, verify), transfer.ErrNotFound)
	}
	b, id := put(t, l, 10, 5000)
	l.Lose(id)
	want(t, "Get of a lost shard", l.Shards.Get(bg(t), id, 0, make([]byte, 5000), 5000, false), transfer.ErrNotFound)
	if err := l.Shards.Put(bg(t), id, b); err != nil {
		t.Errorf("Put of a lost shard: %v", err)
	}
	if err := l.Shards.Get(bg(t), id, 0, make([]byte, 5000), 5000, true); err != nil {
		t.Errorf("Get after it was put again: %v", err)
	}
}

func testDamage(t *testing.T, l Lease) {
	size := 1<<20 + 5
	b, id := put(t, l, 11, size)
	want(t, "Get with a wrong size", l.Shards.Get(bg(t), id, 0, make([]byte, 100), int64(size)+4096, false), transfer.ErrDamaged)
	l.Damage(id, 500_000)
	want(t, "verified Get of a damaged shard", l.Shards.Get(bg(t), id, 0, make([]byte, size), int64(size), true), transfer.ErrDamaged)
	// A provider that noticed may say from now on that it doesn't have it.
	err := l.Shards.Get(bg(t), id, 499_000, make([]byte, 2000), int64(size), true)
	if !errors.Is(err, transfer.ErrDamaged) && !errors.Is(err, transfer.ErrNotFound) {
		t.Errorf("verified Get of the damaged range: got %v", err)
	}
	if err := l.Shards.Put(bg(t), id, b); err != nil {
		t.Fatalf("Put over a damaged shard: %v", err)
	}
	p := make([]byte, size)
	if err := l.Shards.Get(bg(t), id, 0, p, int64(size), true); err != nil || !bytes.Equal(p, b) {
		t.Errorf("Get after it was healed: %v", err)
	}
}

func testWrongID(t *testing.T, l Lease) {
	b, id := Bytes(12, 9000)
	id[5] ^= 1
	if l.Shards.Put(bg(t), id, b) == nil {
		t.Error("Put under a wrong id: no error")
	}
	if has, err := l.Shards.Has(bg(t), []model.ShardID{id}); err != nil || has[0] {
		t.Errorf("after a Put under a wrong id: has %v, %v", has, err)
	}
}

func testQuota(t *testing.T, l Lease) {
	n := int(l.Size) / 2
	_, first := put(t, l, 13, n)
	put(t, l, 14, n)
	b, id := Bytes(15, 1)
	want(t, "Put into a full lease", l.Shards.Put(bg(t), id, b), transfer.ErrNoRoom)
	if err := l.Shards.PutSlot(bg(t), "head", transfer.Slot{Counter: 1, Payload: []byte("x")}); err != nil {
		t.Errorf("PutSlot into a full lease: %v", err)
	}
	if err := l.Shards.Delete(bg(t), []model.ShardID{first}); err != nil {
		t.Fatalf("Delete: %v", err)
	}
	if err := l.Shards.Put(bg(t), id, b); err != nil {
		t.Errorf("Put after there was room: %v", err)
	}
	big, id := Bytes(16, int(l.Size)*4)
	want(t, "Put of more than the lease", l.Shards.Put(bg(t), id, big), transfer.ErrNoRoom)
}

func testHasDelete(t *testing.T, l Lease) {
	var ids []model.ShardID
	for i := range 5 {
		_, id := put(t, l, uint64(20+i), 100+i)
		ids = append(ids, id)
	}
	asked := make([]model.ShardID, 2100) // more than one request
	for i := range asked {
		asked[i][0], asked[i][1], asked[i][2] = byte(i), byte(i>>8), 1
	}
	asked[3], asked[1500], asked[2099] = ids[0], ids[1], ids[2]
	has, err := l.Shards.Has(bg(t), asked)
	if err != nil || len(has) != len(asked) {
		t.Fatalf("Has: %d answers, %v", len(has), err)
	}
	for i, h := range has {
		if h != (i == 3 || i == 1500 || i == 2099) {
			t.Errorf("Has[%d] = %v", i, h)
		}
	}
	if err := l.Shards.Delete(bg(t), asked); err != nil {
		t.Fatalf("Delete: %v", err)
	}
	if has, err = l.Shards.Has(bg(t), ids); err != nil || !slices.Equal(has, []bool{false, false, false, true, true}) {
		t.Errorf("Has after Delete = %v, %v", has, err)
	}
	if has, err = l.Shards.Has(bg(t), nil); err != nil || len(has) != 0 {
		t.Errorf("Has of nothing = %v, %v", has, err)
	}
}

func testList(t *testing.T, l Lease) {
	const n = 1050 // more than a page
	all := make([]model.ShardID, n)
	var wg sync.WaitGroup
	gate := make(chan struct{}, 8)
	for i := range n {
		wg.Go(func() {
			gate <- struct{}{}
			defer func() { <-gate }()
			b, id := Bytes(uint64(1000+i), 3)
			all[i] = id
			if err := l.Shards.Put(bg(t), id, b); err != nil {
				t.Errorf("Put: %v", err)
			}
		})
	}
	wg.Wait()
	slices.SortFunc(all, func(a, b model.ShardID) int { return bytes.Compare(a[:], b[:]) })
	all = slices.Compact(all)
	var got []model.ShardID
	for after := (model.ShardID{}); ; {
		page, err := l.Shards.List(bg(t), after)
		if err != nil || len(page) > 1000 {
			t.Fatalf("List: %d, %v", len(page), err)
		}
		if len(page) == 0 {
			break
		}
		got = append(got, page...)
		after = page[len(page)-1]
	}
	if !slices.Equal(got, all) {
		t.Errorf("List gave %d ids, want %d, equal in order", len(got), len(all))
	}
}

func testSlots(t *testing.T, l Lease) {
	ctx, s := bg(t), l.Shards
	_, err := s.GetSlot(ctx, "head")
	want(t, "GetSlot of none", err, transfer.ErrNotFound)
	if names, err := s.Slots(ctx); err != nil || len(names) != 0 {
		t.Errorf("Slots of none = %v, %v", names, err)
	}
	check := func(what string, counter uint64, payload string, wantErr error) {
		t.Helper()
		err := s.PutSlot(ctx, "head", transfer.Slot{Counter: counter, Payload: []byte(payload)})
		if !errors.Is(err, wantErr) {
			t.Errorf("%s: got %v, want %v", what, err, wantErr)
		}
	}
	check("first", 5, "five", nil)
	check("same again", 5, "five", nil)
	check("equal counter, other bytes", 5, "FIVE", transfer.ErrConflict)
	check("lower counter", 4, "four", transfer.ErrConflict)
	check("higher counter", 1<<63, "", nil)
	v, err := s.GetSlot(ctx, "head")
	if err != nil || v.Counter != 1<<63 || len(v.Payload) != 0 {
		t.Errorf("GetSlot = %+v, %v", v, err)
	}
	if err := s.PutSlot(ctx, "A_b-9", transfer.Slot{Counter: 1, Payload: []byte{0, 255}}); err != nil {
		t.Errorf("second slot: %v", err)
	}
	if names, err := s.Slots(ctx); err != nil || !slices.Equal(names, []string{"A_b-9", "head"}) {
		t.Errorf("Slots = %v, %v", names, err)
	}
}

func testSlotBounds(t *testing.T, l Lease) {
	ctx, s := bg(t), l.Shards
	longest := transfer.Slot{Counter: 1, Payload: bytes.Repeat([]byte{7}, transfer.MaxSlotPayload)}
	name := strings.Repeat("n", transfer.MaxSlotName)
	if err := s.PutSlot(ctx, name, longest); err != nil {
		t.Errorf("longest slot: %v", err)
	}
	if v, err := s.GetSlot(ctx, name); err != nil || !bytes.Equal(v.Payload, longest.Payload) {
		t.Errorf("GetSlot of the longest: %d bytes, %v", len(v.Payload), err)
	}
	for _, bad := range []string{"", name + "n", "a/b", "a b", "ä", ".."} {
		if s.PutSlot(ctx, bad, transfer.Slot{Counter: 1}) == nil {
			t.Errorf("slot name %q was taken", bad)
		}
	}
	if s.PutSlot(ctx, "big", transfer.Slot{Counter: 1, Payload: append(longest.Payload, 1)}) == nil {
		t.Error("a slot that is too long was taken")
	}
}

func testParallel(t *testing.T, l Lease) {
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			b, id := Bytes(uint64(100+i%6), 200_000) // each twice, at once
			if err := l.Shards.Put(bg(t), id, b); err != nil {
				t.Errorf("Put: %v", err)
				return
			}
			p := make([]byte, 70_000)
			if err := l.Shards.Get(bg(t), id, 100_000, p, 200_000, i%2 == 0); err != nil || !bytes.Equal(p, b[100_000:170_000]) {
				t.Errorf("Get: %v", err)
			}
		})
	}
	wg.Wait()
	if u, err := l.Shards.Usage(bg(t)); err != nil || u.Used != 6*200_704 {
		t.Errorf("Usage = %+v, %v, want %d used: nothing is charged twice", u, err, 6*200_704)
	}
}

func testCancelled(t *testing.T, l Lease) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	b, id := Bytes(30, 100)
	want(t, "Put", l.Shards.Put(ctx, id, b), context.Canceled)
	want(t, "Get", l.Shards.Get(ctx, id, 0, b, 100, false), context.Canceled)
	_, err := l.Shards.Usage(ctx)
	want(t, "Usage", err, context.Canceled)
}
