package mount

import (
	"fmt"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/cloudcoin/cloudcoin/fs/vfs"
)

// goFuseCapabilities is what this adapter can do.
var goFuseCapabilities = Capabilities{
	Writeback: true, ReadDirPlus: true, MaxRequest: 1 << 20, RenameFlags: true, SeekHole: true, Tmpfile: true,
	CopyFileRange: true, Fallocate: true, KillPriv: true, Sticky: true, BirthTime: true, AtomicTrunc: true,
}

// goFuseExtra are the capabilities asked for beside those that the library takes by itself.
const goFuseExtra = fuse.CAP_DONT_MASK | fuse.CAP_WRITEBACK_CACHE | fuse.CAP_ATOMIC_O_TRUNC | fuse.CAP_HANDLE_KILLPRIV_V2 |
	fuse.CAP_ASYNC_DIO | fuse.CAP_DIRECT_IO_ALLOW_MMAP

// goFusePoint mounts and gives the library the descriptor, as a path /dev/fd/N: so it is closed on exec, and messages are ours.
func goFusePoint(dir string, opt Options) (point string, release func(), err error) {
	fd, err := attach(dir, opt)
	if err != nil {
		return "", nil, err
	}
	release = func() {
		unix.Close(fd)
		_ = detach(dir)
	}
	return fmt.Sprintf("/dev/fd/%d", fd), release, nil
}

// goFusePollName is the name that the library answers for itself. It polls it only where it mounted itself.
const goFusePollName = ".go-fuse-epoll-hack"

func goFuseReady(s *fuse.Server, dir string) error {
	if err := s.WaitMount(); err != nil {
		return err
	}
	return stopPolls(dir, goFusePollName)
}

// Statx tells the time of birth, which GETATTR doesn't.
func (g *goFuse) Statx(_ <-chan struct{}, in *fuse.StatxIn, out *fuse.StatxOut) fuse.Status {
	var fh vfs.Handle
	if in.GetattrFlags&fuse.FUSE_GETATTR_FH != 0 {
		fh = in.Fh
	}
	a, errno := g.fs.GetAttr(background, caller(&in.InHeader), in.NodeId, fh)
	if errno != 0 {
		return fuse.Status(errno)
	}
	out.SetTimeout(g.opt.AttrTimeout)
	x := &out.Statx
	x.Mask = unix.STATX_BASIC_STATS | unix.STATX_BTIME
	x.Ino, x.Size, x.Blocks, x.Blksize = a.Ino, uint64(a.Size), uint64(a.Blocks), a.Blksize
	x.Nlink, x.Uid, x.Gid, x.Mode = a.Nlink, a.UID, a.GID, uint16(a.Mode)
	x.RdevMajor, x.RdevMinor = unix.Major(a.Rdev), unix.Minor(a.Rdev)
	for _, t := range []struct {
		to *fuse.SxTime
		ns int64
	}{{&x.Atime, a.Atime}, {&x.Btime, a.Btime}, {&x.Ctime, a.Ctime}, {&x.Mtime, a.Mtime}} {
		t.to.Sec, t.to.Nsec = splitTime(t.ns)
	}
	return fuse.OK
}

// openFlags are those of Linux already.
func openFlags(f uint32) uint32 { return f }
