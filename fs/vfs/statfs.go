package vfs

import (
	"context"
	"syscall"
)

// StatFS is statfs(2). With Config.Space it tells the room in the leases; otherwise what the stage takes.
func (fs *FS) StatFS(ctx context.Context, node NodeID) (s StatFS, errno syscall.Errno) {
	defer fs.guard("statfs", &errno)
	var space Space
	if fs.cfg.Space != nil {
		space = fs.cfg.Space()
	} else {
		u := fs.st.Usage()
		space = Space{Total: u.Limit, Free: u.Limit - u.Dirty}
	}
	stats := fs.x.Stats()
	total := max(space.Total, 0)
	free := min(max(space.Free, 0), total)
	s = StatFS{
		Blocks: uint64(total) / BlockSize, Bfree: uint64(free) / BlockSize, Bavail: uint64(free) / BlockSize,
		Files: uint64(stats.Inodes), Bsize: BlockSize, Frsize: BlockSize, NameLen: MaxName,
	}
	s.Ffree = max(s.Bfree, 1) // an inode costs less than a block
	s.Files += s.Ffree
	return s, 0
}
