package stage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/syndtr/goleveldb/leveldb"
	lopt "github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/util"

	"github.com/cloudcoin/cloudcoin/sync/journal"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// SalvagedFile is the newest content of one inode that wasn't stored, as far as a damaged folder still has it.
type SalvagedFile struct {
	Ino          model.Ino
	Path         string // last known path in the drive; "" when nothing says it
	Version      uint64
	Size         int64
	Mtime, Ctime int64    // nanoseconds since 1970
	NeedsBase    bool     // parts are as in the content that was stored before
	Damage       []string // what is known to be wrong with it

	n *node
}

// ReadAt fills p from off on and tells how many bytes there were before the end. Parts that were stored before come from base; nil: they are an error.
// Bytes that were lost are an error too.
func (f *SalvagedFile) ReadAt(ctx context.Context, base Base, p []byte, off int64) (int, error) {
	v := view{n: f.n, layers: f.n.layers, size: f.Size, base: base}
	rest, count, err := v.readLocal(p, off)
	if err != nil {
		return 0, err
	}
	for _, r := range rest {
		if base == nil {
			return 0, fmt.Errorf("bytes %d to %d of inode %d were stored before: %w", r.off, r.off+r.n, f.Ino, errNeedBase)
		}
		if err := base.ReadAt(ctx, p[r.off-off:r.off-off+r.n], r.off); err != nil {
			return 0, err
		}
	}
	return count, nil
}

// DirtyRanges calls fn for the stretches that the folder has itself, in order, until it answers false; all else is as it was stored before.
func (f *SalvagedFile) DirtyRanges(fn func(off, n int64, hole bool) bool) {
	for at := int64(0); at < f.Size; {
		src := find(f.n.layers, at, f.Size)
		if (src.st != data || src.l != nil) && !fn(at, src.end-at, src.st == hole) {
			return
		}
		at = src.end
	}
}

// Salvage reads what was not stored out of a home that may be damaged in any way: home/journal and home/stage, without the index. fn gets the files one after
// the other, by inode number; they are valid during the call only. What is wrong with the folder as a whole is in the Damage of every file that it
// may concern. Nothing in home is changed.
//
// With the stage's map in order the answer is exact. Without it, contents may turn up that were removed or stored since.
func Salvage(home string, fn func(SalvagedFile) error) error {
	_, err := SalvageUnknown(home, func(model.Ino, int64) bool { return true }, fn)
	return err
}

// SalvageUnknown also gives contents that were stored when known doesn't know them: their packs were at the providers, but the folder was lost
// before a head named them. known is asked with the ctime of the content. damage is what is wrong with the folder as a whole: it tells what may be lost even
// when no file is left that could tell.
func SalvageUnknown(home string, known func(ino model.Ino, ctime int64) bool, fn func(SalvagedFile) error) (damage []string, err error) {
	s := &Stage{
		dir: filepath.Join(home, "stage"), log: slog.New(slog.DiscardHandler),
		nodes: make(map[model.Ino]*node), ghosts: make(map[*node]struct{}), damage: make(map[model.Ino]error),
	}
	sj := salvageJournal(filepath.Join(home, "journal"))
	s.j, s.segs, s.cache = sj, newSegments(sj, time.Now), &cache{files: map[uint64]*cacheFile{}}
	sv := &salvage{s: s, side: make(map[*layer]journal.LSN), why: make(map[model.Ino][]string)}
	if err := sv.loadMap(); err != nil {
		sv.general = append(sv.general, fmt.Sprintf("the stage's map can't be read (%v): contents that were removed or stored since may be among these", err))
		clear(s.nodes)
		sv.loadSidecars()
	}
	err = journal.Salvage(string(sj), sv.take, func(d *journal.DamageError) { sv.general = append(sv.general, d.Error()) })
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return sv.general, fmt.Errorf("salvage: %w", err)
	}
	if err != nil {
		sv.general = append(sv.general, err.Error())
	}
	return sv.general, sv.show(known, fn)
}

// salvageJournal reads bodies out of a damaged journal's folder; it takes no records.
type salvageJournal string

func (j salvageJournal) Append(journal.Kind, ...[]byte) (journal.Ref, error) {
	return journal.Ref{}, errors.ErrUnsupported
}
func (j salvageJournal) Sync(context.Context, journal.LSN) error { return nil }
func (j salvageJournal) Durable() journal.LSN                    { return 0 }
func (j salvageJournal) SameBoot() bool                          { return false }
func (j salvageJournal) End() journal.LSN                        { return 0 }
func (j salvageJournal) Pin(uint64)                              {}
func (j salvageJournal) Unpin(uint64)                            {}
func (j salvageJournal) Segments() []journal.Segment             { return nil }

func (j salvageJournal) ReadAt(p []byte, ref journal.Ref, off int64) error {
	b, err := journal.SalvageBody(string(j), ref)
	if err != nil {
		return err
	}
	if off < 0 || off+int64(len(p)) > int64(len(b)) {
		return &journal.DamageError{File: string(j), Off: ref.Off, Why: "the record is shorter than it should be"}
	}
	copy(p, b[off:])
	return nil
}

// salvage gathers nodes.
type salvage struct {
	s       *Stage
	side    map[*layer]journal.LSN // layers from sidecars, and the position that these are as of
	general []string
	why     map[model.Ino][]string

	sameBoot bool // the page cache of the newest record lives
}

// loadMap reads all dirty nodes out of the map.
func (sv *salvage) loadMap() error {
	dir := filepath.Join(sv.s.dir, "map")
	if _, err := os.Stat(dir); err != nil {
		return err
	}
	// Even opening for reading may write a log; so a copy is opened.
	tmp, err := os.MkdirTemp("", "salvage")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := os.CopyFS(filepath.Join(tmp, "map"), os.DirFS(dir)); err != nil {
		return err
	}
	db, err := leveldb.OpenFile(filepath.Join(tmp, "map"), &lopt.Options{ReadOnly: true, ErrorIfMissing: true, Strict: lopt.DefaultStrict})
	if err != nil {
		return err
	}
	defer db.Close()
	sv.s.db = db
	if err := sv.s.readBook(); err != nil {
		return err
	}
	it := db.NewIterator(util.BytesPrefix([]byte{keyNode}), nil)
	defer it.Release()
	for it.Next() {
		if len(it.Key()) != 9 {
			return errMap
		}
		n := &node{s: sv.s}
		for _, b := range it.Key()[1:] {
			n.ino = n.ino<<8 | model.Ino(b)
		}
		if err := n.load(); err != nil {
			return err
		}
		sv.s.nodes[n.ino] = n
	}
	return it.Error()
}

// loadSidecars makes nodes out of the layer files' sidecars.
func (sv *salvage) loadSidecars() {
	newest := make(map[model.Ino]journal.LSN)
	err := filepath.WalkDir(filepath.Join(sv.s.dir, "layers"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, sidecarSuffix) {
			return err
		}
		l, lsn, h, err := sv.s.loadSidecar(path)
		if err != nil {
			sv.general = append(sv.general, err.Error())
			if ino, _, ok := layerName(strings.TrimSuffix(d.Name(), sidecarSuffix)); ok {
				sv.why[ino] = append(sv.why[ino], err.Error())
			}
			return nil
		}
		n := sv.node(h.ino)
		n.layers = append(n.layers, l)
		sort.Slice(n.layers, func(i, j int) bool { return n.layers[i].version < n.layers[j].version })
		sv.side[l] = lsn
		if n.path == "" || h.path != "" && lsn >= newest[h.ino] {
			n.path = h.path
		}
		if n.top() == l {
			n.size, n.mtime, n.ctime = h.size, h.mtime, h.ctime
		}
		newest[h.ino] = max(newest[h.ino], lsn)
		return nil
	})
	if err != nil {
		sv.general = append(sv.general, err.Error())
	}
}

func (sv *salvage) node(ino model.Ino) *node {
	n := sv.s.nodes[ino]
	if n == nil {
		n = &node{s: sv.s, ino: ino}
		sv.s.nodes[ino] = n
	}
	return n
}

// take applies one record.
func (sv *salvage) take(r journal.Record) error {
	if r.Kind < journal.FirstStageKind {
		return nil
	}
	p, err := parseRecord(r.Kind, r.Body)
	if err != nil {
		sv.general = append(sv.general, err.Error())
		return nil
	}
	sv.sameBoot = r.SameBoot
	n := sv.node(p.ino)
	if r.LSN <= n.lsn {
		return nil
	}
	if l := n.layer(p.version); l != nil && r.LSN <= sv.side[l] {
		return nil
	}
	if l := n.layer(p.version); l != nil && !l.inline && p.flags&flagInline != 0 {
		return nil // from before its conversion
	}
	n.lsn = r.LSN
	n.apply(&p, &r)
	return nil
}

// show calls fn for the files with dirty content, and for those that were written here and aren't known.
func (sv *salvage) show(known func(model.Ino, int64) bool, fn func(SalvagedFile) error) error {
	var inos []model.Ino
	for ino, n := range sv.s.nodes {
		if n.dirty() || n.version() != 0 && !known(ino, n.ctime) {
			inos = append(inos, ino)
		}
	}
	sort.Slice(inos, func(i, j int) bool { return inos[i] < inos[j] })
	for _, ino := range inos {
		if err := sv.showOne(sv.s.nodes[ino], fn); err != nil {
			return err
		}
	}
	return nil
}

func (sv *salvage) showOne(n *node, fn func(SalvagedFile) error) error {
	f := SalvagedFile{
		Ino: n.ino, Path: n.path, Version: n.version(), Size: n.size, Mtime: n.mtime, Ctime: n.ctime,
		Damage: append(append([]string(nil), sv.why[n.ino]...), sv.general...), n: n,
	}
	var stack []*layer
	for _, l := range n.layers {
		if l.inline {
			stack = append(stack, l)
			f.Damage = append(f.Damage, sv.missingPieces(l)...)
			continue
		}
		file, err := os.Open(l.path)
		if err != nil {
			f.Damage = append(f.Damage, err.Error())
			file, err = os.Open(os.DevNull) // every read of it is damage then
			if err != nil {
				return fmt.Errorf("salvage: %w", err)
			}
		} else if st, err := file.Stat(); err == nil && st.Size() < (l.lastData()+1)*BlockSize {
			f.Damage = append(f.Damage, fmt.Sprintf("%s: cut short at %d", l.path, st.Size()))
		}
		l.f = file
		f.Damage = append(f.Damage, l.salvageSums(sv.sameBoot || sv.s.closedWell || l.sealed)...)
		stack = append(stack, l)
		if over := l.redoLayer(); over != nil {
			stack = append(stack, over)
		}
	}
	n.layers = stack
	f.NeedsBase = false
	for at := int64(0); at < f.Size && !f.NeedsBase; {
		src := find(n.layers, at, f.Size)
		f.NeedsBase = src.st == data && src.l == nil
		at = src.end
	}
	err := fn(f)
	n.closeFiles()
	return err
}

// missingPieces tells which pieces of a small content can't be read.
func (sv *salvage) missingPieces(l *layer) (why []string) {
	for i := range l.pieces {
		if p := &l.pieces[i]; !p.zero {
			if err := sv.s.readPiece(p, make([]byte, p.n), p.off); err != nil {
				why = append(why, fmt.Sprintf("bytes %d to %d: %v", p.off, p.end(), err))
			}
		}
	}
	return why
}

// redoLayer is what replay would write into the layer's file, as a layer over it.
func (l *layer) redoLayer() *layer {
	if len(l.redo) == 0 {
		return nil
	}
	over := &layer{ino: l.ino, version: l.version, inline: true, floor: math.MaxInt64}
	for _, r := range l.redo {
		if r.pieces == nil {
			over.insertPiece(piece{off: r.zeroAt, n: blockCeil(r.zeroAt) - r.zeroAt, zero: true})
		}
		for _, p := range r.pieces {
			if r.blocks && !p.zero {
				from, to := blockFloor(p.off), blockCeil(p.end())
				over.insertPiece(piece{off: from, n: to - from, zero: true})
			}
		}
		for _, p := range r.pieces {
			over.insertPiece(p)
		}
	}
	// Only what the layer has counts.
	for i := 0; i < len(over.pieces); {
		p := over.pieces[i]
		st, _, end := l.at(p.off, p.end())
		if st != data {
			over.cutPieces(p.off, end)
			continue
		}
		if end < p.end() {
			over.pieces = append(over.pieces[:i], append([]piece{p.slice(p.off, end), p.slice(end, p.end())}, over.pieces[i+1:]...)...)
		}
		i++
	}
	if len(over.pieces) == 0 {
		return nil
	}
	return over
}
