package stage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"time"

	"github.com/syndtr/goleveldb/leveldb"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

// Evict gives local space of clean contents back, oldest first, until want bytes are free or nothing is left. What isn't stored stays.
func (s *Stage) Evict(want int64) (freed int64, err error) {
	if !s.ready.Load() {
		return 0, ErrNotReady
	}
	if want <= 0 {
		return 0, nil
	}
	victims, err := s.victims()
	if err != nil {
		return 0, err
	}
	for _, v := range victims {
		if freed >= want {
			break
		}
		n, verr := v.evict()
		freed += n
		err = errors.Join(err, verr)
	}
	if serr := s.j.Sync(context.Background(), s.j.End()); serr != nil {
		return freed, errors.Join(err, serr)
	}
	s.reap()
	return freed, err
}

// victim is something clean that can go at once.
type victim struct {
	last  time.Time
	evict func() (int64, error)
}

// victims lists what may be evicted, oldest first.
func (s *Stage) victims() ([]victim, error) {
	var all []victim
	for _, no := range s.cache.oldest() {
		st, err := os.Stat(s.cache.path(no))
		if err == nil {
			all = append(all, victim{st.ModTime(), func() (int64, error) { return s.cache.evict(no) }})
		}
	}
	newest := uint64(0)
	for _, seg := range s.j.Segments() {
		newest = max(newest, seg.Number)
	}
	kept, err := s.keptSegments()
	if err != nil {
		return nil, err
	}
	for no, sh := range s.segs.all() {
		if sh.dirty == 0 && no != newest && !kept[no] {
			all = append(all, victim{time.Unix(sh.last, 0), func() (int64, error) { return s.evictSegment(no) }})
		}
	}
	err = filepath.WalkDir(filepath.Join(s.dir, "layers"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		ino, id, ok := layerName(d.Name())
		if !ok {
			return nil
		}
		st, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			all = append(all, victim{st.ModTime(), func() (int64, error) { return s.evictLayer(ino, id, path) }})
		}
		return err
	})
	sort.SliceStable(all, func(i, j int) bool { return all[i].last.Before(all[j].last) })
	return all, err
}

// keptSegments are the segments of the journal that hold something of a content that must stay.
func (s *Stage) keptSegments() (map[uint64]bool, error) {
	if s.opt.Kept == nil {
		return nil, nil
	}
	kept := map[uint64]bool{}
	for _, ino := range s.opt.Kept() {
		n, err := s.acquire(ino)
		if err != nil {
			return nil, err
		}
		n.mu.RLock()
		n.eachSegment(func(no uint64) { kept[no] = true })
		n.mu.RUnlock()
		if err := s.release(n); err != nil {
			return nil, err
		}
	}
	return kept, nil
}

// EvictFile gives the clean local space of one inode back. kept is what stays: not stored yet, or in use.
func (s *Stage) EvictFile(ino model.Ino) (freed, kept int64, err error) {
	if !s.ready.Load() {
		return 0, 0, ErrNotReady
	}
	freed, kept, err = s.evictNode(ino)
	if serr := s.j.Sync(context.Background(), s.j.End()); serr != nil {
		return freed, kept, errors.Join(err, serr)
	}
	s.reap()
	return freed, kept, err
}

func (s *Stage) evictNode(ino model.Ino) (freed, kept int64, err error) {
	n, err := s.acquire(ino)
	if err != nil {
		return 0, 0, err
	}
	n.mu.Lock() // and not wmu: a writer that finds the disk full evicts
	if s.opt.Keep != nil && s.opt.Keep(ino) {
		kept = n.bytes()
	} else {
		freed, kept, err = n.evict()
	}
	n.mu.Unlock()
	return freed, kept, errors.Join(err, s.release(n))
}

// evict drops the clean layers, unless a snapshot needs them, or the node is open and there is no newer base to stand in.
func (n *node) evict() (freed, kept int64, err error) {
	snap := false
	for _, l := range n.layers {
		if l.clean {
			freed += l.bytes()
		} else {
			kept += l.bytes()
		}
		snap = snap || l.clean && l.snaps > 0
	}
	small := int64(0)
	if n.small != nil {
		small = n.small.n
	}
	if freed+small == 0 && len(n.layers) == 0 {
		return 0, kept, nil
	}
	if snap || n.detached {
		return 0, kept + freed + small, nil
	}
	if n.opens > 0 {
		if err := n.newBase(); err != nil {
			if errors.Is(err, errNoBase) {
				err = nil
			}
			return 0, kept + freed + small, err
		}
	}
	if _, err := n.record(kindEvict, header{ino: n.ino}, false); err != nil {
		return 0, kept + freed + small, err
	}
	n.discardClean()
	return freed + small, kept, nil
}

var errNoBase = errors.New("no base to stand in")

// newBase makes the base of an open node the newest stored content. Without clean versions the one at hand is that.
func (n *node) newBase() error {
	stored := false
	for _, l := range n.layers {
		stored = stored || l.clean && l.version != 0
	}
	if !stored || n.baseNew {
		return nil
	}
	if n.s.opt.Base == nil {
		return errNoBase
	}
	base, err := n.s.opt.Base(n.ino)
	if err != nil {
		return fmt.Errorf("evict inode %d: %w", n.ino, err)
	}
	n.base, n.baseNew = base, true
	return nil
}

// evictLayer evicts the inode of a layer file; a file that belongs to no layer is removed.
func (s *Stage) evictLayer(ino model.Ino, id uint64, path string) (int64, error) {
	n, err := s.acquire(ino)
	if err != nil {
		return 0, err
	}
	n.mu.Lock()
	l := n.byID(id)
	s.mu.Lock()
	orphan := l == nil && n.refs == 1
	for _, d := range s.doomed {
		orphan = orphan && d.l.path != path
	}
	for g := range s.ghosts {
		orphan = orphan && g.ino != ino
	}
	s.mu.Unlock()
	var freed int64
	if orphan {
		if st, serr := os.Stat(path); serr == nil {
			freed = st.Size()
		}
		err = removeLayer(path)
	}
	n.mu.Unlock()
	if err = errors.Join(err, s.release(n)); err != nil || l == nil || !l.clean {
		return freed, err
	}
	freed, _, err = s.evictNode(ino)
	return freed, err
}

// removeLayer removes a layer file and what lies beside it.
func removeLayer(path string) (err error) {
	for _, name := range []string{path + sidecarSuffix, path + sumsSuffix, path} {
		if rerr := os.Remove(name); rerr != nil && !errors.Is(rerr, os.ErrNotExist) {
			err = errors.Join(err, rerr)
		}
	}
	return err
}

// evictSegment lets a segment of the journal go whose contents are all clean.
func (s *Stage) evictSegment(no uint64) (freed int64, err error) {
	for _, n := range s.inMemory() {
		n.mu.RLock()
		has := n.inSegment(no)
		n.mu.RUnlock()
		if !has {
			continue
		}
		f, _, err := s.evictNode(n.ino)
		if err != nil {
			return freed, err
		}
		freed += f
	}
	// What the evicted nodes took is given up once that is durable; what is left then belongs to contents that aren't in memory: they
	// notice when they are loaded.
	if err := s.j.Sync(context.Background(), s.j.End()); err != nil {
		return freed, err
	}
	s.segs.settle()
	s.saveMu.Lock()
	defer s.saveMu.Unlock()
	s.segs.hide(no, true)
	for _, n := range s.inMemory() {
		n.mu.RLock()
		has := n.inSegment(no)
		n.mu.RUnlock()
		if has {
			s.segs.hide(no, false)
			return freed, nil // somebody uses it
		}
	}
	// The map forgets the segment before the journal may recycle it.
	was := s.book
	s.book = was.clone()
	s.book.clean -= was.segs[no].bytes
	delete(s.book.segs, no)
	batch := new(leveldb.Batch)
	batch.Delete(key(keySegment, no))
	if err := s.writeBatch(batch); err != nil {
		s.book = was
		s.segs.hide(no, false)
		return freed, err
	}
	left := s.segs.forget(no)
	s.cleanBytes.Add(-left)
	return freed + left, nil
}

func (n *node) inSegment(no uint64) (in bool) {
	n.eachSegment(func(s uint64) { in = in || s == no })
	return in
}

// eachSegment calls fn for the segment of every piece.
func (n *node) eachSegment(fn func(no uint64)) {
	for _, l := range n.layers {
		for _, pieces := range [][]piece{l.pieces, l.old} {
			for i := range pieces {
				if !pieces[i].zero {
					fn(pieces[i].ref.Segment)
				}
			}
		}
	}
}

// bytes is the local space of a content.
func (n *node) bytes() (sum int64) {
	for _, l := range n.layers {
		sum += l.bytes()
	}
	if n.small != nil {
		sum += n.small.n
	}
	return sum
}

// mergeClean makes one of the clean layer files of a node as long as there are more than maxClean. Everything that the node's records say must be durable:
// a layer that a power cut may turn dirty again must not be mixed with an older one.
func (n *node) mergeClean() error {
	for n.lsn <= n.s.j.Durable() {
		again, err := n.mergeOne()
		if err != nil || !again {
			return err
		}
	}
	return nil
}

// maxClean is how many clean layer files may lie under each other.
const maxClean = 4

func (n *node) mergeOne() (again bool, err error) {
	var files []*layer
	for _, l := range n.layers {
		if l.clean && !l.inline && l.snaps == 0 && l.version != 0 {
			files = append(files, l)
		} else if l.clean && l.version != 0 {
			files = files[:0]
		}
	}
	if len(files) <= maxClean || n.detached {
		return false, nil
	}
	low, up := files[0], files[1]
	if low.needSync || up.needSync || min(low.bytes(), up.bytes()) > mergeLimit {
		return false, nil
	}
	if err := n.openFiles(); err != nil {
		return false, err
	}
	// Both layers stay as they are seen while blocks are copied, so a crash midway changes nothing; the map learns of it at the next save.
	was := low.bytes() + up.bytes()
	stay, gone := low, up
	if up.bytes() > low.bytes() {
		stay, gone = up, low
		err = up.underlay(low)
	} else {
		err = low.overlay(up)
	}
	if err == nil {
		err = n.s.datasync(stay.f)
	}
	n.s.account(true, low.bytes()+up.bytes()-was)
	if n.refetch(err) {
		return false, nil
	}
	if err != nil {
		return false, n.s.damaged(n.ino, err)
	}
	n.s.account(true, -gone.bytes())
	keep := n.layers[:0:0]
	for _, l := range n.layers {
		if l != gone {
			keep = append(keep, l)
		}
	}
	n.layers, n.merged = keep, append(n.merged, gone)
	n.gen++
	n.changed = true
	return true, nil
}

// mergeLimit is how many bytes are copied at most to merge two layers: the file's readers wait meanwhile.
const mergeLimit = 32 << 20

// overlay puts the blocks of up over those of l.
func (l *layer) overlay(up *layer) error {
	_, err := l.open(true)
	if err != nil {
		return err
	}
	if b := up.floor / BlockSize; up.floor%BlockSize != 0 && l.present.has(b) && !l.hole.has(b) {
		if err := copyBlocks(l, l, b, b+1, up.floor); err != nil {
			return err
		}
	}
	l.cut((up.floor + BlockSize - 1) / BlockSize)
	l.floor = min(l.floor, up.floor)
	up.hole.runs(0, up.hole.last()+1, func(a, b int64) bool { l.addHole(a, b); return true })
	l.needSync = true
	up.dataRuns(&up.present, func(a, b int64) bool {
		err = copyBlocks(l, up, a, b, b*BlockSize)
		l.addData(a, b)
		return err == nil
	})
	return err
}

// underlay puts the blocks of low under those of l, as far as they are visible.
func (l *layer) underlay(low *layer) error {
	if _, err := l.open(true); err != nil {
		return err
	}
	end := (l.floor + BlockSize - 1) / BlockSize
	l.needSync = true
	var data, holes []run
	absentIn := func(a, b int64, list *[]run) {
		for a = l.present.next(a, b, false); a < b; a = l.present.next(a, b, false) {
			e := l.present.next(a, b, true)
			*list = append(*list, run{a, e - a})
			a = e
		}
	}
	low.dataRuns(&low.present, func(a, b int64) bool { absentIn(a, min(b, end), &data); return true })
	low.hole.runs(0, end, func(a, b int64) bool { absentIn(a, b, &holes); return true })
	for _, r := range data {
		if err := copyBlocks(l, low, r.off, r.off+r.n, l.floor); err != nil {
			return err
		}
		l.addData(r.off, r.off+r.n)
	}
	for _, r := range holes {
		l.addHole(r.off, r.off+r.n)
	}
	l.floor = min(l.floor, low.floor)
	return nil
}

// copyBlocks copies whole blocks; bytes at or after limit become zeros.
func copyBlocks(to, from *layer, a, b, limit int64) error {
	buf := make([]byte, min(256<<10, (b-a)*BlockSize))
	for off := a * BlockSize; off < b*BlockSize; {
		p := buf[:min(int64(len(buf)), b*BlockSize-off)]
		if err := from.readFile(p, off); err != nil {
			return err
		}
		if off+int64(len(p)) > limit {
			clear(p[max(limit-off, 0):])
		}
		if err := to.put(p, off/BlockSize); err != nil {
			return fmt.Errorf("merge layers: %w", err)
		}
		off += int64(len(p))
	}
	return nil
}
