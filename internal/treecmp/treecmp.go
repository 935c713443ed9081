//go:build unix

// Package treecmp compares two trees in everything that a copy must keep: names, types, contents, modes, owners, times of change to the
// nanosecond, targets of symbolic links, hard links and extended attributes.
package treecmp

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/pkg/xattr"
)

// Options say what is left out.
type Options struct {
	Skip     func(rel string) bool // names that don't count
	NoOwner  bool
	NoXattr  bool
	NoDirMod bool // times of folders
}

// most bounds the list of differences.
const most = 50

// Diff lists the differences between the trees at a and b, at most 50.
func Diff(a, b string, opt Options) ([]string, error) {
	c := &comparison{opt: opt, a: a, b: b, linksA: map[uint64]string{}, linksB: map[uint64]string{}}
	err := filepath.WalkDir(a, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(a, path)
		if err != nil {
			return err
		}
		if rel != "." && opt.Skip != nil && opt.Skip(rel) {
			return skip(path)
		}
		if len(c.diffs) >= most {
			return fs.SkipAll
		}
		return c.entry(rel)
	})
	if err != nil {
		return c.diffs, err
	}
	return c.diffs, c.extra()
}

func skip(path string) error {
	if st, err := os.Lstat(path); err == nil && st.IsDir() {
		return fs.SkipDir
	}
	return nil
}

type comparison struct {
	opt            Options
	a, b           string
	diffs          []string
	linksA, linksB map[uint64]string // first name of each inode that has several
}

func (c *comparison) differ(rel, format string, args ...any) {
	c.diffs = append(c.diffs, rel+": "+fmt.Sprintf(format, args...))
}

// extra finds names that only b has.
func (c *comparison) extra() error {
	return filepath.WalkDir(c.b, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(c.b, path)
		if err != nil {
			return err
		}
		if rel != "." && c.opt.Skip != nil && c.opt.Skip(rel) {
			return skip(path)
		}
		if len(c.diffs) >= most {
			return fs.SkipAll
		}
		if _, err := os.Lstat(filepath.Join(c.a, rel)); err != nil {
			c.differ(rel, "only in the second")
		}
		return nil
	})
}

func (c *comparison) entry(rel string) error {
	pa, pb := filepath.Join(c.a, rel), filepath.Join(c.b, rel)
	sa, err := os.Lstat(pa)
	if err != nil {
		return err
	}
	sb, err := os.Lstat(pb)
	if err != nil {
		c.differ(rel, "%v", err)
		return nil
	}
	if sa.Mode() != sb.Mode() {
		c.differ(rel, "mode %v, %v", sa.Mode(), sb.Mode())
	}
	ua, ub := sa.Sys().(*syscall.Stat_t), sb.Sys().(*syscall.Stat_t)
	if !c.opt.NoOwner && (ua.Uid != ub.Uid || ua.Gid != ub.Gid) {
		c.differ(rel, "owner %d:%d, %d:%d", ua.Uid, ua.Gid, ub.Uid, ub.Gid)
	}
	if rel != "." && !sa.ModTime().Equal(sb.ModTime()) && !(sa.IsDir() && c.opt.NoDirMod) {
		c.differ(rel, "mtime %v, %v", sa.ModTime().UnixNano(), sb.ModTime().UnixNano())
	}
	c.links(rel, sa, ua, ub)
	if !c.opt.NoXattr {
		c.xattrs(rel, pa, pb)
	}
	switch {
	case sa.Mode()&fs.ModeSymlink != 0:
		ta, _ := os.Readlink(pa)
		tb, err := os.Readlink(pb)
		if err != nil || ta != tb {
			c.differ(rel, "link to %q, %q (%v)", ta, tb, err)
		}
	case sa.Mode().IsRegular() && sb.Mode().IsRegular():
		return c.contents(rel, pa, pb, sa.Size(), sb.Size())
	}
	return nil
}

// links compares which names are one inode.
func (c *comparison) links(rel string, sa fs.FileInfo, ua, ub *syscall.Stat_t) {
	if sa.IsDir() {
		return
	}
	if ua.Nlink != ub.Nlink {
		c.differ(rel, "links %d, %d", ua.Nlink, ub.Nlink)
	}
	firstA, okA := c.linksA[ua.Ino]
	firstB, okB := c.linksB[ub.Ino]
	if okA != okB || firstA != firstB {
		c.differ(rel, "is a link to %q, %q", firstA, firstB)
	}
	if !okA {
		c.linksA[ua.Ino] = rel
	}
	if !okB {
		c.linksB[ub.Ino] = rel
	}
}

func (c *comparison) xattrs(rel, pa, pb string) {
	la, errA := xattr.LList(pa)
	lb, errB := xattr.LList(pb)
	if errA != nil || errB != nil {
		if (errA == nil) != (errB == nil) && len(la)+len(lb) > 0 {
			c.differ(rel, "extended attributes: %v, %v", errA, errB)
		}
		return
	}
	slices.Sort(la)
	slices.Sort(lb)
	if !slices.Equal(la, lb) {
		c.differ(rel, "extended attributes %s, %s", strings.Join(la, " "), strings.Join(lb, " "))
		return
	}
	for _, name := range la {
		va, _ := xattr.LGet(pa, name)
		vb, err := xattr.LGet(pb, name)
		if err != nil || !bytes.Equal(va, vb) {
			c.differ(rel, "extended attribute %s differs (%v)", name, err)
		}
	}
}

func (c *comparison) contents(rel, pa, pb string, na, nb int64) error {
	if na != nb {
		c.differ(rel, "size %d, %d", na, nb)
		return nil
	}
	fa, err := os.Open(pa)
	if err != nil {
		return err
	}
	defer fa.Close()
	fb, err := os.Open(pb)
	if err != nil {
		c.differ(rel, "%v", err)
		return nil
	}
	defer fb.Close()
	ba, bb := make([]byte, 256<<10), make([]byte, 256<<10)
	for off := int64(0); ; {
		n, errA := io.ReadFull(fa, ba)
		m, errB := io.ReadFull(fb, bb)
		if errB != nil && errB != io.EOF && errB != io.ErrUnexpectedEOF {
			c.differ(rel, "read at %d: %v", off, errB)
			return nil
		}
		if !bytes.Equal(ba[:n], bb[:m]) {
			c.differ(rel, "contents differ in the %d bytes from %d", n, off)
			return nil
		}
		if errA != nil {
			return nil
		}
		off += int64(n)
	}
}
