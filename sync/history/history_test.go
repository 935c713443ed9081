package history

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cloudcoin/cloudcoin/sync/index"
	"github.com/cloudcoin/cloudcoin/sync/journal"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

func TestParsePolicy(t *testing.T) {
	for _, good := range []string{DefaultKeep, "all:forever", "hourly:2d,weekly:1y", "yearly:forever"} {
		p, err := ParsePolicy(good)
		if err != nil || p.String() != good {
			t.Errorf("%q: %v, %v", good, p, err)
		}
	}
	for _, bad := range []string{"", "all", "all:", "sometimes:3d", "daily:-3d", "daily:0s", "all:30d,", "daily:x"} {
		if _, err := ParsePolicy(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestKeeps(t *testing.T) {
	now := time.Date(2026, 7, 15, 13, 0, 0, 0, time.UTC)
	at := func(s string) model.Rev {
		d, err := time.Parse("2006-01-02 15:04", s)
		if err != nil {
			t.Fatal(err)
		}
		return model.RevAt(d)
	}
	for _, c := range []struct {
		policy, rev, next string
		want              bool
	}{
		{"all:30d", "2026-07-01 10:00", "2026-07-01 10:01", true},
		{"all:30d", "2020-01-01 00:00", "2026-07-01 10:01", true}, // it was current within the 30 days
		{"all:30d", "2026-06-01 10:00", "2026-06-15 12:59", false},
		{"all:forever", "1999-01-01 00:00", "1999-01-01 00:01", true},
		{"daily:180d", "2026-05-01 10:00", "2026-05-01 23:00", false},
		{"daily:180d", "2026-05-01 10:00", "2026-05-02 00:01", true},
		{"daily:180d", "2026-05-01 00:00", "2026-05-01 00:01", true}, // current at midnight itself
		{"daily:10d", "2026-05-01 10:00", "2026-05-02 00:01", false},
		{"monthly:forever", "2020-02-03 00:00", "2020-02-28 00:00", false},
		{"monthly:forever", "2020-02-03 00:00", "2020-03-01 00:01", true},
		{"weekly:forever", "2026-07-06 01:00", "2026-07-12 23:00", false}, // Monday to Sunday
		{"weekly:forever", "2026-07-06 01:00", "2026-07-13 01:00", true},
		{"yearly:forever", "2020-02-03 00:00", "2021-01-02 00:00", true},
		{"hourly:2d", "2026-07-15 12:10", "2026-07-15 12:50", false},
		{"monthly:forever", "2026-07-02 00:00", "2030-01-01 00:00", false}, // moments to come don't count
	} {
		p, err := ParsePolicy(c.policy)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Keeps(at(c.rev), at(c.next), now); got != c.want {
			t.Errorf("%s keeps %s to %s: %v", c.policy, c.rev, c.next, got)
		}
	}
}

// What a policy promises: as of every moment of its grid, the revision that was current then is there.
func TestEveryMomentOfTheGridStays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom([]string{"hourly", "daily", "weekly", "monthly", "yearly"}).Draw(t, "kind")
		days := rapid.IntRange(1, 400).Draw(t, "days")
		now := time.Unix(rapid.Int64Range(1.6e9, 1.9e9).Draw(t, "now"), 0).UTC()
		p := Policy{rules: []rule{{kind, time.Duration(days) * 24 * time.Hour}}}
		var revs []model.Rev
		for range rapid.IntRange(1, 30).Draw(t, "n") {
			back := time.Duration(rapid.Int64Range(1, int64(500*24*time.Hour)).Draw(t, "back"))
			revs = append(revs, model.RevAt(now.Add(-back)))
		}
		slices.Sort(revs)
		revs = slices.Compact(revs)
		kept := map[model.Rev]bool{}
		for i, r := range revs {
			next := model.RevAt(now) + 1
			if i+1 < len(revs) {
				next = revs[i+1]
			}
			kept[r] = p.Keeps(r, next, now)
		}
		g := grids[kind]
		for at := g.floor(now); now.Sub(at) <= time.Duration(days)*24*time.Hour; at = g.floor(at.Add(-time.Second)) {
			i, found := slices.BinarySearch(revs, model.RevAt(at))
			if !found {
				i--
			}
			if i >= 0 && !kept[revs[i]] {
				t.Fatalf("as of %s, %d isn't kept", at, revs[i])
			}
		}
	})
}

func TestParseWhen(t *testing.T) {
	now := time.Date(2026, 7, 15, 13, 0, 0, 0, time.UTC)
	for s, want := range map[string]model.Rev{
		"1784120400000000":     1784120400000000,
		"2026-07-15T12:00:00Z": model.RevAt(now.Add(-time.Hour)),
		"2h":                   model.RevAt(now.Add(-2 * time.Hour)),
		"yesterday":            model.RevAt(time.Date(2026, 7, 14, 0, 0, 0, 0, time.UTC)),
		"2026-07-01":           model.RevAt(time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)),
	} {
		if got, err := ParseWhen(s, now); err != nil || got != want {
			t.Errorf("%q: %d, %v (want %d)", s, got, err, want)
		}
	}
	for _, bad := range []string{"", "17", "99999999999999999999", "soon"} {
		if _, err := ParseWhen(bad, now); !errors.Is(err, ErrWhen) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// drive is an index with a clock that is set by hand.
type drive struct {
	t   *testing.T
	x   *index.Index
	now time.Time
}

func newDrive(t *testing.T) *drive {
	d := &drive{t: t, now: time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)}
	dir := t.TempDir()
	j, err := journal.Open(filepath.Join(dir, "journal"), journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if d.x, err = index.Open(filepath.Join(dir, "index"), j, index.Options{DevicePart: 1, Clock: func() time.Time { return d.now }, Network: "local"}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(j.Replay(d.x.ReplayRecord), d.x.Ready()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(d.x.Close(), j.Close()); err != nil {
			t.Error(err)
		}
	})
	d.do(func(b *index.Batch) { b.PutInode(&model.Inode{Ino: 1, Mode: model.TypeDir | 0o755, Nlink: 2}) })
	return d
}

// do commits a batch, a minute later, and takes it out of the outbox.
func (d *drive) do(fn func(b *index.Batch)) model.Rev {
	d.t.Helper()
	d.now = d.now.Add(time.Minute)
	b := d.x.Begin()
	fn(b)
	rev, err := b.Commit()
	if err != nil {
		d.t.Fatal(err)
	}
	p := d.x.Begin()
	p.Local()
	p.Published(rev)
	if _, err := p.Commit(); err != nil {
		d.t.Fatal(err)
	}
	return rev
}

func file(ino model.Ino, size int64, mtime int64) *model.Inode {
	return &model.Inode{Ino: ino, Mode: model.TypeRegular | 0o644, Nlink: 1, Size: size, Mtime: mtime, Ctime: mtime, Parent: 1}
}

func ops(es []Entry) (out []string) {
	for _, e := range es {
		out = append(out, e.Op)
	}
	return out
}

func TestHistoryOfAPath(t *testing.T) {
	d := newDrive(t)
	d.do(func(b *index.Batch) { b.PutInode(file(10, 0, 1)); b.PutDirent(1, "f", 10, model.TypeRegular) })
	d.do(func(b *index.Batch) { b.PutInode(file(10, 5, 2)) })
	d.do(func(b *index.Batch) { n := file(10, 5, 2); n.Mode |= 0o111; b.PutInode(n) })
	d.do(func(b *index.Batch) { b.PutInode(file(11, 9, 3)); b.PutDirent(1, "tmp", 11, model.TypeRegular) })
	d.do(func(b *index.Batch) {
		b.RemoveDirent(1, "tmp")
		b.PutDirent(1, "f", 11, model.TypeRegular)
		old := file(10, 5, 2)
		old.Nlink = 0
		b.PutInode(old)
	})
	last := d.do(func(b *index.Batch) { b.RemoveDirent(1, "f"); n := file(11, 9, 3); n.Nlink = 0; b.PutInode(n) })

	es, err := Of(d.x, "/f", func(model.Rev) string { return "me" })
	if err != nil {
		t.Fatal(err)
	}
	if got, want := ops(es), []string{OpDelete, OpRename, OpAttr, OpWrite, OpCreate}; !slices.Equal(got, want) {
		t.Errorf("operations %v, want %v", got, want)
	}
	if es[0].Revision != last || es[1].Size != 9 || es[3].Size != 5 || es[4].Size != 0 || !es[2].Stored || es[0].Device != "me" {
		t.Errorf("entries %+v", es)
	}
	if !slices.IsSortedFunc(es, func(a, b Entry) int { return int(int64(b.Revision) - int64(a.Revision)) }) {
		t.Error("not newest first")
	}
	if _, err := Of(d.x, "/never", nil); !errors.Is(err, index.ErrNotFound) {
		t.Errorf("a path that never was: %v", err)
	}
	if es, err = Of(d.x, "/", nil); err != nil || len(es) == 0 || es[len(es)-1].Op != OpCreate {
		t.Errorf("the root: %v, %v", es, err)
	}
}

func TestHistoryInADeletedFolder(t *testing.T) {
	d := newDrive(t)
	dir := &model.Inode{Ino: 20, Mode: model.TypeDir | 0o755, Nlink: 2}
	d.do(func(b *index.Batch) { b.PutInode(dir); b.PutDirent(1, "dir", 20, model.TypeDir) })
	d.do(func(b *index.Batch) { b.PutInode(file(21, 7, 1)); b.PutDirent(20, "f", 21, model.TypeRegular) })
	d.do(func(b *index.Batch) { b.RemoveDirent(20, "f"); n := file(21, 7, 1); n.Nlink = 0; b.PutInode(n) })
	d.do(func(b *index.Batch) { b.RemoveDirent(1, "dir") })
	es, err := Of(d.x, "dir/f", nil)
	if err != nil || !slices.Equal(ops(es), []string{OpDelete, OpCreate}) {
		t.Errorf("%v, %v", es, err)
	}
	if es, err = Of(d.x, "dir", nil); err != nil || !slices.Equal(ops(es), []string{OpDelete, OpCreate}) {
		t.Errorf("%v, %v", es, err)
	}
}

// A dry run says what the real one then does.
func TestPrune(t *testing.T) {
	d := newDrive(t)
	chunk := func(i byte) model.Chunk {
		return model.Chunk{ID: model.ChunkID{i}, Len: 1000, Pack: model.PackID{1}, Off: int64(i) * 1000}
	}
	d.do(func(b *index.Batch) {
		b.PutPack(&model.Pack{ID: model.PackID{1}, K: 1, ShardLen: 1 << 20, PlainLen: 1 << 19, Shards: []model.Shard{{}}})
		for i := byte(1); i <= 4; i++ {
			b.PutChunk(chunk(i))
		}
	})
	write := func(ino model.Ino, i byte) {
		rev := d.do(func(b *index.Batch) { b.PutExtents(ino, []model.Extent{{Len: 1000, Chunk: chunk(i).ID}}) })
		d.do(func(b *index.Batch) {
			n := file(ino, 1000, int64(i))
			n.Content = model.Content{Kind: model.ContentStored, Rev: rev}
			b.PutInode(n)
			b.PutDirent(1, "f"+string(rune('0'+ino)), ino, model.TypeRegular)
		})
	}
	write(10, 1)
	write(10, 2) // replaces 1
	write(11, 1) // keeps 1 alive
	write(12, 3)
	write(12, 4) // 3 goes
	d.now = d.now.AddDate(1, 0, 0)
	p, err := ParsePolicy("all:30d")
	if err != nil {
		t.Fatal(err)
	}
	dry, err := Prune(context.Background(), d.x, p, d.now, true)
	if err != nil || dry.Chunks != 1 || dry.Bytes != 1000 || dry.Revisions == 0 {
		t.Fatalf("dry run: %+v, %v", dry, err)
	}
	real, err := Prune(context.Background(), d.x, p, d.now, false)
	if err != nil || real != dry {
		t.Errorf("%+v, %v; the dry run said %+v", real, err, dry)
	}
	dead := 0
	if err := d.x.LiveChunks(context.Background(), func(_ model.Chunk, live bool) error {
		if !live {
			dead++
		}
		return nil
	}); err != nil || dead != 1 {
		t.Errorf("%d chunks are dead, %v", dead, err)
	}
	again, err := Prune(context.Background(), d.x, p, d.now, true)
	if err != nil || again != (Pruned{}) {
		t.Errorf("again: %+v, %v", again, err)
	}
}
