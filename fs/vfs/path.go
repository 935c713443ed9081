package vfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"

	"github.com/cloudcoin/cloudcoin/fs/stage"
	"github.com/cloudcoin/cloudcoin/sync/index"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// Resolve finds the inode of a path from the drive's root, as of a revision (model.MaxRev: now). Symbolic links aren't followed: one in
// the middle of a path is ELOOP. Paths below .ccdrive/at/TIME are resolved as of that time.
func (fs *FS) Resolve(path string, at model.Rev) (model.Inode, error) {
	rec, _, err := fs.resolve(path, at)
	return rec, err
}

// resolve also tells the revision that the path was read as of.
func (fs *FS) resolve(path string, at model.Rev) (model.Inode, model.Rev, error) {
	parts := splitPath(path)
	if len(parts) >= 3 && parts[0] == controlName && parts[1] == "at" {
		rev, err := ParseTime(parts[2], fs.now())
		if err != nil {
			return model.Inode{}, 0, fmt.Errorf("%s: %w: %w", path, err, syscall.ENOENT)
		}
		at, parts = min(at, rev), parts[3:]
	}
	v := fs.x.At(at)
	if at == model.MaxRev {
		v = fs.x.Now()
	}
	rec, err := v.Inode(model.RootIno)
	for _, name := range parts {
		if err != nil {
			break
		}
		switch rec.Type() {
		case model.TypeDir:
		case model.TypeSymlink:
			return rec, at, fmt.Errorf("%s: a symbolic link stands in the way: %w", path, syscall.ELOOP)
		default:
			return rec, at, fmt.Errorf("%s: %w", path, syscall.ENOTDIR)
		}
		var d model.Dirent
		if d, err = v.Lookup(rec.Ino, name); err == nil {
			rec, err = v.Inode(d.Ino)
		}
	}
	switch {
	case errors.Is(err, index.ErrNotFound):
		return rec, at, fmt.Errorf("%s: %w", path, syscall.ENOENT)
	case err != nil:
		return rec, at, fmt.Errorf("find %s: %w", path, err)
	}
	if at == model.MaxRev {
		if now, errno := fs.stat(rec.Ino); errno == 0 {
			rec = now
		}
	}
	return rec, at, nil
}

// splitPath cuts a path into names; ".." goes up by name, and stops at the root.
func splitPath(path string) []string {
	var parts []string
	for _, name := range strings.Split(path, "/") {
		switch name {
		case "", ".":
		case "..":
			parts = parts[:max(len(parts)-1, 0)]
		default:
			parts = append(parts, name)
		}
	}
	return parts
}

// ReadFile opens the content of a regular file as of a revision (model.MaxRev: now).
func (fs *FS) ReadFile(path string, at model.Rev) (*Reader, error) {
	rec, at, err := fs.resolve(path, at)
	switch {
	case err != nil:
		return nil, err
	case rec.IsDir():
		return nil, fmt.Errorf("%s: %w", path, syscall.EISDIR)
	case !rec.IsRegular():
		return nil, fmt.Errorf("%s is not a regular file: %w", path, syscall.EINVAL)
	}
	if at == model.MaxRev {
		l := fs.live.get(rec.Ino)
		defer fs.live.put(l)
		if _, err := fs.freeze(l, true); err != nil {
			return nil, err
		}
		if rec, err = fs.x.Now().Inode(rec.Ino); err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
	}
	return fs.readerOf(&rec)
}

// Reader reads one version of a file's content. It is safe for concurrent use.
type Reader struct {
	size int64
	base stage.Base      // stored, or nothing
	snap *stage.Snapshot // staged
}

// readerOf opens the content that a record names.
func (fs *FS) readerOf(rec *model.Inode) (*Reader, error) {
	c := rec.Content
	base := BaseAt(fs.cfg.Remote, rec.Ino, c.Rev)
	if c.Kind != model.ContentStaged {
		return &Reader{size: rec.Size, base: base}, nil
	}
	if !c.Settled {
		if err := fs.freezeVersion(rec.Ino, c.Version); err != nil {
			return nil, err
		}
	}
	snap, err := fs.st.Snapshot(rec.Ino, c.Version, base)
	if err != nil {
		return nil, fmt.Errorf("open version %d of inode %d: %w", c.Version, rec.Ino, err)
	}
	return &Reader{size: rec.Size, snap: snap}, nil
}

// freezeVersion freezes a version that is still the newest one.
func (fs *FS) freezeVersion(ino model.Ino, version uint64) error {
	l := fs.live.get(ino)
	defer fs.live.put(l)
	rec, err := fs.x.Now().Inode(ino)
	if err != nil || rec.Content.Version != version || rec.Content.Settled {
		return err
	}
	_, err = fs.freeze(l, true)
	return err
}

// Size is the length of the content in bytes.
func (r *Reader) Size() int64 { return r.size }

// ReadAt fills p from off; io.EOF at the end.
func (r *Reader) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, syscall.EINVAL
	}
	if off >= r.size {
		return 0, io.EOF
	}
	short := int64(len(p)) > r.size-off
	if short {
		p = p[:r.size-off]
	}
	if err := r.fill(ctx, p, off); err != nil {
		return 0, err
	}
	if short {
		return len(p), io.EOF
	}
	return len(p), nil
}

func (r *Reader) fill(ctx context.Context, p []byte, off int64) error {
	if r.snap == nil {
		return r.base.ReadAt(ctx, p, off)
	}
	n, err := r.snap.ReadAt(ctx, p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		clear(p[n:]) // the record's size is a truncate ahead
		return nil
	}
	return err
}

// seek finds data or a hole.
func (r *Reader) seek(off int64, whence int) (pos int64, err error) {
	if off < 0 || off >= r.size {
		return 0, syscall.ENXIO
	}
	switch {
	case r.snap != nil && whence == SeekData:
		return off, nil // a version that isn't stored yet is told as data throughout
	case r.snap != nil:
		return r.size, nil
	case whence == SeekHole:
		pos, err = r.base.NextHole(off)
		return min(pos, r.size), err
	}
	if pos, err = r.base.NextData(off); err == nil && pos >= r.size {
		return 0, syscall.ENXIO
	}
	return pos, err
}

// Close gives the content back.
func (r *Reader) Close() error {
	if r.snap == nil {
		return nil
	}
	return r.snap.Close()
}
