package index

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cloudcoin/cloudcoin/sync/journal"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// everything reads all that an index holds, as text.
func everything(x *Index) (string, error) {
	var b strings.Builder
	err := errors.Join(
		x.Dump(func(r model.Record) error {
			fmt.Fprintf(&b, "%d %+v %+v %+v %+v %+v\n", r.Rev, r.Inode, r.Dirent, r.Xattr, r.Extents, r.Pack)
			return nil
		}),
		x.Outbox(0, func(g Group) bool { fmt.Fprintf(&b, "%+v\n", g); return true }),
		x.Staged(func(ino model.Ino, rev model.Rev, v uint64) bool { fmt.Fprintln(&b, ino, rev, v); return true }),
		x.Now().ReadDirPlus(1, 0, func(d model.Dirent, n model.Inode) bool { fmt.Fprintf(&b, "%+v %+v\n", d, n); return true }),
	)
	fmt.Fprintf(&b, "%+v %d\n", x.Stats(), x.LastRev())
	return b.String(), err
}

func copyTree(t testing.TB, from string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

// Each file of a closed HOME removed, cut or flipped: the same answers as before, or an error that says so. Never another answer.
func TestAnyFileDamaged(t *testing.T) {
	r := newRig(t)
	for i := range 300 {
		ino := model.Ino(100 + i%200)
		name := fmt.Sprint("f", i%200)
		rev := r.commit(func(b *Batch) {
			b.PutInode(file(ino, name, int64(i)))
			b.PutDirent(1, name, ino, model.TypeRegular)
			b.PutChunk(chunkOf(i))
			b.PutExtents(ino, []model.Extent{{Off: int64(i), Len: 50, Chunk: chunkOf(i).ID}})
		})
		if i%3 == 0 {
			r.commit(func(b *Batch) { b.Local(); b.Published(rev) })
		}
		if i == 100 || i == 200 {
			lsn, err := r.x.Checkpoint()
			if err == nil {
				err = r.j.Checkpoint(lsn)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	want, err := everything(r.x)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(r.x.Close(), r.j.Close()); err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(3, 4))
	quiet, reported := 0, 0
	for _, sub := range []string{"index", "journal"} {
		es, err := os.ReadDir(filepath.Join(r.dir, sub))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range es {
			for try := range 7 {
				dir := copyTree(t, r.dir)
				what := harm(t, rnd, filepath.Join(dir, sub, e.Name()), try)
				got, err := openAndRead(dir)
				var dmg *journal.DamageError
				switch {
				case err == nil && got == want:
					quiet++
				case errors.As(err, &dmg):
					reported++
				default:
					t.Errorf("%s: error %v, same answers %v", what, err, got == want)
				}
			}
		}
	}
	t.Log(quiet, "harmless,", reported, "reported")
	if reported == 0 {
		t.Error("nothing was noticed")
	}
}

func harm(t *testing.T, rnd *rand.Rand, name string, try int) string {
	t.Helper()
	p, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case try == 0 || len(p) == 0:
		err = os.Remove(name)
		return fmt.Sprint(filepath.Base(name), " removed ", err)
	case try < 3:
		n := rnd.IntN(len(p))
		if err := os.WriteFile(name, p[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(filepath.Base(name), " cut to ", n)
	}
	n := rnd.IntN(len(p))
	p[n] ^= 1 << rnd.IntN(8)
	if err := os.WriteFile(name, p, 0o600); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(filepath.Base(name), " flipped at ", n)
}

func openAndRead(dir string) (string, error) {
	j, x, err := openAt(dir, time.Now)
	if err != nil {
		return "", err
	}
	got, err := everything(x)
	return got, errors.Join(err, x.Close(), j.Close())
}

// leveldb must never hold what a power cut takes from the journal: the journal's unsynced tail is cut off, the tables stay.
func TestPowerCutLeavesAPrefix(t *testing.T) {
	r := newRig(t)
	for i := range 50 {
		r.commit(func(b *Batch) { b.PutInode(file(model.Ino(100+i), "f", int64(i))) })
	}
	if err := r.x.Sync(context.Background()); err != nil {
		t.Fatal(err)
	}
	durable := r.j.Durable()
	r.commit(func(b *Batch) { b.PutInode(file(900, "late", 1)) })
	cut := copyTree(t, r.dir)
	segs := r.j.Segments()
	last := segs[len(segs)-1]
	name := filepath.Join(cut, "journal", fmt.Sprintf("segment-%016d", last.Number))
	p, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	clear(p[4096+int(durable-last.First):])
	if err := os.WriteFile(name, p, 0o600); err != nil {
		t.Fatal(err)
	}
	j, x, err := openAt(cut, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x.Now().Inode(149); err != nil {
		t.Error("what was synced is gone:", err)
	}
	if _, err := x.Now().Inode(900); !errors.Is(err, ErrNotFound) {
		t.Error("what wasn't synced is there:", err)
	}
	if err := errors.Join(x.Close(), j.Close()); err != nil {
		t.Fatal(err)
	}

	// After a checkpoint the batch is durable by itself; a journal without it is damaged.
	if _, err := r.x.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	if r.j.Durable() <= durable {
		t.Fatal("leveldb was written out before the journal")
	}
	cut = copyTree(t, r.dir)
	if err := os.WriteFile(filepath.Join(cut, "journal", filepath.Base(name)), p, 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, err = openAt(cut, time.Now)
	var dmg *journal.DamageError
	if !errors.As(err, &dmg) {
		t.Fatal("want damage, got", err)
	}
}
