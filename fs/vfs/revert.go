package vfs

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"github.com/cloudcoin/cloudcoin/sync/index"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// Revert brings path back to what it was at rev, as a new revision: a file's content and attributes, a deleted name, or a whole
// folder with all that was below it; names made in that folder since then are taken out again. What is undone stays in the history.
//
// A file keeps its inode where it can. It gets a new one when its inode has another name now, or when a content of it still
// waits to be uploaded. A revert of a folder is many steps: one that was interrupted is completed by doing it again.
func (fs *FS) Revert(ctx context.Context, path string, rev model.Rev) (err error) {
	defer func() {
		if r := recover(); r != nil {
			fs.report(fmt.Sprintf("revert of %s stumbled over a programming error: %v", path, r))
			err = fmt.Errorf("revert %s: %w", path, syscall.EIO)
		}
	}()
	if errno := fs.writable(); errno != 0 {
		return fmt.Errorf("revert %s: %w (%s)", path, errno, fs.ReadOnly())
	}
	parts := splitPath(path)
	then := fs.x.At(rev)
	if len(parts) == 0 {
		rec, err := then.Inode(model.RootIno)
		if err == nil {
			err = fs.restoreRecord(then, model.RootIno, &rec)
		}
		if err == nil {
			err = fs.revertFolder(ctx, then, model.RootIno, model.RootIno)
		}
		if err != nil {
			return fmt.Errorf("revert /: %w", err)
		}
		return fs.x.Sync(ctx)
	}
	old, err := fs.Resolve(path, rev)
	if err != nil {
		return fmt.Errorf("as of %s: %w", rev.Time().UTC().Format("2006-01-02T15:04:05.000000Z"), err)
	}
	dir, err := fs.revertParents(ctx, then, parts[:len(parts)-1])
	if err != nil {
		return fmt.Errorf("revert %s: %w", path, err)
	}
	if err := fs.revertName(ctx, then, dir, parts[len(parts)-1], &old); err != nil {
		return fmt.Errorf("revert %s: %w", path, err)
	}
	return fs.x.Sync(ctx)
}

// revertParents finds the folder that a path lies in, bringing back the ones that are gone, without what was in them.
func (fs *FS) revertParents(ctx context.Context, then *index.View, parts []string) (model.Ino, error) {
	dir, oldDir := model.RootIno, model.RootIno
	for _, name := range parts {
		d, err := then.Lookup(oldDir, name)
		if err != nil {
			return 0, err
		}
		oldDir = d.Ino
		now, err := fs.x.Now().Lookup(dir, name)
		switch {
		case err == nil && now.Type == model.TypeDir:
			dir = now.Ino
			continue
		case err == nil:
			return 0, fmt.Errorf("%s is no folder any more: %w", name, syscall.ENOTDIR)
		case !errors.Is(err, index.ErrNotFound):
			return 0, err
		}
		old, err := then.Inode(d.Ino)
		if err != nil {
			return 0, err
		}
		if dir, err = fs.restoreName(ctx, then, dir, name, &old); err != nil {
			return 0, err
		}
	}
	return dir, nil
}

// revertName makes one name of a folder what it was: old is the inode that it had.
func (fs *FS) revertName(ctx context.Context, then *index.View, dir model.Ino, name string, old *model.Inode) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ino, err := fs.restoreName(ctx, then, dir, name, old)
	if err != nil || !old.IsDir() {
		return err
	}
	return fs.revertFolder(ctx, then, old.Ino, ino)
}

// revertFolder makes folder dir hold what folder oldDir held.
func (fs *FS) revertFolder(ctx context.Context, then *index.View, oldDir, dir model.Ino) error {
	had := map[string]bool{}
	var cookie uint64
	for {
		list, err := listSome(then, oldDir, cookie)
		if err != nil {
			return err
		}
		for _, d := range list {
			had[d.Name], cookie = true, d.Cookie
			old, err := then.Inode(d.Ino)
			if err == nil {
				err = fs.revertName(ctx, then, dir, d.Name, &old)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", d.Name, err)
			}
		}
		if len(list) == 0 {
			return fs.removeOthers(ctx, dir, had)
		}
	}
}

// listSome reads the next thousand names of a folder, so that a listing isn't held open while the folder changes.
func listSome(v *index.View, dir model.Ino, cookie uint64) ([]model.Dirent, error) {
	var list []model.Dirent
	err := v.ReadDir(dir, cookie, func(d model.Dirent) bool {
		list = append(list, d)
		return len(list) < 1000
	})
	return list, err
}

// removeOthers takes the names out of a folder that it didn't have.
func (fs *FS) removeOthers(ctx context.Context, dir model.Ino, had map[string]bool) error {
	var cookie uint64
	for {
		list, err := listSome(fs.x.Now(), dir, cookie)
		if err != nil || len(list) == 0 {
			return err
		}
		for _, d := range list {
			cookie = d.Cookie
			if had[d.Name] {
				continue
			}
			if err := fs.removeTree(ctx, dir, d); err != nil {
				return fmt.Errorf("take out %s: %w", d.Name, err)
			}
		}
	}
}

// removeTree removes a name and, of a folder, all below it. Contents are frozen first, so that they stay in the history.
func (fs *FS) removeTree(ctx context.Context, dir model.Ino, d model.Dirent) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if d.Type == model.TypeDir {
		if err := fs.removeOthers(ctx, d.Ino, nil); err != nil {
			return err
		}
	} else if err := fs.keepHistory(d.Ino); err != nil {
		return err
	}
	errno := fs.remove(Caller{}, fs.nodes.current(dir), d.Name, d.Type == model.TypeDir)
	fs.invalidate(dir, d.Name)
	if errno != 0 {
		return errno
	}
	return nil
}

// keepHistory settles the newest revision of an inode, at rest or not, so that it can be brought back.
func (fs *FS) keepHistory(ino model.Ino) error {
	l := fs.live.get(ino)
	defer fs.live.put(l)
	l.io.Lock()
	defer l.io.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if errno := fs.flushRecord(l); errno != 0 {
		return errno
	}
	rec, errno := fs.record(ino)
	if errno == 0 {
		errno = fs.settle(l, &rec)
	}
	if errno != 0 {
		return errno
	}
	return nil
}
