package index

import (
	"fmt"
	"sort"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

// naive is a drive as maps, with the whole tree as of each published or settled revision.
type naive struct {
	inodes  map[model.Ino]model.Inode
	names   map[string]model.Ino
	xattrs  map[string]string
	settled map[model.Ino]map[model.Rev]model.Inode // must stay readable as of their revision
}

func (n *naive) stats() (s Stats) {
	for _, in := range n.inodes {
		s.count(&in, 1)
	}
	return s
}

// Random operations of a drive, with folding, publishing, contents set in place, restarts: the newest state equals the naive one, what was
// settled or published stays as it was, and the counters are exact.
func TestNamespaceAgainstMaps(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := newRig(t)
		m := &naive{map[model.Ino]model.Inode{}, map[string]model.Ino{}, map[string]string{}, map[model.Ino]map[model.Rev]model.Inode{}}
		version := uint64(0)
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			ino := model.Ino(rapid.IntRange(10, 14).Draw(rt, "ino"))
			name := fmt.Sprint("n", rapid.IntRange(0, 3).Draw(rt, "name"))
			old, exists := m.inodes[ino]
			switch rapid.IntRange(0, 9).Draw(rt, "op") {
			case 0, 1, 2: // write
				version++
				n := staged(file(ino, name, rapid.Int64Range(0, 99).Draw(rt, "size")), version)
				n.Nlink = uint32(rapid.IntRange(0, 2).Draw(rt, "nlink"))
				n.Rev = r.commit(func(b *Batch) { b.PutInode(n) })
				m.inodes[ino] = *n
			case 3: // name
				r.commit(func(b *Batch) { b.PutDirent(1, name, ino, model.TypeRegular) })
				m.names[name] = ino
			case 4: // rename
				to := fmt.Sprint("n", rapid.IntRange(0, 3).Draw(rt, "to"))
				if m.names[name] == 0 || to == name {
					continue
				}
				r.commit(func(b *Batch) {
					b.RemoveDirent(1, name)
					b.PutDirent(1, to, m.names[name], model.TypeRegular)
				})
				m.names[to] = m.names[name]
				delete(m.names, name)
			case 5:
				r.commit(func(b *Batch) { b.RemoveDirent(1, name) })
				delete(m.names, name)
			case 6:
				key, val := fmt.Sprint(ino, " ", name), fmt.Sprint(version)
				if rapid.Bool().Draw(rt, "remove") {
					r.commit(func(b *Batch) { b.RemoveXattr(ino, name) })
					delete(m.xattrs, key)
				} else {
					r.commit(func(b *Batch) { b.SetXattr(ino, name, []byte(val)) })
					m.xattrs[key] = val
				}
			case 7: // settle, and store in place
				if !exists {
					continue
				}
				store := rapid.Bool().Draw(rt, "store")
				r.commit(func(b *Batch) {
					b.Settle(ino)
					if store {
						b.Local()
						b.SetContent(ino, old.Rev, model.Content{Kind: model.ContentStored, Rev: old.Rev})
					}
				})
				old.Content.Settled = true
				if store {
					old.Content = model.Content{Kind: model.ContentStored, Rev: old.Rev, Settled: true}
				}
				m.inodes[ino] = old
				if m.settled[ino] == nil {
					m.settled[ino] = map[model.Rev]model.Inode{}
				}
				m.settled[ino][old.Rev] = old
			case 8: // publish the older half
				var revs []model.Rev
				if err := r.x.Outbox(0, func(g Group) bool { revs = append(revs, g.Rev); return true }); err != nil {
					rt.Fatal(err)
				}
				r.commit(func(b *Batch) { b.Local(); b.Published(revs[:len(revs)/2]...) })
			case 9:
				if rapid.Bool().Draw(rt, "checkpoint") {
					if _, err := r.x.Checkpoint(); err != nil {
						rt.Fatal(err)
					}
				}
				r.kill()
			}
		}
		m.check(rt, r.x)
		r.x.inodes.clear()
		r.x.dirents.clear()
		m.check(rt, r.x)
		r.kill()
		m.check(rt, r.x)
	})
}

func (n *naive) check(rt *rapid.T, x *Index) {
	for ino := model.Ino(10); ino < 15; ino++ {
		got, err := x.Now().Inode(ino)
		if want, ok := n.inodes[ino]; (err == nil) != ok || got != want {
			rt.Fatalf("inode %d: %+v %v, want %+v", ino, got, err, want)
		}
		for rev, want := range n.settled[ino] {
			if got, err := x.At(rev).Inode(ino); err != nil || got != want {
				rt.Fatalf("inode %d as of %d: %+v %v, want %+v", ino, rev, got, err, want)
			}
		}
		has := map[string]bool{}
		names, err := x.Now().Xattrs(ino)
		if err != nil {
			rt.Fatal(err)
		}
		for k := range n.xattrs {
			if strings.HasPrefix(k, fmt.Sprint(ino, " ")) {
				has[k] = true
			}
		}
		if len(names) != len(has) {
			rt.Fatalf("attributes of %d: %v, want %v", ino, names, has)
		}
		for _, name := range names {
			v, err := x.Now().Xattr(ino, name)
			if want, ok := n.xattrs[fmt.Sprint(ino, " ", name)]; err != nil || !ok || string(v) != want {
				rt.Fatalf("attribute %s of %d: %q %v, want %q", name, ino, v, err, want)
			}
		}
	}
	var got, want []string
	if err := x.Now().ReadDir(1, 0, func(d model.Dirent) bool {
		got = append(got, fmt.Sprint(d.Name, " ", d.Ino))
		again, err := x.Now().Lookup(1, d.Name)
		if err != nil || again != d {
			rt.Fatalf("lookup %+v %v, listed %+v", again, err, d)
		}
		return true
	}); err != nil {
		rt.Fatal(err)
	}
	for name, ino := range n.names {
		want = append(want, fmt.Sprint(name, " ", ino))
	}
	sort.Strings(got)
	sort.Strings(want)
	if fmt.Sprint(got) != fmt.Sprint(want) {
		rt.Fatalf("folder %v, want %v", got, want)
	}
	s, w := x.Stats(), n.stats()
	w.Outbox = s.Outbox
	n64 := int64(0)
	if err := x.Outbox(0, func(Group) bool { n64++; return true }); err != nil || s != w || n64 != s.Outbox {
		rt.Fatalf("stats %+v, want %+v with %d in the outbox (%v)", s, w, n64, err)
	}
}
