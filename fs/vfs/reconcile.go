package vfs

import (
	"errors"
	"fmt"

	"github.com/cloudcoin/cloudcoin/sync/index"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// reconcile brings index and stage together after a start: an fsync writes size and times of a file to the stage's journal records
// only, so the index record may be older than the content.
func (fs *FS) reconcile() error {
	if err := fs.cleanOrphans(); err != nil {
		return err
	}
	var behind []stagedContent
	err := fs.st.DirtyInos(func(ino model.Ino, version uint64, size, mtime, ctime int64) bool {
		behind = append(behind, stagedContent{ino, version, size, mtime, ctime})
		return true
	})
	if err != nil {
		return fmt.Errorf("list local contents: %w", err)
	}
	for _, s := range behind {
		if err := fs.catchUp(s); err != nil {
			return fmt.Errorf("bring the record of inode %d up to its content: %w", s.ino, err)
		}
	}
	return nil
}

// stagedContent is what the stage knows of a file that isn't stored.
type stagedContent struct {
	ino                model.Ino
	version            uint64
	size, mtime, ctime int64
}

// catchUp writes the record of a file whose content is newer than it.
func (fs *FS) catchUp(s stagedContent) error {
	rec, err := fs.x.Now().Inode(s.ino)
	if errors.Is(err, index.ErrNotFound) {
		return fs.st.Drop(s.ino)
	}
	if err != nil {
		return err
	}
	if rec.Nlink == 0 {
		fs.dropContent(s.ino)
		return nil
	}
	// A record is never put without the content that its file has, so one that isn't older than the content names it, or
	// names the stored one that came of it.
	staged := rec.Content.Kind == model.ContentStaged && rec.Content.Version == s.version
	if s.ctime <= rec.Ctime && staged {
		return nil
	}
	if s.ctime <= rec.Ctime && rec.Content.Kind == model.ContentStored && fs.st.Stored(s.ino, s.version) == nil {
		return nil // the crash came before the stage knew; a version that isn't final was written since, right before the crash
	}
	rec.Size = s.size
	if s.ctime > rec.Ctime {
		rec.Mtime, rec.Ctime = s.mtime, s.ctime
	}
	if !staged {
		rec.Content = model.Content{Kind: model.ContentStaged, Version: s.version, Rev: rec.Content.Rev}
	}
	b := fs.x.Begin()
	b.PutInode(&rec)
	_, err = b.Commit()
	return err
}
