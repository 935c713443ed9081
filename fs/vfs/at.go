package vfs

import (
	"fmt"
	"strconv"
	"syscall"
	"time"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

// ParseTime reads a moment as people write it, relative to now: a revision number, RFC 3339, a date (its start, in now's zone) with or
// without a time, "now", "yesterday" (a day ago), or how long ago: 90s, 30m, 2h, 3d, 1w.
func ParseTime(s string, now time.Time) (model.Rev, error) {
	switch s {
	case "now":
		return model.RevAt(now), nil
	case "yesterday":
		return model.RevAt(now.AddDate(0, 0, -1)), nil
	}
	if n, err := strconv.ParseUint(s, 10, 64); err == nil {
		if n == 0 || model.Rev(n) > model.MaxRev {
			return 0, fmt.Errorf("%q is no revision", s)
		}
		return model.Rev(n), nil
	}
	if ago, ok := parseAgo(s); ok {
		return model.RevAt(now.Add(-ago)), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return model.RevAt(t), nil
	}
	for _, layout := range []string{"2006-01-02", "2006-01-02T15:04", "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02 15:04:05"} {
		if t, err := time.ParseInLocation(layout, s, now.Location()); err == nil {
			return model.RevAt(t), nil
		}
	}
	return 0, fmt.Errorf("%q is no time: write a revision number, 2006-01-02T15:04:05Z, 2006-01-02, 2h, 3d or yesterday", s)
}

func parseAgo(s string) (time.Duration, bool) {
	if len(s) > 1 {
		day := map[byte]time.Duration{'d': 24 * time.Hour, 'w': 7 * 24 * time.Hour}[s[len(s)-1]]
		if n, err := strconv.ParseUint(s[:len(s)-1], 10, 16); day != 0 && err == nil {
			return time.Duration(n) * day, true
		}
	}
	d, err := time.ParseDuration(s)
	return d, err == nil && d >= 0
}

// viewIno is st_ino of an inode as of a revision. It differs from the inode's own number, so that cp and diff don't take the two for
// the same file.
func viewIno(rev model.Rev, ino model.Ino) uint64 {
	x := uint64(rev)*0x9e3779b97f4a7c15 ^ uint64(ino)
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return (x ^ x>>31) | 1<<63
}

// lookupControl finds names in .ccdrive and .ccdrive/at.
func (fs *FS) lookupControl(p place, name string) (Entry, syscall.Errno) {
	switch {
	case name == "." && p.kind == kindControl:
		return fs.controlEntry(controlNode), 0
	case name == "." || name == "at" && p.kind == kindControl:
		return fs.controlEntry(atNode), 0
	case name == ".." && p.kind == kindControl:
		return fs.entryOf(place{}, model.RootIno)
	case name == "..":
		return fs.controlEntry(controlNode), 0
	case p.kind == kindControl:
		return Entry{}, syscall.ENOENT
	}
	rev, err := ParseTime(name, fs.now())
	if err != nil || rev == 0 {
		return Entry{}, syscall.ENOENT
	}
	at := place{kind: kindView, ino: model.RootIno, rev: min(rev, max(fs.x.LastRev(), 1))}
	rec, errno := fs.statPlace(at, 0)
	if errno != 0 {
		return Entry{}, syscall.ENOENT // before the drive began
	}
	e := fs.entry(at, &rec)
	e.EntryValid = 0 // relative times move on
	return e, 0
}

// listControl lists .ccdrive and .ccdrive/at; the times under at are without number, so none is listed.
func (fs *FS) listControl(p place, cookie uint64, plus bool, add func(*DirEntry) bool) syscall.Errno {
	if p.kind == kindAt || cookie > cookieDotDot {
		return 0
	}
	de := DirEntry{Name: "at", Ino: uint64(atNode), Type: model.TypeDir, Cookie: cookieDotDot + 1}
	if plus {
		de.Entry = fs.controlEntry(atNode)
	}
	add(&de)
	return 0
}

func (fs *FS) controlEntry(node NodeID) Entry {
	return Entry{Node: node, Attr: fs.controlAttr(node), AttrValid: fs.cfg.Valid, EntryValid: fs.cfg.Valid}
}

// controlAttr is what stat tells of the control folders: they belong to who owns the root, and are for nobody else, since the past has the permissions
// of its time: what was shut since is open there.
func (fs *FS) controlAttr(node NodeID) Attr {
	a := Attr{Ino: uint64(node), Mode: model.TypeDir | 0o500, Nlink: 2, Size: BlockSize, Blksize: BlockSize}
	if root, errno := fs.record(model.RootIno); errno == 0 {
		a.UID, a.GID = fs.owner(&root)
		a.Atime, a.Mtime, a.Ctime, a.Btime = root.Btime, root.Btime, root.Btime, root.Btime
	}
	return a
}
