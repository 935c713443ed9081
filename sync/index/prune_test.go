package index

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"

	"github.com/syndtr/goleveldb/leveldb/util"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

func (r *rig) publishAll() {
	r.t.Helper()
	var revs []model.Rev
	if err := r.x.Outbox(0, func(g Group) bool { revs = append(revs, g.Rev); return true }); err != nil {
		r.t.Fatal(err)
	}
	r.commit(func(b *Batch) { b.Local(); b.Published(revs...) })
}

func stored(n *model.Inode, rev model.Rev) *model.Inode {
	n.Content = model.Content{Kind: model.ContentStored, Rev: rev}
	return n
}

func TestPruneKeepsWhatIsWanted(t *testing.T) {
	r := newRig(t)
	var revs []model.Rev
	var maps []byteMap
	for i := 1; i <= 6; i++ {
		// The content of revision i is read as of i's own extents.
		rev := r.commit(func(b *Batch) {
			b.PutChunk(chunkOf(i))
			b.PutExtents(10, []model.Extent{{Off: int64(i * 7), Len: 20, Chunk: chunkOf(i).ID}})
			b.PutInode(file(10, "f", 200))
			b.SetXattr(10, "user.a", []byte(fmt.Sprint(i)))
			b.PutDirent(1, "f", 10, model.TypeRegular)
		})
		r.commit(func(b *Batch) { b.Local(); b.SetContent(10, rev, model.Content{Kind: model.ContentStored, Rev: rev}) })
		r.publishAll()
		revs, maps = append(revs, rev), append(maps, readMap(t, r.x.At(rev), 10, 0, fileSpan))
	}
	wanted := map[model.Rev]bool{revs[1]: true, revs[4]: true}
	keep := func(rev, _ model.Rev) bool { return wanted[rev] }
	dry, err := r.x.Prune(context.Background(), keep, true)
	if err != nil || dry.Inodes != 3 || dry.Dirents != 3 {
		t.Fatal(dry, err)
	}
	did, err := r.x.Prune(context.Background(), keep, false)
	if err != nil || did != dry {
		t.Fatal(did, dry, err)
	}
	for _, i := range []int{1, 4, 5} {
		if readMap(t, r.x.At(revs[i]), 10, 0, fileSpan) != maps[i] {
			t.Fatal("content of revision", i, "changed")
		}
		v, err := r.x.At(revs[i]).Xattr(10, "user.a")
		if err != nil || string(v) != fmt.Sprint(i+1) {
			t.Fatalf("attribute at %d: %q %v", i, v, err)
		}
	}
	if again, err := r.x.Prune(context.Background(), keep, false); err != nil || again != (Pruned{}) {
		t.Fatal(again, err)
	}
	live := map[byte]bool{}
	if err := r.x.LiveChunks(context.Background(), func(c model.Chunk, l bool) error { live[c.ID[7]] = l; return nil }); err != nil {
		t.Fatal(err)
	}
	if len(live) != 6 || !live[1] || !live[6] {
		t.Fatal(live)
	}
	r.commit(func(b *Batch) {
		n := stored(file(10, "f", 200), revs[5])
		n.Nlink = 0
		b.PutInode(n)
		b.RemoveDirent(1, "f")
	})
	never := func(model.Rev, model.Rev) bool { return false }
	if _, err := r.x.Prune(context.Background(), never, false); err != nil {
		t.Fatal(err)
	}
	if _, err := r.x.Now().Inode(10); err != nil {
		t.Fatal("what isn't published goes:", err)
	}
	r.publishAll()
	if _, err := r.x.Prune(context.Background(), never, false); err != nil {
		t.Fatal(err)
	}
	if _, err := r.x.Now().Inode(10); !errors.Is(err, ErrNotFound) {
		t.Fatal(err)
	}
	n := 0
	if err := r.x.DirentRevs(1, "f", func(model.Dirent) bool { n++; return true }); err != nil || n != 0 {
		t.Fatal(n, err)
	}
	if err := r.x.LiveChunks(context.Background(), func(_ model.Chunk, l bool) error {
		if l {
			n++
		}
		return nil
	}); err != nil || n != 0 {
		t.Fatal(n, err)
	}
}

func TestPacks(t *testing.T) {
	r := newRig(t)
	p := model.Pack{ID: model.PackID{1}, K: 4, M: 2, ShardLen: 99, Header: []byte("h"), Tail: []byte("t"), Shards: make([]model.Shard, 6)}
	q := p
	q.ID = model.PackID{9}
	c1, c2 := chunkOf(1), chunkOf(2)
	c1.Pack, c2.Pack = p.ID, p.ID
	rev := r.commit(func(b *Batch) { b.PutChunk(c2); b.PutChunk(c1); b.PutPack(&p) })
	r.commit(func(b *Batch) { b.Local(); c := c1; c.Pack = q.ID; b.PutPack(&q); b.PutChunk(c) })
	if s := r.x.Stats(); s.Packs != 2 || s.Chunks != 2 || s.Outbox != 1 {
		t.Fatalf("%+v", s)
	}
	recs, err := r.x.Records(Group{Rev: rev, Keys: []Key{{Kind: KeyPack, Pack: p.ID}}})
	if err != nil || len(recs) != 1 || len(recs[0].Pack.Chunks) != 1 || recs[0].Pack.Chunks[0] != c2 {
		t.Fatalf("%+v %v", recs, err)
	}
	r.commit(func(b *Batch) { b.DropPack(p.ID) })
	if _, ok, err := r.x.Chunk(c2.ID); ok || err != nil {
		t.Fatal("a chunk of a dropped pack is there", err)
	}
	if c, ok, err := r.x.Chunk(c1.ID); !ok || err != nil || c.Pack != q.ID {
		t.Fatal(c, ok, err)
	}
	var ids []model.PackID
	if err := r.x.Packs(model.PackID{}, func(p model.Pack) bool { ids = append(ids, p.ID); return true }); err != nil || len(ids) != 1 || ids[0] != q.ID {
		t.Fatal(ids, err)
	}
	if s := r.x.Stats(); s.Packs != 1 || s.Chunks != 1 {
		t.Fatalf("%+v", s)
	}
}

// The size targets: at most 300 bytes for a file beside its name, 120 for each further revision.
func TestSizeOnDisk(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 20,000 files")
	}
	const files = 20_000
	r := newRig(t)
	size := func() (n int64) {
		t.Helper()
		if _, err := r.x.Checkpoint(); err != nil {
			t.Fatal(err)
		}
		if err := r.x.db.CompactRange(util.Range{}); err != nil {
			t.Fatal(err)
		}
		sizes, err := r.x.db.SizeOf([]util.Range{{Limit: []byte{0xff}}})
		if err != nil {
			t.Fatal(err)
		}
		return sizes.Sum()
	}
	put := func(i int) {
		ino := model.MakeIno(7, uint64(i+1))
		name := fmt.Sprintf("%x-file", i*2654435761)
		// An id without pattern, as hashes are.
		c := chunkOf(i)
		c.ID = sha256.Sum256(c.ID[:])
		c.Len, c.Pack, c.Off = 4096, model.PackID{byte(i / 4000), 5, 77, 2, 9}, int64(i%4000)*4096
		b := r.x.Begin()
		n := file(ino, name, 4096)
		n.Mtime += int64(i) * 1234567891
		b.PutChunk(c)
		b.PutExtents(ino, []model.Extent{{Off: 0, Len: 4096, Chunk: c.ID}})
		n = stored(n, r.x.LastRev()+1)
		b.PutInode(n)
		b.PutDirent(model.Ino(1+i%200), name, ino, model.TypeRegular)
		if _, err := b.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	for i := range files {
		put(i)
	}
	r.publishAll()
	first := size()
	for i := range files {
		ino := model.MakeIno(7, uint64(i+1))
		n, err := r.x.Now().Inode(ino)
		if err != nil {
			t.Fatal(err)
		}
		n.Mtime += 987654321
		b := r.x.Begin()
		b.PutInode(&n)
		if _, err := b.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	r.publishAll()
	second := size()
	perFile, perRev := float64(first)/files, float64(second-first)/files
	t.Logf("%.0f bytes for a file, %.0f for a further revision", perFile, perRev)
	if perFile > 300 || perRev > 120 {
		t.Error("more than the target")
	}
}
