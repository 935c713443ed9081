package vfs_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"github.com/cloudcoin/cloudcoin/fs/vfs"
)

// thing is an inode of the naive tree that the real one is compared with.
type thing struct {
	dir     map[string]*thing // nil: a file
	content string
	nlink   int
}

func (n *thing) isDir() bool { return n.dir != nil }

type naive struct{ root *thing }

func (m *naive) find(path string) (*thing, syscall.Errno) {
	n := m.root
	for _, name := range strings.FieldsFunc(path, func(r rune) bool { return r == '/' }) {
		if !n.isDir() {
			return nil, syscall.ENOTDIR
		}
		if n = n.dir[name]; n == nil {
			return nil, syscall.ENOENT
		}
	}
	return n, 0
}

// at finds the folder and the name of a path.
func (m *naive) at(path string) (*thing, string, syscall.Errno) {
	i := strings.LastIndexByte(path, '/')
	p, errno := m.find(path[:i])
	if errno == 0 && !p.isDir() {
		errno = syscall.ENOTDIR
	}
	return p, path[i+1:], errno
}

func (m *naive) write(path, content string) syscall.Errno {
	p, name, errno := m.at(path)
	if errno != 0 {
		return errno
	}
	n := p.dir[name]
	switch {
	case n == nil:
		p.dir[name] = &thing{content: content, nlink: 1}
	case n.isDir():
		return syscall.EISDIR
	default:
		n.content = content
	}
	return 0
}

func (m *naive) mkdir(path string) syscall.Errno {
	p, name, errno := m.at(path)
	if errno != 0 {
		return errno
	}
	if p.dir[name] != nil {
		return syscall.EEXIST
	}
	p.dir[name] = &thing{dir: map[string]*thing{}, nlink: 2}
	p.nlink++
	return 0
}

func (m *naive) remove(path string, folder bool) syscall.Errno {
	p, name, errno := m.at(path)
	if errno != 0 {
		return errno
	}
	n := p.dir[name]
	switch {
	case n == nil:
		return syscall.ENOENT
	case folder && !n.isDir():
		return syscall.ENOTDIR
	case !folder && n.isDir():
		return syscall.EISDIR
	case folder && len(n.dir) > 0:
		return syscall.ENOTEMPTY
	}
	delete(p.dir, name)
	n.nlink--
	if folder {
		p.nlink--
	}
	return 0
}

func (m *naive) link(from, to string) syscall.Errno {
	q, name, errno := m.at(to)
	if errno != 0 {
		return errno
	}
	n, errno := m.find(from)
	switch {
	case errno != 0:
		return errno
	case q.dir[name] != nil:
		return syscall.EEXIST
	case n.isDir():
		return syscall.EPERM
	}
	q.dir[name] = n
	n.nlink++
	return 0
}

// below tells whether n is top or lies below it.
func below(n, top *thing) bool {
	if n == top {
		return true
	}
	for _, c := range top.dir {
		if c.isDir() && below(n, c) {
			return true
		}
	}
	return false
}

func (m *naive) rename(from, to string, flags uint32) syscall.Errno {
	p, name, errno := m.at(from)
	if errno != 0 {
		return errno
	}
	q, newName, errno := m.at(to)
	if errno != 0 {
		return errno
	}
	n, over := p.dir[name], q.dir[newName]
	switch {
	case n == nil:
		return syscall.ENOENT
	case flags == vfs.RenameNoReplace && over != nil:
		return syscall.EEXIST
	case flags == vfs.RenameExchange && over == nil:
		return syscall.ENOENT
	case n == over:
		return 0
	case n.isDir() && below(q, n):
		return syscall.EINVAL
	case flags == vfs.RenameExchange:
		return m.exchange(p, q, name, newName)
	case over != nil && over.isDir() && below(p, over) && p != q:
		return syscall.ENOTEMPTY
	case over != nil && n.isDir() && !over.isDir():
		return syscall.ENOTDIR
	case over != nil && !n.isDir() && over.isDir():
		return syscall.EISDIR
	case over != nil && len(over.dir) > 0:
		return syscall.ENOTEMPTY
	}
	if over != nil {
		over.nlink--
		if over.isDir() {
			q.nlink--
		}
	}
	delete(p.dir, name)
	q.dir[newName] = n
	if n.isDir() {
		p.nlink--
		q.nlink++
	}
	return 0
}

func (m *naive) exchange(p, q *thing, name, newName string) syscall.Errno {
	n, over := p.dir[name], q.dir[newName]
	if over.isDir() && below(p, over) && p != q {
		return syscall.EINVAL
	}
	p.dir[name], q.dir[newName] = over, n
	if n.isDir() {
		p.nlink--
		q.nlink++
	}
	if over.isDir() {
		p.nlink++
		q.nlink--
	}
	return 0
}

// tell writes a tree out, so that two can be compared.
func (m *naive) tell() string {
	var b strings.Builder
	var walk func(path string, n *thing)
	walk = func(path string, n *thing) {
		fmt.Fprintf(&b, "%s %d %q\n", path, n.nlink, n.content)
		for _, name := range slices.Sorted(maps.Keys(n.dir)) {
			walk(path+"/"+name, n.dir[name])
		}
	}
	walk("", m.root)
	return b.String()
}

func (d *drive) tell() string {
	var b strings.Builder
	var walk func(path string)
	walk = func(path string) {
		a := d.stat(path)
		content := ""
		if a.Mode&0o170000 == 0o100000 {
			content = d.read(path)
		}
		fmt.Fprintf(&b, "%s %d %q\n", path, a.Nlink, content)
		if a.Mode&0o170000 == 0o040000 {
			n, errno := d.node(path)
			ok(d.t, errno)
			names, errno := d.list(n, 2)
			ok(d.t, errno)
			slices.Sort(names)
			for _, name := range names {
				walk(path + "/" + name)
			}
		}
	}
	walk("")
	return b.String()
}

// TestAgainstNaiveTree does the same random operations to the tree and to a naive one in memory, with reopenings and crashes between.
func TestAgainstNaiveTree(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d := newDrive(t, nil)
		defer d.close()
		m := &naive{root: &thing{dir: map[string]*thing{}, nlink: 2}}
		path := rapid.StringMatching(`(/[abc]){1,3}`)
		s := &script{drive: d}
		for i := range rapid.IntRange(5, 60).Draw(rt, "steps") {
			from, to := path.Draw(rt, "path"), path.Draw(rt, "other path")
			op := rapid.SampledFrom([]string{"write", "write", "mkdir", "mkdir", "unlink", "rmdir", "link", "rename", "rename", "exchange", "noreplace", "wait", "reopen", "crash"}).Draw(rt, "op")
			var want, got syscall.Errno
			switch op {
			case "write":
				content := fmt.Sprint("content ", i)
				want, got = m.write(from, content), d.tryWrite(from, content)
			case "mkdir":
				want = m.mkdir(from)
				_, got = s.do([]string{op, from})
			case "unlink", "rmdir":
				want = m.remove(from, op == "rmdir")
				_, got = s.do([]string{op, from})
			case "link":
				want = m.link(from, to)
				_, got = s.do([]string{op, from, to})
			case "rename", "exchange", "noreplace":
				want = m.rename(from, to, map[string]uint32{"exchange": vfs.RenameExchange, "noreplace": vfs.RenameNoReplace}[op])
				_, got = s.do([]string{op, from, to})
			case "wait":
				_, got = s.do([]string{op})
			case "reopen":
				d.reopen()
			case "crash":
				d.crash()
			}
			if (want == 0) != (got == 0) {
				rt.Fatalf("step %d: %s %s %s: got %v, want %v", i, op, from, to, got, want)
			}
			if w, g := m.tell(), d.tell(); w != g {
				rt.Fatalf("step %d: %s %s %s:\ngot\n%swant\n%s", i, op, from, to, g, w)
			}
		}
	})
}
