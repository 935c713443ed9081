package oplog

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"filippo.io/age"
	"pgregory.net/rapid"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

var update = flag.Bool("update", false, "write the golden files anew: only for a new version of a format")

var (
	drive = Drive{Network: "local", ID: [16]byte{1, 2, 3}}
	key   = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{9}, 32))
	pub   = key.Public().(ed25519.PublicKey)
)

func samplePack(n int) model.Pack {
	p := model.Pack{ID: model.PackID{5}, Kind: model.PackSegment, K: 2, M: 1, ShardLen: 8192, PlainLen: 9000, Shards: make([]model.Shard, 3)}
	for i := range p.Shards {
		p.Shards[i] = model.Shard{ID: model.ShardID{byte(n), byte(i)}, Lease: model.LeaseID{byte(i + 1)}}
	}
	return p
}

func sampleHead() *Head {
	list := Blob{Size: 77, Hash: Hash{8}, Copies: []Copy{{ID: model.ShardID{4}, Lease: model.LeaseID{2}, Size: 724}}}
	return &Head{
		Drive: drive, Device: model.DeviceID{7}, Counter: 12, Time: 1790000000123, Prev: Hash{1}, Published: 1790000000000001,
		Checkpoint: &Checkpoint{Rev: 1789000000000000, Blob: Blob{Size: 1 << 30, Hash: Hash{2}, List: &list}},
		Segments: []Segment{
			{Device: model.DeviceID{6}, First: 3, Last: 9, Rev: 1789500000000000, Tip: Hash{3}, Blob: Blob{Size: 9000, Hash: Hash{4}, Packs: []model.Pack{samplePack(1)}}},
			{Device: model.DeviceID{7}, First: 1, Last: 1, Rev: 1790000000000001, Tip: Hash{5}, Blob: Blob{Size: 300, Hash: Hash{5}, Copies: []Copy{{ID: model.ShardID{6}, Lease: model.LeaseID{1}, Size: 724}}}},
		},
		NextSegment: 2, LastTip: Hash{5},
		Parents: []Parent{{Device: model.DeviceID{6}, Counter: 40, Hash: Hash{6}}},
	}
}

func sampleRecords() []model.Record {
	drop := model.PackID{3}
	data := samplePack(2)
	data.Kind, data.Header, data.Tail = model.PackData, []byte("header"), []byte("tail")
	rs := []model.Record{
		{Inode: &model.Inode{
			Ino: 42, Mode: model.TypeRegular | 0o640, Nlink: 2, UID: 1000, GID: 100, Size: 1 << 40, Atime: -1, Mtime: 2, Ctime: 3, Btime: 4,
			Parent: 1, Name: "caf\xe9", HasXattr: true, Content: model.Content{Kind: model.ContentStored, Rev: 55},
		}},
		{Inode: &model.Inode{Ino: 43, Mode: model.TypeSymlink | 0o777, Nlink: 1, Symlink: "../x", Size: 4}},
		{Dirent: &model.Dirent{Parent: 1, Name: "caf\xe9", Ino: 42, Type: model.TypeRegular}},
		{Dirent: &model.Dirent{Parent: 1, Name: "gone"}},
		{Xattr: &model.Xattr{Ino: 42, Name: "user.a", Value: []byte{0, 255}}},
		{Xattr: &model.Xattr{Ino: 42, Name: "user.b", Removed: true}},
		{Extents: &model.Extents{Ino: 42, List: []model.Extent{{Off: 0, Len: 10, Chunk: model.ChunkID{1}, Skip: 5}, {Off: 10}, {Off: 20, Len: 1 << 30}}}},
		{Pack: &model.PackRecord{Pack: data, Chunks: []model.Chunk{{ID: model.ChunkID{1}, Len: 4000, Off: 5000, Pack: data.ID}}}},
		{DropPack: &drop},
		{Forget: &model.Forget{Ino: 9, Of: 8}},
	}
	for i := range rs {
		rs[i].Rev = 1790000000000001
		if n := rs[i].Inode; n != nil {
			n.Rev = rs[i].Rev
		}
		if d := rs[i].Dirent; d != nil {
			d.Rev = rs[i].Rev
		}
	}
	return rs
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: %x, frozen as %x", name, got, want)
	}
}

func TestHeadIsFrozen(t *testing.T) {
	signed, hash, err := SignHead(sampleHead(), key)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "head1.cbor", signed)
	h, h2, err := OpenHead(signed, drive, pub)
	if err != nil || h2 != hash || !reflect.DeepEqual(h, sampleHead()) {
		t.Errorf("opened as %+v, %v", h, err)
	}
}

func TestSegmentIsFrozen(t *testing.T) {
	b, sum := segment(t, sampleRecords())
	golden(t, "segment1.cbor", b)
	if HashOf(b) != sum {
		t.Error("Sum isn't the hash of the bytes")
	}
	r, err := NewReader(bytes.NewReader(b), drive)
	if err != nil {
		t.Fatal(err)
	}
	if r.Header().First != 4 || r.Header().Prev != (Hash{9}) {
		t.Errorf("header %+v", r.Header())
	}
	g, err := r.Next()
	if err != nil || g.Device != (model.DeviceID{7}) || !reflect.DeepEqual(g.Records, sampleRecords()) {
		t.Errorf("group %+v, %v", g, err)
	}
	if _, err := r.Next(); err != io.EOF {
		t.Errorf("after the last group: %v", err)
	}
	for n := range b { // a segment that is cut anywhere but between groups is noticed
		r, err := NewReader(bytes.NewReader(b[:n]), drive)
		if err != nil {
			continue
		}
		if _, err := r.Next(); err == nil {
			t.Fatalf("cut at %d of %d: a whole group", n, len(b))
		}
	}
}

func segment(t testing.TB, rs []model.Record) ([]byte, Hash) {
	t.Helper()
	var buf bytes.Buffer
	w, err := NewWriter(&buf, Header{Drive: drive, Device: model.DeviceID{7}, First: 4, Last: 4, Prev: Hash{9}})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Group(Group{Rev: 1790000000000001, Device: model.DeviceID{7}, Records: rs}); err != nil {
		t.Fatal(err)
	}
	if w.Len() != int64(buf.Len()) {
		t.Errorf("Len is %d of %d", w.Len(), buf.Len())
	}
	return buf.Bytes(), w.Sum()
}

func TestBookIsFrozen(t *testing.T) {
	book := &Book{Drive: drive, Time: 1790000000123, Leases: []BookLease{{ID: model.LeaseID{1}, URL: "https://a.example:9", ProviderKey: [32]byte{3}, Size: 50 << 30, Until: 1800000000, Name: "a", Country: "CH"}}}
	signed, err := SignBook(book, key)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "book1.cbor", signed)
	got, err := OpenBook(signed, drive, pub)
	if err != nil || !reflect.DeepEqual(got, book) {
		t.Errorf("%+v, %v", got, err)
	}
	if !IsBook(signed) {
		t.Error("not known as a book")
	}
}

func TestWhatIsRefused(t *testing.T) {
	signed, _, err := SignHead(sampleHead(), key)
	if err != nil {
		t.Fatal(err)
	}
	other := ed25519.NewKeyFromSeed(make([]byte, 32)).Public().(ed25519.PublicKey)
	if _, _, err := OpenHead(signed, drive, other); !errors.Is(err, ErrForeign) {
		t.Errorf("another key: %v", err)
	}
	if _, _, err := OpenHead(signed, Drive{"bitcoin", drive.ID}, pub); !errors.Is(err, ErrForeign) {
		t.Errorf("another network: %v", err)
	}
	if _, err := OpenBook(signed, drive, pub); !errors.Is(err, ErrFormat) {
		t.Errorf("a head as a book: %v", err)
	}
	for i := range signed {
		bad := bytes.Clone(signed)
		bad[i] ^= 1
		if _, _, err := OpenHead(bad, drive, pub); err == nil {
			t.Fatalf("bit of byte %d flipped: taken", i)
		}
	}
	b, _ := segment(t, sampleRecords())
	if _, err := NewReader(bytes.NewReader(b), Drive{"bitcoin", drive.ID}); !errors.Is(err, ErrForeign) {
		t.Errorf("a segment of another network: %v", err)
	}
	w, err := NewWriter(io.Discard, Header{Drive: drive})
	if err != nil {
		t.Fatal(err)
	}
	staged := []model.Record{{Rev: 5, Inode: &model.Inode{Ino: 3, Content: model.Content{Kind: model.ContentStaged, Version: 2}}}}
	if err := w.Group(Group{Rev: 5, Records: staged}); !errors.Is(err, ErrStaged) {
		t.Errorf("a staged content: %v", err)
	}
}

func TestHeadsAreBounded(t *testing.T) {
	h := sampleHead()
	for len(h.Segments) < 3000 {
		h.Segments = append(h.Segments, h.Segments...)
	}
	if _, _, err := SignHead(h, key); !errors.Is(err, ErrTooLong) {
		t.Errorf("a head of %d segments: %v", len(h.Segments), err)
	}
}

func TestEnvelope(t *testing.T) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(0, MaxHeadBytes+200).Draw(rt, "n")
		plain := bytes.Repeat([]byte{7}, n)
		sealed, err := Seal(plain, id.Recipient())
		if err != nil || len(sealed) > MaxSlot {
			rt.Fatalf("%d bytes sealed to %d: %v", n, len(sealed), err)
		}
		got, err := Open(sealed, id, n)
		if err != nil || !bytes.Equal(got, plain) {
			rt.Fatalf("%d bytes: %v", n, err)
		}
		if n > 600 {
			if _, err := Open(sealed, id, n/2); err == nil {
				rt.Fatal("the limit doesn't hold")
			}
		}
	})
	last := 0
	for n := range MaxSlot {
		p := Padded(n)
		if p < n || p < last || n > 512 && p-n > n/8+1 {
			t.Fatalf("%d is padded to %d", n, p)
		}
		last = p
	}
}

func TestAncestor(t *testing.T) {
	h := sampleHead()
	for _, c := range []struct {
		d    byte
		n    uint64
		want bool
	}{{7, 12, true}, {7, 13, false}, {6, 40, true}, {6, 41, false}, {5, 1, false}} {
		if got := h.Ancestor(model.DeviceID{c.d}, c.n); got != c.want {
			t.Errorf("device %d at %d: %v", c.d, c.n, got)
		}
	}
}

func FuzzOpenHead(f *testing.F) {
	signed, _, err := SignHead(sampleHead(), key)
	if err != nil {
		f.Fatal(err)
	}
	body, err := verify(kindHead, headLabel, signed, pub)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body)
	f.Fuzz(func(t *testing.T, body []byte) {
		signed, err := sign(kindHead, headLabel, body, key)
		if err != nil {
			t.Fatal(err)
		}
		h, _, err := OpenHead(signed, drive, pub)
		if err != nil {
			return
		}
		if again, err := h.Encode(); err == nil && !bytes.Equal(again, body) {
			if h2, _, err := reopen(again); err != nil || !reflect.DeepEqual(h, h2) {
				t.Fatalf("decoded and encoded it is another head: %v", err)
			}
		}
	})
}

func reopen(body []byte) (*Head, Hash, error) {
	signed, err := sign(kindHead, headLabel, body, key)
	if err != nil {
		return nil, Hash{}, err
	}
	return OpenHead(signed, drive, pub)
}

func FuzzReader(f *testing.F) {
	b, _ := segment(f, sampleRecords())
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := NewReader(bytes.NewReader(b), drive)
		if err != nil {
			return
		}
		var buf bytes.Buffer
		w, err := NewWriter(&buf, r.Header())
		if err != nil {
			t.Fatal(err)
		}
		var groups []Group
		for {
			g, err := r.Next()
			if err != nil {
				break
			}
			groups = append(groups, g)
			if err := w.Group(g); err != nil {
				t.Fatalf("what was read can't be written: %v", err)
			}
		}
		r2, err := NewReader(&buf, drive)
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range groups {
			g2, err := r2.Next()
			if err != nil || !reflect.DeepEqual(g, g2) {
				t.Fatalf("%+v became %+v, %v", g, g2, err)
			}
		}
	})
}

func FuzzDecodePacks(f *testing.F) {
	b, err := EncodePacks([]model.Pack{samplePack(1), samplePack(2)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		ps, err := DecodePacks(b)
		if err != nil {
			return
		}
		again, err := EncodePacks(ps)
		if err != nil {
			t.Fatal(err)
		}
		if ps2, err := DecodePacks(again); err != nil || !reflect.DeepEqual(ps, ps2) {
			t.Fatalf("%+v became %+v, %v", ps, ps2, err)
		}
	})
}
