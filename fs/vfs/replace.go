package vfs

import (
	"fmt"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

// replaceContent runs change, which gives the inode another content in the index, behind the kernel: local layers go, the file gets a
// new node id (with the writeback cache the kernel would ignore the new size), handles that are open keep the old content.
// Nothing of the inode may wait to be uploaded. The caller holds l.io and l.mu, and calls invalidate when it has let go of all locks.
func (fs *FS) replaceContent(l *live, rec *model.Inode, change func() error) error {
	var reader *Reader
	if l.opens > 0 {
		r, err := fs.readerOf(rec)
		if err != nil {
			return fmt.Errorf("keep the old content for who has it open: %w", err)
		}
		reader = r
	}
	if err := change(); err != nil {
		return err
	}
	if l.file != nil {
		if err := l.file.Close(); err != nil {
			fs.log.Error("close content", "ino", l.ino, "err", err)
		}
		l.file = nil
	}
	if reader == nil {
		fs.nodes.replace(l.ino, nil)
		return fs.st.Drop(l.ino)
	}
	kept := *rec
	l.kept, l.reader, l.ahead = &kept, reader, false
	fs.live.detach(l)
	fs.nodes.replace(l.ino, l)
	return fs.st.Drop(l.ino)
}

// invalidate makes the kernel look a name up again. Called without locks.
func (fs *FS) invalidate(parent model.Ino, name string) {
	box := fs.kernel.Load()
	if box == nil {
		return
	}
	node := fs.nodes.peek(parent)
	if node == 0 {
		return
	}
	box.k.InvalEntry(node, name)
	box.k.InvalInode(node, 0, 0)
}
