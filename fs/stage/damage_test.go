//go:build linux

package stage

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/cloudcoin/cloudcoin/sync/journal"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// fill writes files of both kinds and returns what they hold.
func fill(t *testing.T, r *rig) map[model.Ino][]byte {
	want := map[model.Ino][]byte{}
	for ino, size := range map[model.Ino]int{2: 100, 3: 5000, 4: 60_000, 5: 70_000, 6: 400_000} {
		want[ino] = pattern(byte(ino), size)
		f := r.file(ino, nil, 0)
		f.SetPath("dir/file-" + string(rune('a'+ino)))
		f.SetAttr(int64(ino), 1)
		must(t, f.WriteAt(bg, want[ino], 0))
		must(t, f.Sync(bg))
		must(t, f.Close())
	}
	r.checkpoint()
	for _, ino := range []model.Ino{4, 5, 6} { // some redo
		f := r.file(ino, nil, 0)
		must(t, f.WriteAt(bg, []byte("changed later"), 10_000))
		must(t, f.Sync(bg))
		copy(want[ino][10_000:], "changed later")
		must(t, f.Close())
	}
	return want
}

// salvaged reads everything that Salvage gives; wrong bytes are an error, lost ones are not.
func salvaged(t *testing.T, home string, want map[model.Ino][]byte) (whole map[model.Ino]bool, damage map[model.Ino][]string) {
	t.Helper()
	whole, damage = map[model.Ino]bool{}, map[model.Ino][]string{}
	must(t, Salvage(home, func(f SalvagedFile) error {
		damage[f.Ino] = f.Damage
		got := make([]byte, f.Size)
		_, err := f.ReadAt(bg, nil, got, 0)
		if err != nil {
			if len(f.Damage) == 0 {
				t.Errorf("inode %d can't be read (%v), and nothing says why", f.Ino, err)
			}
			return nil
		}
		whole[f.Ino] = bytes.Equal(got, want[f.Ino])
		if !whole[f.Ino] && len(f.Damage) == 0 {
			t.Errorf("inode %d: other bytes, and nothing says so", f.Ino)
		}
		if whole[f.Ino] && !strings.HasPrefix(f.Path, "dir/file-") {
			t.Errorf("inode %d has the path %q", f.Ino, f.Path)
		}
		return nil
	}))
	return whole, damage
}

func TestSalvageSound(t *testing.T) {
	r := newRig(t, Options{})
	want := fill(t, r)
	f := r.file(9, nil, 0)
	must(t, f.WriteAt(bg, []byte("gone"), 0))
	must(t, f.Close())
	must(t, r.s.Drop(9))
	must(t, r.j.Sync(bg, r.j.End()))
	home := t.TempDir()
	must(t, copyTree(r.home, home))
	whole, damage := salvaged(t, home, want)
	if len(whole) != len(want) {
		t.Errorf("%d files of %d, damage %v", len(whole), len(want), damage)
	}
	for ino := range want {
		if !whole[ino] || len(damage[ino]) > 0 {
			t.Errorf("inode %d: whole %v, damage %v", ino, whole[ino], damage[ino])
		}
	}
}

// A content that was stored is given only when nobody knows it: its folder may have been lost before a head named it.
func TestSalvageUnknown(t *testing.T) {
	r := newRig(t, Options{})
	want := fill(t, r)
	for _, ino := range []model.Ino{3, 4, 6} {
		f := r.file(ino, nil, 0)
		v, err := f.Freeze()
		must(t, err)
		must(t, f.Close())
		must(t, r.s.Stored(ino, v))
	}
	must(t, r.j.Sync(bg, r.j.End()))
	for _, saved := range []bool{false, true} {
		if saved {
			r.checkpoint()
		}
		home := t.TempDir()
		must(t, copyTree(r.home, home))
		got := map[model.Ino]bool{}
		damage, err := SalvageUnknown(home, func(ino model.Ino, ctime int64) bool { return ino == 4 && ctime == 1 }, func(f SalvagedFile) error {
			b := make([]byte, f.Size)
			_, err := f.ReadAt(bg, nil, b, 0)
			got[f.Ino] = err == nil && bytes.Equal(b, want[f.Ino])
			return nil
		})
		must(t, err)
		if len(damage) != 0 {
			t.Errorf("saved %v: an undamaged home is damaged: %q", saved, damage)
		}
		if len(got) != 4 || !got[2] || !got[3] || !got[5] || !got[6] {
			t.Errorf("saved %v: %v", saved, got)
		}
	}
}

// Any single file cut short, flipped or removed costs at most what it held, and it is said.
func TestSalvageDamaged(t *testing.T) {
	r := newRig(t, Options{})
	want := fill(t, r)
	var names []string
	must(t, filepath.WalkDir(r.home, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(r.home, path)
			names = append(names, rel)
		}
		return err
	}))
	harm := map[string]func(path string) error{
		"removed": os.Remove,
		"emptied": func(p string) error { return os.Truncate(p, 0) },
		"cut": func(p string) error {
			st, err := os.Stat(p)
			if err != nil {
				return err
			}
			return os.Truncate(p, st.Size()/2)
		},
		"flipped": func(p string) error {
			b, err := os.ReadFile(p)
			if err != nil || len(b) == 0 {
				return err
			}
			for i := 0; i < len(b); i += max(len(b)/50, 1) {
				b[i] ^= 0x40
			}
			return os.WriteFile(p, b, 0o600)
		},
	}
	for _, name := range names {
		for how, do := range harm {
			home := t.TempDir()
			must(t, copyTree(r.home, home))
			must(t, do(filepath.Join(home, name)))
			whole := map[model.Ino]bool{}
			must(t, Salvage(home, func(f SalvagedFile) error {
				got := make([]byte, f.Size)
				if _, err := f.ReadAt(bg, nil, got, 0); err == nil {
					whole[f.Ino] = bytes.Equal(got, want[f.Ino])
				} else if len(f.Damage) == 0 {
					t.Errorf("%s %s: inode %d can't be read (%v), and nothing says why", name, how, f.Ino, err)
				}
				return nil
			}))
			lost := 0
			for ino := range want {
				if !whole[ino] {
					lost++
				}
			}
			limit := 0
			switch {
			case strings.HasPrefix(name, "journal/segment"):
				limit = len(want)
			case strings.HasPrefix(name, "stage/layers") && !strings.HasSuffix(name, sidecarSuffix):
				limit = 1
			}
			if lost > limit {
				t.Errorf("%s %s: %d files lost, may be %d", name, how, lost, limit)
			}
		}
	}
}

// A layer file that lost its end is never read as zeros.
func TestLayerCutShort(t *testing.T) {
	r := newRig(t, Options{})
	want := fill(t, r)
	r.checkpoint()
	path := r.s.layerPathOf(t, 6)
	must(t, r.s.Close())
	must(t, r.j.Close())
	must(t, os.Truncate(path, 200_000))
	r.open()
	f := r.file(6, nil, 0)
	var d *journal.DamageError
	_, err := f.ReadAt(bg, make([]byte, 10), 0)
	if !errors.As(err, &d) {
		t.Errorf("read of a damaged layer: %v", err)
	}
	if err := f.WriteAt(bg, []byte("x"), 300_000); !errors.As(err, &d) {
		t.Errorf("write into a damaged layer: %v", err)
	}
	must(t, f.Close())
	if len(r.s.Damaged()) != 1 {
		t.Errorf("damage noted: %v", r.s.Damaged())
	}
	f = r.file(5, nil, 0)
	wantBytes(t, f, want[5])
	must(t, f.Close())
}

func (s *Stage) layerPathOf(t *testing.T, ino model.Ino) string {
	n, err := s.acquire(ino)
	must(t, err)
	path := n.top().path
	must(t, s.release(n))
	return path
}

// Clean content whose file is damaged is fetched again.
func TestCleanLayerDamaged(t *testing.T) {
	r := newRig(t, Options{})
	base := &memBase{b: pattern(1, 300_000)}
	f := r.file(6, base, 300_000)
	wantBytes(t, f, base.b)
	must(t, f.Close())
	path := r.s.layerPathOf(t, 6)
	must(t, os.Remove(path))
	f = r.file(6, base, 300_000)
	wantBytes(t, f, base.b)
	must(t, f.Close())
	// And small ones out of the cache files.
	small := &memBase{b: pattern(2, 3000)}
	f = r.file(7, small, 3000)
	wantBytes(t, f, small.b)
	must(t, f.Close())
	r.reopen()
	names, err := filepath.Glob(filepath.Join(r.home, "stage/cache/0*"))
	must(t, err)
	for _, name := range names {
		b, err := os.ReadFile(name)
		must(t, err)
		if len(b) > 100 {
			b[100] ^= 1
			must(t, os.WriteFile(name, b, 0o600))
		}
	}
	small.reads = 0
	f = r.file(7, small, 3000)
	wantBytes(t, f, small.b)
	if small.reads == 0 {
		t.Error("flipped cache was believed")
	}
	must(t, f.Close())
}

func TestDirtyLimit(t *testing.T) {
	r := newRig(t, Options{DirtyLimit: 1 << 20})
	f := r.file(2, nil, 0)
	p := pattern(1, 100_000)
	var err error
	n := 0
	for ; err == nil && n < 100; n++ {
		err = f.WriteAt(bg, p, int64(n)*100_000)
	}
	if !errors.Is(err, syscall.ENOSPC) || n > 11 {
		t.Fatalf("after %d writes: %v", n, err)
	}
	wantBytes(t, f, bytes.Repeat(p, n-1))
	if err := f.Reserve(1 << 20); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("reserve: %v", err)
	}
	g := r.file(3, nil, 0)
	if err := g.WriteAt(bg, p[:60_000], 0); err == nil {
		err = g.WriteAt(bg, p, 0)
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("beyond the limit: %v", err)
		}
	}
	v, err := f.Freeze()
	must(t, err)
	must(t, r.s.Stored(2, v))
	must(t, g.WriteAt(bg, p, 0))
	wantBytes(t, g, p)
	must(t, f.Close())
	must(t, g.Close())
}

// A writer that finds the disk full gets the room of what is only a cache, its own file's included.
func TestDiskFullOfCache(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to mount a small filesystem: the full disk is NOT tested in this run")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=17m"); err != nil {
		t.Skipf("can't mount a small tmpfs (%v): the full disk is NOT tested in this run", err)
	}
	defer func() { must(t, syscall.Unmount(dir, syscall.MNT_DETACH)) }()
	r := &rig{t: t, home: dir, boot: "boot-1", opt: Options{Reserve: 4 << 20}}
	r.open()
	stored := pattern(1, 4<<20)
	for ino := model.Ino(2); ino < 4; ino++ {
		f := r.file(ino, nil, 0)
		must(t, f.WriteAt(bg, stored, 0))
		v, err := f.Freeze()
		must(t, err)
		must(t, r.s.Stored(ino, v))
		must(t, f.Close())
	}
	f := r.file(2, &memBase{b: stored}, int64(len(stored)))
	for i := int64(0); i < 6; i++ {
		must(t, f.WriteAt(bg, stored[:1<<20], i<<20))
	}
	must(t, f.Sync(bg))
	if u := r.s.Usage(); u.Cached > 5<<20 || u.Dirty != 6<<20 {
		t.Errorf("usage %+v", u)
	}
	must(t, f.Close())
	r.close()
}

// A disk that is full gives ENOSPC, harms nothing, and goes on when there is room.
func TestDiskFull(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to mount a small filesystem: the full disk is NOT tested in this run")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=12m"); err != nil {
		t.Skipf("can't mount a small tmpfs (%v): the full disk is NOT tested in this run", err)
	}
	defer func() { must(t, syscall.Unmount(dir, syscall.MNT_DETACH)) }()
	r := &rig{t: t, home: dir, boot: "boot-1", opt: Options{Reserve: 4 << 20}}
	r.open()
	f := r.file(2, nil, 0)
	p := pattern(1, 64<<10)
	var err error
	n := 0
	for ; err == nil && n < 1000; n++ {
		err = f.WriteAt(bg, p, int64(n)*int64(len(p)))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("after %d writes: %v", n, err)
	}
	got := readAll(t, f)
	if want := bytes.Repeat(p, n-1); !bytes.Equal(got[:len(want)], want) {
		t.Error("what was written before is not there")
	}
	small := r.file(3, nil, 0)
	err = nil
	m := 0
	for ; err == nil && m < 1000; m++ {
		err = small.WriteAt(bg, p[:1000], int64(m%60)*1000)
	}
	if err != nil && !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("small writes: %v", err)
	}
	must(t, f.Truncate(bg, 64<<10))
	must(t, f.Sync(bg))
	r.checkpoint()
	must(t, f.WriteAt(bg, p, 64<<10))
	wantBytes(t, f, bytes.Repeat(p, 2))
	must(t, f.Sync(bg))
	must(t, small.Close())
	must(t, f.Close())
	r.reopen()
	f = r.file(2, nil, 0)
	wantBytes(t, f, bytes.Repeat(p, 2))
	must(t, f.Close())
	r.close()
}

// The kernel tells of a failed sync once; a second fsync must not say that all is well. When the content is stored all goes on.
func TestFailedSyncIsRemembered(t *testing.T) {
	r := newRig(t, Options{})
	f := r.file(2, nil, 0)
	must(t, f.WriteAt(bg, pattern(1, 1<<20), 0))
	r.s.datasync = func(*os.File) error { return syscall.EIO }
	if err := f.Sync(bg); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	r.s.datasync = datasync
	for range 2 {
		if err := f.Sync(bg); !errors.Is(err, syscall.EIO) {
			t.Fatal("forgotten:", err)
		}
	}
	if err := r.s.Checkpoint(); !errors.Is(err, syscall.EIO) {
		t.Fatal("the journal may forget what the disk doesn't hold:", err)
	}
	other := r.file(3, nil, 0)
	must(t, other.WriteAt(bg, pattern(2, 1<<20), 0))
	must(t, other.Sync(bg))
	v, err := f.Freeze()
	must(t, err)
	must(t, f.Close())
	must(t, r.s.Stored(2, v))
	r.checkpoint()
	if u := r.s.Usage(); u.Cached != 0 {
		t.Errorf("%d bytes are kept that the disk may not hold", u.Cached)
	}
	must(t, other.Close())
}
