package vfs_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cloudcoin/cloudcoin/fs/vfs"
)

func benchFolder(b *testing.B) (*drive, vfs.NodeID) {
	d := newDrive(b, nil)
	e, errno := d.fs.Mkdir(bg, vfs.Caller{}, vfs.RootNode, "d", 0o755)
	ok(b, errno)
	return d, e.Node
}

func (d *drive) createIn(b *testing.B, dir vfs.NodeID, name string, p []byte) {
	e, fh, _, errno := d.fs.Create(bg, vfs.Caller{}, dir, name, vfs.OpenWriteOnly, 0o644)
	ok(b, errno)
	if len(p) > 0 {
		_, errno = d.fs.Write(bg, vfs.Caller{}, e.Node, fh, p, 0, vfs.WriteFlags{})
		ok(b, errno)
	}
	ok(b, d.fs.Flush(bg, e.Node, fh))
	d.fs.Release(e.Node, fh)
}

func BenchmarkCreate(b *testing.B) {
	d, dir := benchFolder(b)
	b.ResetTimer()
	for i := range b.N {
		d.createIn(b, dir, fmt.Sprint("file", i), nil)
	}
}

func BenchmarkCreateWriteClose(b *testing.B) {
	d, dir := benchFolder(b)
	p := make([]byte, 4096)
	b.ResetTimer()
	for i := range b.N {
		d.createIn(b, dir, fmt.Sprint("file", i), p)
	}
}

func benchFiles(b *testing.B) (*drive, vfs.NodeID) {
	d, dir := benchFolder(b)
	for i := range 10000 {
		_, errno := d.fs.Mknod(bg, vfs.Caller{}, dir, fmt.Sprint("file", i), 0o644, 0)
		ok(b, errno)
	}
	b.ResetTimer()
	return d, dir
}

func BenchmarkLookup(b *testing.B) {
	d, dir := benchFiles(b)
	for i := range b.N {
		_, errno := d.fs.Lookup(bg, vfs.Caller{}, dir, fmt.Sprint("file", i%10000))
		ok(b, errno)
	}
}

func BenchmarkReadDirPlus10k(b *testing.B) {
	d, dir := benchFiles(b)
	for range b.N {
		n := 0
		ok(b, d.fs.ReadDir(bg, vfs.Caller{}, dir, 0, 0, true, func(*vfs.DirEntry) bool { n++; return true }))
		if n != 10002 {
			b.Fatal(n)
		}
	}
}

func BenchmarkUnlink(b *testing.B) {
	d, dir := benchFolder(b)
	for i := range b.N {
		d.createIn(b, dir, fmt.Sprint("file", i), []byte("x"))
	}
	b.ResetTimer()
	for i := range b.N {
		ok(b, d.fs.Unlink(bg, vfs.Caller{}, dir, fmt.Sprint("file", i)))
	}
}

func benchFile(b *testing.B) (*drive, vfs.NodeID, vfs.Handle) {
	d, dir := benchFolder(b)
	e, fh, _, errno := d.fs.Create(bg, vfs.Caller{}, dir, "f", vfs.OpenReadWrite, 0o644)
	ok(b, errno)
	b.Cleanup(func() { d.fs.Release(e.Node, fh) })
	return d, e.Node, fh
}

func BenchmarkRandomWrite4k(b *testing.B) {
	d, n, fh := benchFile(b)
	p := make([]byte, 4096)
	r := rand.New(rand.NewPCG(1, 2))
	b.SetBytes(4096)
	b.ResetTimer()
	for range b.N {
		_, errno := d.fs.Write(bg, vfs.Caller{}, n, fh, p, r.Int64N(1<<16)*4096, vfs.WriteFlags{})
		ok(b, errno)
	}
}

func BenchmarkWriteFsync4k(b *testing.B) {
	d, n, fh := benchFile(b)
	p := make([]byte, 4096)
	b.ResetTimer()
	for i := range b.N {
		_, errno := d.fs.Write(bg, vfs.Caller{}, n, fh, p, int64(i%256)*4096, vfs.WriteFlags{})
		ok(b, errno)
		ok(b, d.fs.Fsync(bg, n, fh, false))
	}
}

func BenchmarkSequentialWrite1M(b *testing.B) {
	d, n, fh := benchFile(b)
	p := make([]byte, 1<<20)
	b.SetBytes(1 << 20)
	b.ResetTimer()
	for i := range b.N {
		_, errno := d.fs.Write(bg, vfs.Caller{}, n, fh, p, int64(i%256)<<20, vfs.WriteFlags{})
		ok(b, errno)
	}
}

func BenchmarkRead4k(b *testing.B) {
	d, n, fh := benchFile(b)
	_, errno := d.fs.Write(bg, vfs.Caller{}, n, fh, make([]byte, 4<<20), 0, vfs.WriteFlags{})
	ok(b, errno)
	p := make([]byte, 4096)
	b.ResetTimer()
	for i := range b.N {
		_, errno := d.fs.Read(bg, n, fh, p, int64(i%1024)*4096)
		ok(b, errno)
	}
}
