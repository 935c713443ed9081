// Package history answers for the past of a drive: the revisions of a path, and which of them are kept.
//
// Nothing is recorded for it: the index keeps every revision of every name and inode, and this package reads them. An Entry is a moment at
// which what a path names changed. A Policy is a set of rules of the form "as of every midnight of the last 180 days": a
// revision is kept when it was the current one at any of these moments. Prune applies a policy; giving back the room at the
// providers is the engine's (Engine.Collect), bringing old revisions back is the tree's (vfs.FS.Revert).
//
// Everything is safe for concurrent use.
package history

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/cloudcoin/cloudcoin/internal/humanize"
	"github.com/cloudcoin/cloudcoin/sync/index"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// What an Entry says that happened.
const (
	OpCreate = "create" // the path began to name something new
	OpWrite  = "write"  // the bytes of the file, or the names in the folder, changed
	OpRename = "rename" // the path was given to something that had another name, or a further link
	OpDelete = "delete" // the path names nothing any more
	OpAttr   = "attr"   // mode, owner, times or extended attributes changed
)

// Entry is one revision of a path.
type Entry struct {
	Revision model.Rev `json:"revision"`
	Time     time.Time `json:"time"`
	Device   string    `json:"device"`
	Op       string    `json:"op"`
	Size     int64     `json:"size"`
	Stored   bool      `json:"stored"` // content and names are at the providers
}

// Of lists the revisions of a path from the drive's root, newest first, also when nothing has this name any more. device names the
// device that made a revision; nil: none is named. index.ErrNotFound when nothing ever had this name. A folder on the way that had the same name as an
// older one is taken for the newest.
func Of(x *index.Index, path string, device func(model.Rev) string) ([]Entry, error) {
	var names []string
	for _, n := range strings.Split(path, "/") {
		if n != "" && n != "." {
			names = append(names, n)
		}
	}
	l := lister{x: x, device: device}
	if len(names) == 0 {
		err := l.inode(model.Dirent{Ino: model.RootIno}, model.MaxRev)
		return l.out, err
	}
	parent := model.RootIno
	for _, n := range names[:len(names)-1] {
		next, err := newestFolder(x, parent, n)
		if err != nil {
			return nil, fmt.Errorf("history of %s: %w", path, err)
		}
		parent = next
	}
	if err := l.name(parent, names[len(names)-1]); err != nil {
		return nil, fmt.Errorf("history of %s: %w", path, err)
	}
	return l.out, nil
}

// newestFolder is the last folder that had a name.
func newestFolder(x *index.Index, parent model.Ino, name string) (ino model.Ino, err error) {
	err = x.DirentRevs(parent, name, func(d model.Dirent) bool {
		if d.Ino != 0 && d.Type == model.TypeDir {
			ino = d.Ino
		}
		return ino == 0
	})
	if err == nil && ino == 0 {
		err = fmt.Errorf("folder %q: %w", name, index.ErrNotFound)
	}
	return ino, err
}

// lister collects entries, newest first.
type lister struct {
	x      *index.Index
	device func(model.Rev) string
	out    []Entry
}

// name walks over what a name stood for, newest first.
func (l *lister) name(parent model.Ino, name string) error {
	var revs []model.Dirent
	if err := l.x.DirentRevs(parent, name, func(d model.Dirent) bool { revs = append(revs, d); return true }); err != nil {
		return err
	}
	if len(revs) == 0 {
		return index.ErrNotFound
	}
	until := model.MaxRev
	for _, d := range revs {
		if d.Ino == 0 {
			if err := l.add(d.Rev, OpDelete, 0, true); err != nil {
				return err
			}
		} else if err := l.inode(d, until); err != nil {
			return err
		}
		until = d.Rev
	}
	return nil
}

// inode adds the revisions of what a name stood for from d.Rev until another revision.
func (l *lister) inode(d model.Dirent, until model.Rev) error {
	var revs []model.Inode // newest first, with the first one before d.Rev
	older := false         // it had a record before it had this name
	err := l.x.InodeRevs(d.Ino, func(n model.Inode) bool {
		if n.Rev < until {
			revs = append(revs, n)
		}
		older = n.Rev < d.Rev
		return !older
	})
	if err != nil {
		return err
	}
	for i := range revs {
		n := &revs[i]
		if n.Rev <= d.Rev {
			break
		}
		op := OpWrite // with nothing older to compare it to
		if i+1 < len(revs) {
			op = change(&revs[i+1], n)
		}
		if op == "" || (i+1 == len(revs) && !older && d.Rev != 0) {
			continue // the record of a creation that was folded into a later revision is told as the creation, below
		}
		if err := l.add(n.Rev, op, n.Size, n.Content.Kind != model.ContentStaged); err != nil {
			return err
		}
	}
	op, rev := OpRename, d.Rev
	if !older {
		op = OpCreate
	}
	n := atOrAfter(revs, d.Rev)
	if rev == 0 { // the root has no name: its first record is its creation
		if len(revs) == 0 {
			return index.ErrNotFound
		}
		rev = revs[len(revs)-1].Rev
		if len(l.out) > 0 && l.out[len(l.out)-1].Revision == rev {
			l.out = l.out[:len(l.out)-1]
		}
		op = OpCreate
	}
	return l.add(rev, op, n.Size, n.Content.Kind != model.ContentStaged)
}

// atOrAfter is the record that held at rev, or the first one after it.
func atOrAfter(revs []model.Inode, rev model.Rev) (n model.Inode) {
	for i := range revs {
		n = revs[i]
		if n.Rev <= rev {
			break
		}
	}
	return n
}

// change says what is new in b; "" when it is only what moving a name brings along.
func change(a, b *model.Inode) string {
	switch {
	case a.Size != b.Size, a.Mtime != b.Mtime:
		return OpWrite
	case contentChanged(&a.Content, &b.Content):
		return OpWrite
	case a.Mode != b.Mode, a.UID != b.UID, a.GID != b.GID, a.Atime != b.Atime, a.HasXattr != b.HasXattr, a.Rdev != b.Rdev:
		return OpAttr
	case a.Parent != b.Parent, a.Name != b.Name, a.Nlink != b.Nlink:
		return ""
	case a.Ctime != b.Ctime:
		return OpAttr
	}
	return ""
}

func contentChanged(a, b *model.Content) bool {
	if a.Kind == b.Kind && a.Kind == model.ContentStaged {
		return a.Version != b.Version
	}
	if a.Kind == model.ContentStored && b.Kind == model.ContentStored {
		return a.Rev != b.Rev
	}
	return b.Kind == model.ContentStaged
}

func (l *lister) add(rev model.Rev, op string, size int64, stored bool) error {
	if stored {
		published := true
		err := l.x.Outbox(rev-1, func(g index.Group) bool {
			published = g.Rev != rev
			return false
		})
		if err != nil {
			return err
		}
		stored = published
	}
	e := Entry{Revision: rev, Time: rev.Time().UTC(), Op: op, Size: size, Stored: stored}
	if l.device != nil {
		e.Device = l.device(rev)
	}
	l.out = append(l.out, e)
	return nil
}

// ErrWhen is returned for what is neither a revision nor a time.
var ErrWhen = errors.New("neither a revision nor a time (RFC 3339, a date, or relative: 2h, 3d, yesterday)")

// minRevision is below every revision that a drive can have made: a shorter number isn't one.
const minRevision = 1e12

// ParseWhen reads REVISION|TIME: a revision's number, RFC 3339, a date, or a time relative to now ("2h", "3d", "yesterday").
func ParseWhen(s string, now time.Time) (model.Rev, error) {
	if n, err := strconv.ParseUint(s, 10, 64); err == nil {
		if n < minRevision || n >= uint64(model.MaxRev) {
			return 0, fmt.Errorf("%q: %w", s, ErrWhen)
		}
		return model.Rev(n), nil
	}
	t, err := humanize.ParsePast(s, now)
	if err != nil {
		return 0, fmt.Errorf("%q: %w", s, ErrWhen)
	}
	return model.RevAt(t), nil
}
