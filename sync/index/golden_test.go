package index

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/syndtr/goleveldb/leveldb"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

// One batch with a record of each kind, as keys and values, and as it is in the journal.
func TestFormatIsFrozen(t *testing.T) {
	r := newRig(t)
	n := staged(file(model.MakeIno(7, 1), "näme", 4096), 3)
	link := &model.Inode{Ino: 9, Mode: model.TypeSymlink | 0o777, Nlink: 1, Symlink: "to", Size: 2, HasXattr: true, Parent: 1, Name: "l"}
	p := &model.Pack{
		ID: model.PackID{1, 2}, K: 1, M: 1, ShardLen: 100, PlainLen: 50, Header: []byte("head"), Tail: []byte("tail"),
		Shards: []model.Shard{{ID: model.ShardID{1}, Lease: model.LeaseID{2}}, {ID: model.ShardID{3}, Lease: model.LeaseID{4}, State: model.ShardBad}},
	}
	c := chunkOf(1)
	c.Pack = p.ID
	r.commit(func(b *Batch) {
		b.PutChunk(c)
		b.PutPack(p)
		b.PutInode(n)
		b.PutInode(link)
		b.PutDirent(1, n.Name, n.Ino, model.TypeRegular)
		b.SetXattr(n.Ino, "user.x", []byte{0, 255})
		b.PutExtents(n.Ino, []model.Extent{{Off: 0, Len: 4096}, {Off: 4096, Len: 9, Chunk: c.ID, Skip: 5}})
		b.PutMeta("key", []byte("value"))
	})
	r.commit(func(b *Batch) {
		b.RemoveDirent(1, "nothing")
		b.TruncateExtents(n.Ino, 4100)
		b.DropPack(model.PackID{8})
	})
	var out strings.Builder
	it := r.x.db.NewIterator(nil, nil)
	for it.Next() {
		fmt.Fprintf(&out, "%s %s\n", hex.EncodeToString(it.Key()), hex.EncodeToString(it.Value()))
	}
	if err := r.x.end(it); err != nil {
		t.Fatal(err)
	}
	var lb leveldb.Batch
	lb.Put([]byte("k"), []byte("v"))
	lb.Delete([]byte("d"))
	s := state{n: 5, hash: [16]byte{1, 2}, rev: 1 << 50, nextChunk: 3, stats: Stats{Files: 1, Bytes: -2}}
	body := s.encodeBatch(nil, lb.Dump())
	fmt.Fprintf(&out, "batch %s\nhash %x\npiece %x\n", hex.EncodeToString(body), hashBatch(body), appendPiece(nil, 5, 1, 2))
	golden := filepath.Join("testdata", "index.golden")
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if out.String() != string(want) {
		t.Errorf("the index is written as\n%s", out.String())
	}
}
