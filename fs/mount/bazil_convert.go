//go:build linux

package mount

import (
	"encoding/binary"
	"os"
	"time"

	"bazil.org/fuse"

	"github.com/cloudcoin/cloudcoin/fs/vfs"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// bazilTypes pairs types of files.
var bazilTypes = []struct {
	unix uint32
	mode os.FileMode
}{
	{model.TypeDir, os.ModeDir},
	{model.TypeSymlink, os.ModeSymlink},
	{model.TypeFIFO, os.ModeNamedPipe},
	{model.TypeSocket, os.ModeSocket},
	{model.TypeChar, os.ModeDevice | os.ModeCharDevice},
	{model.TypeBlock, os.ModeDevice},
}

// Bits of a mode above the permissions.
const (
	setUID = 0o4000
	setGID = 0o2000
	sticky = 0o1000
)

// goMode translates st_mode for the library.
func goMode(mode uint32) os.FileMode {
	m := os.FileMode(mode & 0o777)
	for _, t := range bazilTypes {
		if mode&model.TypeMask == t.unix {
			m |= t.mode
		}
	}
	if mode&setUID != 0 {
		m |= os.ModeSetuid
	}
	if mode&setGID != 0 {
		m |= os.ModeSetgid
	}
	if mode&sticky != 0 {
		m |= os.ModeSticky
	}
	return m
}

// unixMode is the reverse. What the library calls irregular has no type.
func unixMode(m os.FileMode) uint32 {
	mode := uint32(m.Perm())
	if m&os.ModeIrregular == 0 {
		mode |= unixType(m)
	}
	if m&os.ModeSetuid != 0 {
		mode |= setUID
	}
	if m&os.ModeSetgid != 0 {
		mode |= setGID
	}
	if m&os.ModeSticky != 0 {
		mode |= sticky
	}
	return mode
}

func unixType(m os.FileMode) uint32 {
	for _, t := range bazilTypes {
		if m&t.mode == t.mode {
			return t.unix
		}
	}
	return model.TypeRegular
}

func (b *bazil) attr(a *vfs.Attr, valid time.Duration) fuse.Attr {
	return fuse.Attr{
		Valid: valid,
		Inode: a.Ino, Size: uint64(a.Size), Blocks: uint64(a.Blocks), BlockSize: a.Blksize,
		Atime: time.Unix(0, a.Atime), Mtime: time.Unix(0, a.Mtime), Ctime: time.Unix(0, a.Ctime),
		Mode: goMode(a.Mode), Nlink: a.Nlink, Uid: a.UID, Gid: a.GID, Rdev: uint32(a.Rdev),
	}
}

func (b *bazil) entry(e *vfs.Entry) fuse.LookupResponse {
	valid := e.EntryValid
	if b.opt.EntryTimeout > 0 {
		valid = b.opt.EntryTimeout
	}
	return fuse.LookupResponse{
		Node: fuse.NodeID(e.Node), Generation: e.Generation, EntryValid: valid, Attr: b.attr(&e.Attr, e.AttrValid),
	}
}

func bazilOpen(fh vfs.Handle, f vfs.OpenFlags) fuse.OpenResponse {
	r := fuse.OpenResponse{Handle: fuse.HandleID(fh)}
	if f.KeepCache {
		r.Flags |= fuse.OpenKeepCache
	}
	if f.DirectIO {
		r.Flags |= fuse.OpenDirectIO
	}
	return r
}

// direntHeader is the length of the fixed part of struct fuse_dirent: ino, off, namelen, type.
const direntHeader = 24

// appendDirent adds one entry in the kernel's format, if it fits into max bytes. The library's own function numbers entries by their
// place in the buffer, which isn't a position to come back to.
func appendDirent(b []byte, maxLen int, e *vfs.DirEntry) ([]byte, bool) {
	size := (direntHeader + len(e.Name) + 7) &^ 7
	if len(b)+size > maxLen {
		return b, false
	}
	end := len(b) + size
	b = binary.NativeEndian.AppendUint64(b, e.Ino)
	b = binary.NativeEndian.AppendUint64(b, e.Cookie)
	b = binary.NativeEndian.AppendUint32(b, uint32(len(e.Name)))
	b = binary.NativeEndian.AppendUint32(b, e.Type>>12)
	b = append(b, e.Name...)
	for len(b) < end {
		b = append(b, 0)
	}
	return b, true
}
