package vfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"

	"github.com/cloudcoin/cloudcoin/sync/index"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// restoreName gives a name of a folder the inode, content and attributes that old tells, and returns the inode that it has then.
// Folders come back without names in them, unless they are there.
func (fs *FS) restoreName(ctx context.Context, then *index.View, dir model.Ino, name string, old *model.Inode) (model.Ino, error) {
	now, err := fs.x.Now().Lookup(dir, name)
	exists := err == nil
	if err != nil && !errors.Is(err, index.ErrNotFound) {
		return 0, err
	}
	if exists && now.Ino == old.Ino {
		done, err := fs.restoreInPlace(then, old)
		fs.invalidate(dir, name)
		if done || err != nil {
			return old.Ino, err
		}
	}
	if exists && now.Type == model.TypeDir && old.IsDir() {
		err := fs.restoreRecord(then, now.Ino, old)
		fs.invalidate(dir, name)
		return now.Ino, err
	}
	if exists {
		if err := fs.removeOld(ctx, dir, now, old.IsDir()); err != nil {
			return 0, err
		}
	}
	rec, err := fs.restored(ctx, then, dir, name, old)
	if err != nil {
		return 0, err
	}
	err = fs.placeName(then, dir, name, rec, old.Ino)
	fs.invalidate(dir, name)
	return rec.Ino, err
}

// removeOld makes room for a name that something else has now: a folder goes with all in it; a file is kept in the history and
// replaced when the new one is placed.
func (fs *FS) removeOld(ctx context.Context, dir model.Ino, now model.Dirent, folder bool) error {
	if now.Type == model.TypeDir || folder {
		return fs.removeTree(ctx, dir, now)
	}
	return fs.keepHistory(now.Ino)
}

// restoreInPlace brings an inode that still has its name back to old. done is false when it needs a new inode: a content that
// waits to be uploaded can't be passed by an older one.
func (fs *FS) restoreInPlace(then *index.View, old *model.Inode) (done bool, err error) {
	if !old.IsRegular() {
		return true, fs.restoreRecord(then, old.Ino, old)
	}
	if err := fs.keepHistory(old.Ino); err != nil {
		return false, err
	}
	l := fs.live.get(old.Ino)
	defer fs.live.put(l)
	l.io.Lock()
	defer l.io.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	rec, errno := fs.statLive(l)
	switch {
	case l.kept != nil:
		return false, fmt.Errorf("another revert of the same file is under way: %w", syscall.EBUSY)
	case errno != 0:
		return false, errno
	}
	same := !l.ahead && rec.Content.Kind == old.Content.Kind && rec.Content.Rev == old.Content.Rev &&
		(rec.Content.Version == old.Content.Version || rec.Content.Kind != model.ContentStaged) && rec.Size == old.Size
	switch {
	case same:
		if rec.Mtime != old.Mtime {
			fs.nodes.replace(l.ino, nil) // the kernel keeps its own mtime of a file that it has cached
		}
		return true, fs.putRestored(then, l, &rec, old)
	case rec.Content.Kind == model.ContentStaged || old.Content.Kind == model.ContentStaged || l.ahead:
		return false, nil
	}
	return true, fs.replaceContent(l, &rec, func() error {
		content, err := fs.extentsBack(old.Ino, old)
		if err != nil {
			return err
		}
		next := rec
		next.Content, next.Size = content, old.Size
		return fs.putRestored(then, l, &next, old)
	})
}

// restoreRecord brings attributes of an inode back.
func (fs *FS) restoreRecord(then *index.View, ino model.Ino, old *model.Inode) error {
	fs.ns.RLock()
	defer fs.ns.RUnlock()
	l := fs.live.get(ino)
	defer fs.live.put(l)
	l.mu.Lock()
	defer l.mu.Unlock()
	rec, errno := fs.statLive(l)
	if errno != 0 {
		return errno
	}
	return fs.putRestored(then, l, &rec, old)
}

// putRestored writes rec with the attributes of old. Holds l.mu.
func (fs *FS) putRestored(then *index.View, l *live, rec, old *model.Inode) error {
	b := fs.x.Begin()
	rec.Mode, rec.UID, rec.GID, rec.Atime, rec.Mtime = old.Mode, old.UID, old.GID, old.Atime, old.Mtime
	rec.Ctime = fs.now().UnixNano()
	if err := fs.xattrsBack(b, then, old.Ino, rec); err != nil {
		return err
	}
	b.PutInode(rec)
	if errno := fs.commit(b); errno != 0 {
		return errno
	}
	fs.written(l)
	return nil
}

// xattrsBack gives rec the extended attributes that inode from had then.
func (fs *FS) xattrsBack(b *index.Batch, then *index.View, from model.Ino, rec *model.Inode) error {
	want := map[string]bool{}
	names, err := then.Xattrs(from)
	if err != nil {
		return fmt.Errorf("list attributes: %w", err)
	}
	for _, name := range names {
		val, err := then.Xattr(from, name)
		if err != nil {
			return fmt.Errorf("read attribute %s: %w", name, err)
		}
		want[name] = true
		b.SetXattr(rec.Ino, name, val)
	}
	have, err := fs.x.Now().Xattrs(rec.Ino)
	if err != nil {
		return fmt.Errorf("list attributes: %w", err)
	}
	for _, name := range have {
		if !want[name] {
			b.RemoveXattr(rec.Ino, name)
		}
	}
	rec.HasXattr = len(names) > 0
	return nil
}

// restored readies the inode that a name gets back: the old one, when nothing else has it, or a new one with the same content. It isn't
// in the index yet, but its content is.
func (fs *FS) restored(ctx context.Context, then *index.View, dir model.Ino, name string, old *model.Inode) (*model.Inode, error) {
	rec := *old
	rec.Parent, rec.Name, rec.Nlink, rec.Ctime = dir, name, 1, fs.now().UnixNano()
	if rec.IsDir() {
		rec.Nlink = 2
	}
	free, err := fs.isFree(old)
	if err != nil {
		return nil, err
	}
	if !free {
		if rec.Ino, err = fs.x.NextIno(); err != nil {
			return nil, fmt.Errorf("take an inode number: %w", err)
		}
	}
	if !rec.IsRegular() {
		return &rec, nil
	}
	if old.Content.Kind == model.ContentStaged {
		rec.Content, err = fs.copyContent(ctx, rec.Ino, old)
	} else {
		rec.Content, err = fs.extentsBack(rec.Ino, old)
	}
	return &rec, err
}

// isFree tells whether the inode of a lost name can be used again: it has no other name, nobody has it open, and nothing of it waits
// to be uploaded.
func (fs *FS) isFree(old *model.Inode) (bool, error) {
	now, err := fs.x.Now().Inode(old.Ino)
	if errors.Is(err, index.ErrNotFound) {
		return false, nil
	}
	if err != nil || now.Nlink > 0 {
		return false, err
	}
	if l := fs.live.find(old.Ino); l != nil {
		defer fs.live.put(l)
		if l.openNow() {
			return false, nil
		}
	}
	free := true
	err = fs.x.InodeRevs(old.Ino, func(rec model.Inode) bool {
		free = rec.Content.Kind != model.ContentStaged
		return free
	})
	return free, err
}

// extentBatch is how many extents one batch of extentsBack holds: with their chunk ids they stay below a journal record.
const extentBatch = 4096

// extentsBack gives ino the extents that old had, where they differ, and returns the content to put into its record. Until that
// record is put nobody reads them.
func (fs *FS) extentsBack(ino model.Ino, old *model.Inode) (model.Content, error) {
	if old.Content.Kind == model.ContentNone {
		return model.Content{}, nil
	}
	list, err := fs.extentDiff(ino, old)
	if err != nil {
		return model.Content{}, fmt.Errorf("compare contents: %w", err)
	}
	rev := old.Content.Rev
	if newest, err := storedRev(fs.x, ino); err != nil {
		return model.Content{}, err
	} else if newest > rev {
		rev = newest
	}
	for i := 0; i < len(list); {
		n := 1
		for i+n < len(list) && n < extentBatch && list[i+n].Off == list[i+n-1].Off+list[i+n-1].Len {
			n++
		}
		b := fs.x.Begin()
		b.PutExtents(ino, list[i:i+n])
		if rev, err = b.Commit(); err != nil {
			return model.Content{}, fmt.Errorf("put extents: %w", err)
		}
		i += n
	}
	return model.Content{Kind: model.ContentStored, Rev: rev}, nil
}

// extentDiff is the extents of old, holes explicit, but for those that ino has now.
func (fs *FS) extentDiff(ino model.Ino, old *model.Inode) ([]model.Extent, error) {
	have := map[model.Extent]bool{}
	if ino == old.Ino {
		err := fs.x.Now().Extents(ino, 0, MaxFileSize, func(e model.Extent) bool {
			have[e] = true
			return true
		})
		if err != nil {
			return nil, err
		}
	}
	var list []model.Extent
	end := int64(0)
	err := fs.x.At(old.Content.Rev).Extents(old.Ino, 0, old.Size, func(e model.Extent) bool {
		if e.Off > end {
			list = append(list, model.Extent{Off: end, Len: e.Off - end})
		}
		end = e.Off + e.Len
		if !have[e] {
			list = append(list, e)
		}
		return true
	})
	if end < old.Size && err == nil {
		list = append(list, model.Extent{Off: end, Len: old.Size - end})
	}
	return list, err
}

// copyContent copies a content that is in the stage only into the stage of another inode.
func (fs *FS) copyContent(ctx context.Context, ino model.Ino, old *model.Inode) (model.Content, error) {
	r, err := fs.readerOf(old)
	if err != nil {
		return model.Content{}, err
	}
	defer r.Close()
	f, err := fs.st.Open(ino, zeros{}, 0)
	if err != nil {
		return model.Content{}, fmt.Errorf("open content: %w", err)
	}
	defer f.Close()
	f.SetAttr(old.Mtime, old.Ctime)
	buf := make([]byte, copyUnit)
	for off := int64(0); off < r.Size(); {
		n, err := r.ReadAt(ctx, buf, off)
		if err != nil && !errors.Is(err, io.EOF) {
			return model.Content{}, fmt.Errorf("read old content: %w", err)
		}
		if err := f.WriteAt(ctx, buf[:n], off); err != nil {
			return model.Content{}, fmt.Errorf("write content: %w", err)
		}
		off += int64(n)
	}
	if f.Size() != old.Size {
		if err := f.Truncate(ctx, old.Size); err != nil {
			return model.Content{}, fmt.Errorf("write content: %w", err)
		}
	}
	if err := f.Sync(ctx); err != nil {
		return model.Content{}, fmt.Errorf("sync content: %w", err)
	}
	return model.Content{Kind: model.ContentStaged, Version: f.Version()}, nil
}

// placeName puts a restored inode under a name, in place of what has it.
func (fs *FS) placeName(then *index.View, dir model.Ino, name string, rec *model.Inode, from model.Ino) error {
	fs.ns.RLock()
	defer fs.ns.RUnlock()
	d := fs.live.get(dir)
	defer fs.live.put(d)
	d.mu.Lock()
	defer d.mu.Unlock()
	prec, errno := fs.folder(Caller{}, dir, 0)
	if errno != 0 {
		return errno
	}
	now := fs.now().UnixNano()
	b := fs.x.Begin()
	over, err := fs.x.Now().Lookup(dir, name)
	switch {
	case err == nil && over.Type == model.TypeDir:
		return syscall.EEXIST // made this moment
	case err == nil:
		l := fs.live.get(over.Ino)
		defer fs.live.put(l)
		l.mu.Lock()
		defer l.mu.Unlock()
		lost, errno := fs.losing(Caller{}, &prec, l)
		if errno != 0 {
			return errno
		}
		lost.stage(b, now)
		defer lost.done()
		defer func() {
			if err == nil {
				lost.committed()
			}
		}()
	case !errors.Is(err, index.ErrNotFound):
		return err
	}
	if err = fs.xattrsBack(b, then, from, rec); err != nil {
		return err
	}
	b.PutInode(rec)
	b.PutDirent(dir, name, rec.Ino, rec.Type())
	prec.Mtime, prec.Ctime = now, now
	if rec.IsDir() {
		prec.Nlink++
	}
	b.PutInode(&prec)
	if errno := fs.commit(b); errno != 0 {
		err = errno
		return err
	}
	err = nil
	if rec.Content.Kind == model.ContentStaged {
		fs.tellDirty(rec.Ino)
	}
	return nil
}
