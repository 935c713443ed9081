package fileserver

import (
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/cloudcoin/cloudcoin/crypto/merkle"
	"github.com/cloudcoin/cloudcoin/provider/ids"
	"github.com/cloudcoin/cloudcoin/provider/shardstore"
)

// counting is a store that counts the bytes read.
type counting struct {
	shardstore.Store
	read atomic.Int64
}

type countingShard struct {
	shardstore.Shard
	read *atomic.Int64
}

func (c *counting) Open(l ids.Lease, id ids.Shard) (shardstore.Shard, error) {
	s, err := c.Store.Open(l, id)
	return &countingShard{s, &c.read}, err
}

func (s *countingShard) Read(p []byte) (int, error) {
	n, err := s.Shard.Read(p)
	s.read.Add(int64(n))
	return n, err
}

func (s *countingShard) ReadAt(p []byte, off int64) (int, error) {
	n, err := s.Shard.ReadAt(p, off)
	s.read.Add(int64(n))
	return n, err
}

// TestProofsReadLittle: only the first proof of a shard reads all of it, and the later ones are as good, and find damage.
func TestProofsReadLittle(t *testing.T) {
	dir := t.TempDir()
	must(t, shardstore.CreateFolder(dir))
	folder, err := shardstore.OpenFolder(dir)
	must(t, err)
	store := &counting{Store: folder}
	r := newRig(t, options{store: store})
	tok := r.token(alice)
	body := content(3, 4<<20-1000)
	size := len(body)
	id, a := r.put(tok, aliceLease, body)
	a.want(t, 201, "")
	prove := func(from, to int) answer {
		t.Helper()
		return r.do("GET", shardPath(aliceLease, id)+"?proof=1", tok, nil, "Range", fmt.Sprintf("bytes=%d-%d", from, to-1))
	}
	for i, rng := range [][2]int{{0, 4096}, {4096, 8192}, {61440, 69632}, {1 << 20, 2<<20 + 4096}, {size - size%4096, size}, {0, size}} {
		from, to := rng[0], rng[1]
		store.read.Store(0)
		a := prove(from, to)
		a.want(t, 206, "")
		if read := store.read.Load(); i > 0 && read > int64(2*(to-from)+4*outlineBlock) {
			t.Errorf("%d bytes were read for %d", read, to-from)
		}
		n := int(a.body[2])<<8 | int(a.body[3])
		proof, err := merkle.ParseProof(a.body[4 : 4+n])
		must(t, err)
		must(t, merkle.VerifyRange(merkle.Hash(id), int64(size), int64(from), a.body[4+n:], proof))
	}
	files, err := filepath.Glob(filepath.Join(dir, "shards", "*", "*", id.String()))
	must(t, err)
	body[1<<20+77] ^= 1
	must(t, os.WriteFile(files[0], body, 0o600))
	prove(0, 4096).want(t, 206, "") // what is sent is whole
	prove(1<<20+8192, 1<<20+12288).want(t, 404, "shard-damaged")
}

func TestOutlinesAreBounded(t *testing.T) {
	var c outlines
	const leaves = 1 << 10
	most := outlinesSize / weight(&merkle.Outline{Hashes: make([]merkle.Hash, leaves)})
	for i := range most + 10 {
		c.put(ids.Shard{byte(i), byte(i >> 8)}, &merkle.Outline{Hashes: make([]merkle.Hash, leaves)})
		c.get(ids.Shard{0}) // stays, being asked for
	}
	if len(c.byID) != most || c.order.Len() != most || c.bytes > outlinesSize {
		t.Fatalf("%d, %d outlines, %d bytes; at most %d fit", len(c.byID), c.order.Len(), c.bytes, most)
	}
	if c.get(ids.Shard{0}) == nil || c.get(ids.Shard{1}) != nil {
		t.Fatal("the wrong one was forgotten")
	}
}
