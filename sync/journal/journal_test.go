package journal

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

var small = Options{SegmentSize: 64 << 10, BootID: "boot"}

type kept struct {
	ref  Ref
	kind Kind
	body []byte
}

// open opens and replays, and returns what was replayed.
func open(t testing.TB, dir string, opt Options) (*Journal, []kept) {
	t.Helper()
	j, err := Open(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() }) // tests that care close themselves
	got, err := replay(j)
	if err != nil {
		t.Fatal(err)
	}
	return j, got
}

func replay(j *Journal) (got []kept, err error) {
	err = j.Replay(func(r Record) error {
		got = append(got, kept{r.Ref, r.Kind, bytes.Clone(r.Body)})
		return nil
	})
	return got, err
}

func body(i, n int) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(uint64(i), 7))
	for k := range b {
		b[k] = byte(r.Uint32())
	}
	return b
}

func fill(t testing.TB, j *Journal, from, n int, size func(i int) int) (out []kept) {
	t.Helper()
	for i := from; i < from+n; i++ {
		b := body(i, size(i))
		ref, err := j.Append(Kind(1+i%100), b[:len(b)/2], b[len(b)/2:])
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, kept{ref, Kind(1 + i%100), b})
	}
	return out
}

func same(t testing.TB, got, want []kept) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("replayed %d records, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i].ref != want[i].ref || got[i].kind != want[i].kind || !bytes.Equal(got[i].body, want[i].body) {
			t.Fatalf("record %d: %+v kind %d, want %+v kind %d", i, got[i].ref, got[i].kind, want[i].ref, want[i].kind)
		}
	}
}

func sizes(i int) int { return (i * 7919) % 5000 }

func TestReplayGivesWhatWasAppended(t *testing.T) {
	dir := t.TempDir()
	var want []kept
	for session := range 4 {
		j, got := open(t, dir, small)
		same(t, got, want)
		want = append(want, fill(t, j, session*100, 100, sizes)...)
		if session%2 == 0 {
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
		}
		for _, k := range want {
			p := make([]byte, len(k.body))
			if err := j.ReadAt(p, k.ref, 0); session%2 == 1 && (err != nil || !bytes.Equal(p, k.body)) {
				t.Fatal("read back:", err)
			}
		}
		j.mu.Lock()
		j.ready = false // as if killed: Close writes nothing
		j.mu.Unlock()
		_ = j.Close()
	}
}

func TestCheckpointStartsReplayAndRecycles(t *testing.T) {
	dir := t.TempDir()
	j, _ := open(t, dir, small)
	recs := fill(t, j, 0, 100, sizes)
	pin := recs[0].ref.Segment
	j.Pin(pin)
	if err := j.Checkpoint(recs[89].ref.LSN); err != nil {
		t.Fatal(err)
	}
	segs := j.Segments()
	if len(segs) < 2 || segs[0].Number != pin || !segs[0].Pinned {
		t.Fatalf("segments: %+v", segs)
	}
	p := make([]byte, len(recs[5].body))
	if err := j.ReadAt(p, recs[5].ref, 0); err != nil || !bytes.Equal(p, recs[5].body) {
		t.Fatal("a pinned segment reads", err)
	}
	j.Unpin(pin)
	if err := j.ReadAt(p, recs[5].ref, 0); !errors.Is(err, ErrGone) {
		t.Fatal("want ErrGone, got", err)
	}
	more := fill(t, j, 100, 400, sizes) // runs through recycled files
	if err := j.Sync(context.Background(), j.End()); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	_, got := open(t, dir, small)
	same(t, got, append(recs[90:], more...))
}

func TestSameBoot(t *testing.T) {
	dir := t.TempDir()
	for i, c := range []struct {
		boot string
		want bool
	}{{"a", true}, {"a", true}, {"b", false}, {"b", true}} {
		opt := small
		opt.BootID = c.boot
		j, err := Open(dir, opt)
		if err != nil {
			t.Fatal(err)
		}
		if j.SameBoot() != c.want {
			t.Errorf("step %d: %v", i, j.SameBoot())
		}
		n := 0
		if err := j.Replay(func(r Record) error {
			if want := string(r.Body) == c.boot; r.SameBoot != want {
				t.Errorf("step %d: record of boot %s: %v", i, r.Body, r.SameBoot)
			}
			n++
			return nil
		}); err != nil || n != i {
			t.Fatal(n, err)
		}
		if _, err := j.Append(1, []byte(c.boot)); err != nil {
			t.Fatal(err)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// crash copies the journal's files as they are, without closing it.
func crash(t testing.TB, dir string) string {
	t.Helper()
	to := t.TempDir()
	es, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range es {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err == nil {
			err = os.WriteFile(filepath.Join(to, e.Name()), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return to
}

func TestTornTailEndsQuietlyAndDamageIsReported(t *testing.T) {
	dir := t.TempDir()
	j, _ := open(t, dir, small)
	recs := fill(t, j, 0, 60, sizes)
	if err := j.Sync(context.Background(), recs[49].ref.LSN); err != nil {
		t.Fatal(err)
	}
	durable := j.Durable()
	tail := fill(t, j, 60, 10, func(int) int { return 300 })
	at := crash(t, dir)
	for i, k := range append(append([]kept{}, recs...), tail...) {
		if len(k.body) == 0 {
			continue
		}
		d := crash(t, at)
		flip(t, filepath.Join(d, segmentName(k.ref.Segment)), k.ref.Off)
		j2, err := Open(d, small)
		if k.ref.LSN <= durable {
			var dmg *DamageError
			if !errors.As(err, &dmg) {
				t.Fatalf("record %d (durable): want damage, got %v", i, err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("record %d (torn): %v", i, err)
		}
		if j2.Durable() != j2.End() {
			t.Fatal("what is replayed isn't durable")
		}
		got, err := replay(j2)
		if err != nil {
			t.Fatal(err)
		}
		all := append(append([]kept{}, recs...), tail...)
		same(t, got, all[:i])
		again := fill(t, j2, 1000, 3, func(int) int { return 300 })
		if err := j2.Close(); err != nil {
			t.Fatal(err)
		}
		j3, got := open(t, d, small) // leftovers behind the tear don't come back
		same(t, got, append(all[:i:i], again...))
		if err := j3.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func flip(t testing.TB, name string, off int64) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	var b [1]byte
	if _, err := f.ReadAt(b[:], off); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x10
	if _, err := f.WriteAt(b[:], off); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// Any file of a closed journal flipped, truncated or removed: the same answers, or a *DamageError.
func TestAnyFileDamaged(t *testing.T) {
	dir := t.TempDir()
	j, _ := open(t, dir, small)
	want := fill(t, j, 0, 60, sizes)
	j.Pin(1)
	if err := j.Checkpoint(want[40].ref.LSN); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	es, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for _, e := range es {
		for try := range 12 {
			d := crash(t, dir)
			name := filepath.Join(d, e.Name())
			st, err := os.Stat(name)
			if err != nil {
				t.Fatal(err)
			}
			what := "removed"
			switch {
			case try == 0:
				err = os.Remove(name)
			case try < 4:
				n := r.Int64N(st.Size())
				what = fmt.Sprintf("cut to %d", n)
				err = os.Truncate(name, n)
			default:
				n := r.Int64N(st.Size())
				what = fmt.Sprintf("flipped at %d", n)
				flip(t, name, n)
			}
			if err != nil {
				t.Fatal(err)
			}
			checkSameOrDamage(t, d, want[41:], e.Name()+" "+what)
		}
	}
}

func checkSameOrDamage(t *testing.T, d string, want []kept, what string) {
	t.Helper()
	var dmg *DamageError
	j, err := Open(d, small)
	if err == nil {
		defer j.Close() //nolint:errcheck // a damaged copy
		var got []kept
		if got, err = replay(j); err == nil {
			same(t, got, want)
			return
		}
	}
	if !errors.As(err, &dmg) {
		t.Errorf("%s: %v", what, err)
	}
}

func TestFullDiskLeavesTheJournalUsable(t *testing.T) {
	dir := t.TempDir()
	j, _ := open(t, dir, small)
	blocked := filepath.Join(dir, segmentName(2))
	if err := os.Mkdir(blocked, 0o700); err != nil { // the next segment can't be made
		t.Fatal(err)
	}
	var want []kept
	var err error
	for i := 0; err == nil; i++ {
		b := body(i, 3000)
		var ref Ref
		if ref, err = j.Append(1, b); err == nil {
			want = append(want, kept{ref, 1, b})
		}
	}
	if err := j.Sync(context.Background(), j.End()); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(blocked); err != nil {
		t.Fatal(err)
	}
	want = append(want, fill(t, j, 500, 30, sizes)...)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	_, got := open(t, dir, small)
	same(t, got, want)
}

func TestManyAppendersAndWaiters(t *testing.T) {
	dir := t.TempDir()
	j, _ := open(t, dir, small)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 40 {
				b := binary.LittleEndian.AppendUint32(nil, uint32(g*1000+i))
				ref, err := j.Append(1, b, body(i, 700))
				if err == nil {
					err = j.Sync(context.Background(), ref.LSN)
				}
				if err != nil || j.Durable() < ref.LSN {
					t.Error(err)
				}
				if i == 20 {
					if err := j.Checkpoint(0); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	_, got := open(t, dir, small)
	next := [8]int{}
	for _, k := range got {
		v := int(binary.LittleEndian.Uint32(k.body))
		if v%1000 != next[v/1000] {
			t.Fatalf("appender %d: %d, want %d", v/1000, v%1000, next[v/1000])
		}
		next[v/1000]++
	}
	if len(got) != 320 {
		t.Fatal(len(got))
	}
}

func TestMisuseIsRefused(t *testing.T) {
	j, err := Open(t.TempDir(), small)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := j.Append(1, nil); !errors.Is(err, ErrNotReplayed) {
		t.Error(err)
	}
	if _, err := replay(j); err != nil {
		t.Fatal(err)
	}
	if _, err := replay(j); err == nil {
		t.Error("a second replay")
	}
	for _, k := range []Kind{0, 128, 255} {
		if _, err := j.Append(k, nil); err == nil {
			t.Error("kind", k)
		}
	}
	if _, err := j.Append(1, make([]byte, 70<<10)); !errors.Is(err, ErrTooLong) {
		t.Error(err)
	}
	if err := j.Sync(context.Background(), j.End()+1); err == nil {
		t.Error("sync past the end")
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Append(1, nil); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

// After a failed fdatasync nothing is taken for durable any more.
func TestFailedSyncIsFatal(t *testing.T) {
	dir := t.TempDir()
	j, _ := open(t, dir, small)
	ref, err := j.Append(1, []byte("a"))
	if err != nil {
		t.Fatal(err)
	}
	before := j.Durable()
	j.datasync = func(*os.File) error { return syscall.EIO }
	if err := j.Sync(context.Background(), ref.LSN); !errors.Is(err, ErrFailed) || !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	j.datasync = func(*os.File) error { return nil }
	if err := j.Sync(context.Background(), ref.LSN); !errors.Is(err, ErrFailed) {
		t.Fatal("the kernel forgets the error, the journal must not:", err)
	}
	if _, err := j.Append(1, nil); !errors.Is(err, ErrFailed) || j.Durable() != before {
		t.Fatal(err)
	}
	if err := j.Checkpoint(0); !errors.Is(err, ErrFailed) {
		t.Fatal(err)
	}
}

// A disk without room for the head doesn't end the journal's life: what was synced is durable, and the head follows when there is room.
func TestNoRoomForTheHead(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	j, _ := open(t, dir, small)
	if err := os.Symlink("/dev/full", filepath.Join(dir, headName+".tmp")); err != nil { // removed with the first try
		t.Fatal(err)
	}
	recs := fill(t, j, 0, 30, func(int) int { return 4000 })
	last := recs[len(recs)-1].ref
	if err := j.Sync(context.Background(), last.LSN); err != nil || j.Durable() < last.LSN {
		t.Fatal(j.Durable(), err)
	}
	if h, err := j.readHead(); err != nil || h.segment >= last.Segment {
		t.Fatal("the head was written: the test tests nothing", h.segment, err)
	}
	ref, err := j.Append(1, []byte("a"))
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Sync(context.Background(), ref.LSN); err != nil {
		t.Fatal(err)
	}
	if h, err := j.readHead(); err != nil || h.segment != ref.Segment {
		t.Fatal(h.segment, err)
	}
}

func TestVerifyFindsDamageInOldRecords(t *testing.T) {
	dir := t.TempDir()
	j, _ := open(t, dir, small)
	recs := fill(t, j, 0, 30, func(int) int { return 4000 })
	if err := j.Checkpoint(recs[25].ref.LSN); err != nil { // later pins come too late for nothing: segment 1 is recycled
		t.Fatal(err)
	}
	seg := recs[20].ref.Segment
	j.Pin(seg)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	flip(t, filepath.Join(dir, segmentName(seg)), recs[20].ref.Off+100)
	j, _ = open(t, dir, small)
	p := make([]byte, 10)
	var dmg *DamageError
	if err := j.ReadAt(p, recs[20].ref, 0); !errors.As(err, &dmg) {
		t.Fatal("want damage, got", err)
	}
	if err := j.ReadAt(p, recs[21].ref, 5); err != nil || !bytes.Equal(p, recs[21].body[5:15]) {
		t.Fatal(err)
	}
}

func TestFormatIsFrozen(t *testing.T) {
	by := session{epoch: 3, boot: hashBoot("boot"), mount: 77}
	rec := make([]byte, recordHeader, 64)
	(&header{kind: 65, len: 5, lsn: 1 << 33, durable: 1 << 32, epoch: 3}).put(rec)
	rec = append(rec, "hello"...)
	seal(rec)
	for name, p := range map[string][]byte{
		"record":  rec,
		"head":    head{checkpoint: 1, cpSegment: 2, segment: 3, durable: 4, by: by}.encode(),
		"segment": segHeader{num: 5, size: 64 << 20, base: 1 << 40, durable: 1 << 39, by: by}.encode()[:128],
	} {
		want, err := os.ReadFile(filepath.Join("testdata", name+".golden"))
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(p); got != strings.TrimSpace(string(want)) {
			t.Errorf("%s is written as\n%s", name, got)
		}
	}
}

// FuzzSegment opens journals whose only segment holds any bytes behind its header: an error or a replay, never a panic, and what was replayed
// replays again.
func FuzzSegment(f *testing.F) {
	rec := make([]byte, 64)
	(&header{kind: 1, len: 3, epoch: 1}).put(rec)
	copy(rec[recordHeader:], "abc")
	seal(rec[:recordHeader+3])
	f.Add(rec)
	f.Add(bytes.Repeat(rec, 3))
	f.Fuzz(func(t *testing.T, p []byte) {
		dir := t.TempDir()
		opt := Options{SegmentSize: minSegmentSize, BootID: "b"}
		j, err := Open(dir, opt)
		if err != nil {
			t.Fatal(err)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		w, err := os.OpenFile(filepath.Join(dir, segmentName(1)), os.O_WRONLY, 0)
		if err == nil {
			_, err = w.WriteAt(p[:min(len(p), minSegmentSize-segmentHeader)], segmentHeader)
			err = errors.Join(err, w.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
		var dmg *DamageError
		j, err = Open(dir, opt)
		if errors.As(err, &dmg) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		got, err := replay(j)
		if err != nil {
			t.Fatal(err)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		j, again := open(t, dir, opt)
		same(t, again, got)
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzHead(f *testing.F) {
	f.Add(head{checkpoint: 1, cpSegment: 2, segment: 3, durable: 4}.encode())
	f.Add(segHeader{num: 5, size: 64 << 20, base: 1 << 40}.encode()[:128])
	f.Fuzz(func(t *testing.T, p []byte) {
		if h, err := parseHead(p); err == nil && !bytes.Equal(h.encode()[:40], p[:40]) {
			t.Fatal(h)
		}
		if h, ok := parseSegHeader(p); ok && !bytes.Equal(h.encode()[:40], p[:40]) {
			t.Fatal(h)
		}
	})
}
