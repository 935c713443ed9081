package engine

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cloudcoin/cloudcoin/sync/index"
	"github.com/cloudcoin/cloudcoin/sync/journal"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// The rule of docs/drive.md, "Order of publishing", against the index as it is: files are written, renamed over each other, removed and
// brought to rest in any order; contents become stored in any order; and after every segment, what a recovery would show is, for each name, something that
// the name really was, never older than what it showed before, and no content that is still there has vanished.
func TestOldOrNewNeverNeither(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := newShadow(rt)
		defer s.close()
		for range rapid.IntRange(5, 60).Draw(rt, "steps") {
			s.step()
		}
		s.finish()
	})
}

// content is a file's content: which inode's, and which of its versions. The version of an empty file is 0.
type content struct {
	ino     model.Ino
	version uint64
}

// shadow is a folder whose every state is remembered, and what others were told of it.
type shadow struct {
	t      *rapid.T
	dir    string
	j      *journal.Journal
	x      *index.Index
	states []map[string]content // after each change
	tokens map[key]uint64       // version that is stored as of a revision

	inodes  map[model.Ino]model.Inode // what was published, newest of each
	dirents map[string]model.Dirent
	shown   map[string]content
	pos     map[string]int // state that each name shows at least
	count   int
}

func newShadow(t *rapid.T) *shadow {
	s := &shadow{
		t: t, tokens: map[key]uint64{}, inodes: map[model.Ino]model.Inode{}, dirents: map[string]model.Dirent{}, shown: map[string]content{},
		pos: map[string]int{}, states: []map[string]content{{}},
	}
	var err error
	s.dir, err = os.MkdirTemp("", "plan")
	s.must(err)
	s.j, err = journal.Open(filepath.Join(s.dir, "j"), journal.Options{SegmentSize: 4 << 20})
	s.must(err)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s.x, err = index.Open(filepath.Join(s.dir, "x"), s.j, index.Options{DevicePart: 1, Clock: func() time.Time { return now }, Network: "local"})
	s.must(err)
	s.must(s.j.Replay(s.x.ReplayRecord))
	s.must(s.x.Ready())
	s.change(func(b *index.Batch) {
		b.PutInode(&model.Inode{Ino: model.RootIno, Mode: model.TypeDir | 0o755, Nlink: 2})
	})
	return s
}

func (s *shadow) close() {
	s.must(errors.Join(s.x.Close(), s.j.Close(), os.RemoveAll(s.dir)))
}

func (s *shadow) must(err error) {
	if err != nil {
		s.t.Helper()
		s.t.Fatal(err)
	}
}

// change commits a batch and remembers the state after it.
func (s *shadow) change(fn func(b *index.Batch)) model.Rev {
	b := s.x.Begin()
	fn(b)
	rev, err := b.Commit()
	s.must(err)
	now := map[string]content{}
	v := s.x.Now()
	s.must(v.ReadDir(model.RootIno, 0, func(d model.Dirent) bool {
		n, err := v.Inode(d.Ino)
		s.must(err)
		now[d.Name] = s.contentOf(&n)
		return true
	}))
	s.states = append(s.states, now)
	return rev
}

func (s *shadow) contentOf(n *model.Inode) content {
	switch n.Content.Kind {
	case model.ContentStaged:
		return content{n.Ino, n.Content.Version}
	case model.ContentStored:
		return content{n.Ino, s.tokens[key{n.Ino, n.Content.Rev}]}
	}
	return content{n.Ino, 0}
}

func (s *shadow) touch(b *index.Batch) {
	root, err := s.x.Now().Inode(model.RootIno)
	s.must(err)
	root.Mtime++
	b.PutInode(&root)
}

func (s *shadow) names() []string {
	return slices.Sorted(maps.Keys(s.states[len(s.states)-1]))
}

func (s *shadow) pick(label string) (string, model.Inode, bool) {
	names := s.names()
	if len(names) == 0 {
		return "", model.Inode{}, false
	}
	name := rapid.SampledFrom(names).Draw(s.t, label)
	d, err := s.x.Now().Lookup(model.RootIno, name)
	s.must(err)
	n, err := s.x.Now().Inode(d.Ino)
	s.must(err)
	return name, n, true
}

func (s *shadow) step() {
	switch rapid.SampledFrom([]string{"create", "write", "write", "rename", "rename", "remove", "chmod", "link", "settle", "store", "store", "publish"}).Draw(s.t, "step") {
	case "create":
		ino, err := s.x.NextIno()
		s.must(err)
		name := rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(s.t, "name")
		if _, there := s.states[len(s.states)-1][name]; there {
			return
		}
		s.change(func(b *index.Batch) {
			b.PutInode(&model.Inode{Ino: ino, Mode: model.TypeRegular | 0o644, Nlink: 1})
			b.PutDirent(model.RootIno, name, ino, model.TypeRegular)
			s.touch(b)
		})
	case "write":
		if _, n, ok := s.pick("file"); ok {
			s.count++
			n.Size, n.Content = int64(s.count), model.Content{Kind: model.ContentStaged, Version: uint64(s.count), Rev: n.Content.Rev}
			s.change(func(b *index.Batch) { b.PutInode(&n) })
		}
	case "rename":
		from, n, ok := s.pick("from")
		to := rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(s.t, "to")
		if !ok || from == to || s.states[len(s.states)-1][to].ino == n.Ino {
			return
		}
		s.change(func(b *index.Batch) {
			s.unlink(b, to)
			b.RemoveDirent(model.RootIno, from)
			b.PutDirent(model.RootIno, to, n.Ino, model.TypeRegular)
			if rapid.Bool().Draw(s.t, "ctime") {
				n.Ctime++
				b.PutInode(&n)
			}
			s.touch(b)
		})
	case "link":
		_, n, ok := s.pick("of")
		to := rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(s.t, "to")
		if _, there := s.states[len(s.states)-1][to]; !ok || there {
			return
		}
		n.Nlink++
		s.change(func(b *index.Batch) {
			b.PutInode(&n)
			b.PutDirent(model.RootIno, to, n.Ino, model.TypeRegular)
			s.touch(b)
		})
	case "remove":
		if name, _, ok := s.pick("file"); ok {
			s.change(func(b *index.Batch) {
				s.unlink(b, name)
				b.RemoveDirent(model.RootIno, name)
				s.touch(b)
			})
		}
	case "chmod":
		if _, n, ok := s.pick("file"); ok {
			n.Mode ^= 0o100
			s.change(func(b *index.Batch) { b.PutInode(&n) })
		}
	case "settle":
		if _, n, ok := s.pick("file"); ok {
			s.change(func(b *index.Batch) { b.Settle(n.Ino) })
		}
	case "store":
		s.store()
	case "publish":
		s.publish()
	}
}

// unlink takes one link of what has a name away; an inode that nobody saw is forgotten, as the tree does it.
func (s *shadow) unlink(b *index.Batch, name string) {
	d, err := s.x.Now().Lookup(model.RootIno, name)
	if errors.Is(err, index.ErrNotFound) {
		return
	}
	s.must(err)
	n, err := s.x.Now().Inode(d.Ino)
	s.must(err)
	n.Nlink--
	unseen, err := s.x.Unseen(n.Ino)
	s.must(err)
	if n.Nlink == 0 && unseen {
		b.ForgetInode(n.Ino)
		return
	}
	b.PutInode(&n)
}

// store lets any staged content become stored, the oldest of its inode.
func (s *shadow) store() bool {
	oldest := map[model.Ino]model.Rev{}
	var order []model.Ino
	s.must(s.x.Staged(func(ino model.Ino, rev model.Rev, _ uint64) bool {
		if _, ok := oldest[ino]; !ok {
			oldest[ino] = rev
			order = append(order, ino)
		}
		return true
	}))
	if len(order) == 0 {
		return false
	}
	ino := rapid.SampledFrom(order).Draw(s.t, "store")
	n, err := s.x.At(oldest[ino]).Inode(ino)
	s.must(err)
	if !n.Content.Settled {
		s.change(func(b *index.Batch) { b.Settle(ino) })
	}
	rev := s.x.LastRev()
	s.tokens[key{ino, rev}] = n.Content.Version
	var same []model.Rev
	s.must(s.x.InodeRevs(ino, func(m model.Inode) bool {
		if m.Content.Kind == model.ContentStaged && m.Content.Version == n.Content.Version {
			same = append(same, m.Rev)
		}
		return true
	}))
	s.change(func(b *index.Batch) {
		for _, r := range same {
			b.SetContent(ino, r, model.Content{Kind: model.ContentStored, Version: n.Content.Version, Rev: rev})
		}
	})
	return true
}

// publish carries a plan out and checks what others see then.
func (s *shadow) publish() {
	o, err := newIndexOutbox(s.x, s.x.LastRev())
	s.must(err)
	which, err := plan(o, o.upTo)
	s.must(err)
	var revs []model.Rev
	s.must(o.groups(func(g index.Group) bool {
		if !which.goes(g.Rev) {
			return true
		}
		records, err := s.x.Records(g)
		s.must(err)
		if n := missing(g, records); n != which.folded[g.Rev] {
			s.t.Fatalf("group %d lacks %d records, the plan says %d", g.Rev, n, which.folded[g.Rev])
		}
		for _, r := range records {
			s.apply(r)
		}
		revs = append(revs, g.Rev)
		return true
	}))
	b := s.x.Begin()
	b.Local()
	b.Published(revs...)
	_, err = b.Commit()
	s.must(err)
	s.check()
}

func (s *shadow) apply(r model.Record) {
	switch {
	case r.Inode != nil:
		if r.Inode.Content.Kind == model.ContentStaged {
			s.t.Fatalf("inode %d is published with a content that isn't stored", r.Inode.Ino)
		}
		if old, ok := s.inodes[r.Inode.Ino]; !ok || old.Rev < r.Rev {
			s.inodes[r.Inode.Ino] = *r.Inode
		}
	case r.Dirent != nil:
		if old, ok := s.dirents[r.Dirent.Name]; !ok || old.Rev < r.Rev {
			s.dirents[r.Dirent.Name] = *r.Dirent
		}
	}
}

// check compares what others see with what really was.
func (s *shadow) check() {
	now := map[string]content{}
	for name, d := range s.dirents {
		if d.Ino == 0 {
			continue
		}
		n, ok := s.inodes[d.Ino]
		if !ok {
			s.t.Fatalf("%s names inode %d, which nobody was told of", name, d.Ino)
		}
		now[name] = s.contentOf(&n)
	}
	for _, name := range []string{"a", "b", "c", "d"} {
		got, there := now[name]
		i := s.pos[name]
		for ; i < len(s.states); i++ {
			if was, ok := s.states[i][name]; ok == there && was == got {
				break
			}
		}
		if i == len(s.states) {
			s.t.Fatalf("%s shows %v (%v), which it never was since state %d\n%s", name, got, there, s.pos[name], s.story(name))
		}
		s.pos[name] = i
	}
	last := s.states[len(s.states)-1]
	for name, c := range s.shown {
		if holds(last, c) && !holds(now, c) && !replaced(now, c) {
			s.t.Fatalf("content %v, shown as %s before and still there, is out of reach", c, name)
		}
	}
	s.shown = now
}

func (s *shadow) story(name string) (out string) {
	for i, st := range s.states {
		out += fmt.Sprintf("%d: %v\n", i, st[name])
	}
	return out
}

func holds(state map[string]content, c content) bool {
	for _, x := range state {
		if x == c {
			return true
		}
	}
	return false
}

// replaced tells whether the inode shows another version.
func replaced(state map[string]content, c content) bool {
	for _, x := range state {
		if x.ino == c.ino {
			return true
		}
	}
	return false
}

// finish stores and publishes everything: nothing may be held back for ever.
func (s *shadow) finish() {
	for s.store() {
	}
	s.publish()
	if n := s.x.Stats().Outbox; n != 0 {
		s.t.Fatalf("%d groups stay in the outbox though everything is stored", n)
	}
	if last := s.states[len(s.states)-1]; !maps.Equal(s.shown, last) {
		s.t.Fatalf("others see %v, it is %v", s.shown, last)
	}
}
