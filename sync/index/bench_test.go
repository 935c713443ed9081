package index

import (
	"fmt"
	"testing"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

func fillDir(t testing.TB, r *rig, n int) {
	t.Helper()
	for i := range n {
		ino := model.Ino(1000 + i)
		name := fmt.Sprintf("file-%06d", i)
		r.commit(func(b *Batch) {
			b.PutInode(staged(file(ino, name, 4096), 1))
			b.PutDirent(model.RootIno, name, ino, model.TypeRegular)
		})
	}
}

func BenchmarkCommitCreate(b *testing.B) {
	r := newRig(b)
	dir := file(1, "", 0)
	dir.Mode = model.TypeDir | 0o755
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		i++
		ino := model.Ino(1000 + i)
		name := fmt.Sprintf("file-%06d", i)
		bt := r.x.Begin()
		bt.PutInode(staged(file(ino, name, 4096), 1))
		bt.PutDirent(model.RootIno, name, ino, model.TypeRegular)
		bt.PutInode(dir)
		if _, err := bt.Commit(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCommitUpdate(b *testing.B) {
	r := newRig(b)
	fillDir(b, r, 100)
	n := staged(file(1000, "file-000000", 1), 2)
	b.ReportAllocs()
	for b.Loop() {
		bt := r.x.Begin()
		bt.PutInode(n)
		if _, err := bt.Commit(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	r := newRig(b)
	fillDir(b, r, 20000)
	if _, err := r.x.Checkpoint(); err != nil {
		b.Fatal(err)
	}
	for _, cached := range []bool{true, false} {
		b.Run(fmt.Sprintf("cached=%v", cached), func(b *testing.B) {
			i := 0
			for b.Loop() {
				i++
				k := i % 1000
				if !cached {
					k = i * 7919 % 20000
					if i%500 == 0 {
						r.x.inodes.clear()
						r.x.dirents.clear()
					}
				}
				d, err := r.x.Now().Lookup(1, fmt.Sprintf("file-%06d", k))
				if err == nil {
					_, err = r.x.Now().Inode(d.Ino)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkReadDirPlus10k(b *testing.B) {
	r := newRig(b)
	fillDir(b, r, 10000)
	if _, err := r.x.Checkpoint(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		r.x.inodes.clear()
		n := 0
		if err := r.x.Now().ReadDirPlus(1, 0, func(model.Dirent, model.Inode) bool { n++; return true }); err != nil || n != 10000 {
			b.Fatal(n, err)
		}
	}
}
