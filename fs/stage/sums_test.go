//go:build linux

package stage

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudcoin/cloudcoin/sync/journal"
)

// flip changes one bit of a file behind the stage's back.
func flip(t *testing.T, path string, off int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	b := make([]byte, 1)
	_, err = f.ReadAt(b, off)
	must(t, err)
	b[0] ^= 4
	_, err = f.WriteAt(b, off)
	must(t, err)
}

func isDamage(err error) bool {
	var d *journal.DamageError
	return errors.As(err, &d)
}

// restarts are the ways in which a stage ends and begins again. synced: with what is synced everything is known.
var restarts = map[string]func(r *rig){
	"running":  func(*rig) {},
	"reopened": (*rig).reopen,
	"killed":   (*rig).crash,
	"checkpointed and killed": func(r *rig) {
		r.checkpoint()
		r.crash()
	},
	"rebooted": func(r *rig) {
		r.close()
		r.boot = "boot-2"
		r.open()
	},
}

// A changed bit in content that isn't stored is never given out, nor uploaded; the rest of the file is.
func TestFlippedDirtyLayer(t *testing.T) {
	for name, restart := range restarts {
		for _, frozen := range []bool{false, true} {
			t.Run(fmt.Sprint(name, " frozen ", frozen), func(t *testing.T) {
				r := newRig(t, Options{})
				want := pattern(3, 700_001)
				f := r.file(6, nil, 0)
				must(t, f.WriteAt(bg, want[:300_000], 0))
				must(t, f.WriteAt(bg, want[300_000:], 300_000))
				must(t, f.WriteAt(bg, want[1000:2000], 1000)) // in place, in part
				must(t, f.Sync(bg))
				v := f.Version()
				if frozen {
					_, err := f.Freeze()
					must(t, err)
				}
				must(t, f.Close())
				restart(r)
				flip(t, r.s.layerPathOf(t, 6), 500_000)
				f = r.file(6, nil, 0)
				defer func() { must(t, f.Close()) }()
				for _, at := range []int{499_999, 500_000, 499_712, 503_807, 400_000} {
					if _, err := f.ReadAt(bg, make([]byte, 200_000), int64(at)); !isDamage(err) {
						t.Errorf("read at %d: %v", at, err)
					}
				}
				got := make([]byte, len(want))
				for at := 0; at < len(want); at += BlockSize {
					if at/BlockSize == 500_000/BlockSize {
						continue
					}
					_, err := f.ReadAt(bg, got[at:min(at+BlockSize, len(want))], int64(at))
					must(t, err)
				}
				clear(want[499_712:503_808])
				if !bytes.Equal(got, want) {
					t.Error("other bytes than those around the damage")
				}
				if len(r.s.Damaged()) != 1 {
					t.Errorf("damage noted: %v", r.s.Damaged())
				}
				if frozen {
					snap, err := r.s.Snapshot(6, v, nil)
					must(t, err)
					if _, err := snap.ReadAt(bg, got, 0); !isDamage(err) {
						t.Errorf("read for the upload: %v", err)
					}
					must(t, snap.Close())
				}
			})
		}
	}
}

// Who writes into a damaged block isn't made a witness of what stood there; who writes all of it mends it.
func TestWriteOverDamagedBlock(t *testing.T) {
	r := newRig(t, Options{})
	want := pattern(3, 200_000)
	f := r.file(6, nil, 0)
	must(t, f.WriteAt(bg, want, 0))
	flip(t, r.s.layerPathOf(t, 6), 100_000)
	if err := f.WriteAt(bg, []byte("x"), 99_000); !isDamage(err) {
		t.Errorf("write into a damaged block: %v", err)
	}
	if err := f.Truncate(bg, 101_000); !isDamage(err) {
		t.Errorf("cut in a damaged block: %v", err)
	}
	if err := f.Sync(bg); !isDamage(err) {
		t.Errorf("sync by way of the journal: %v", err)
	}
	must(t, f.WriteAt(bg, want[90_000:110_000], 90_000))
	wantBytes(t, f, want)
	must(t, f.Sync(bg))
	must(t, f.Close())
}

// What is stored is fetched again, also under newer content and while it is uploaded.
func TestFlippedCleanLayer(t *testing.T) {
	for name, restart := range restarts {
		t.Run(name, func(t *testing.T) {
			base := &memBase{b: pattern(1, 300_000)}
			r := newRig(t, Options{})
			f := r.file(6, base, 300_000)
			wantBytes(t, f, base.b)
			path := r.s.layerPathOf(t, 6)
			must(t, f.WriteAt(bg, pattern(7, 50_000), 200_000))
			want := append(bytes.Clone(base.b[:200_000]), pattern(7, 50_000)...)
			want = append(want, base.b[250_000:]...)
			v, err := f.Freeze()
			must(t, err)
			must(t, f.Close())
			home := r.home
			restart(r)
			path = strings.Replace(path, home, r.home, 1)
			if _, err := os.Stat(path); err != nil {
				return // after a crash that saved nothing the cache is gone
			}
			flip(t, path, 150_000)
			flip(t, path, 280_000)
			f = r.file(6, base, 300_000)
			snap, err := r.s.Snapshot(6, v, base)
			must(t, err)
			got := make([]byte, len(want))
			_, err = snap.ReadAt(bg, got, 0)
			must(t, err)
			if !bytes.Equal(got, want) {
				t.Error("the upload read something else")
			}
			wantBytes(t, f, want)
			must(t, f.WriteAt(bg, []byte("new"), 150_001))
			copy(want[150_001:], "new")
			wantBytes(t, f, want)
			must(t, snap.Close())
			must(t, f.Close())
			if len(r.s.Damaged()) > 0 {
				t.Errorf("nothing is lost, but there is damage: %v", r.s.Damaged())
			}
		})
	}
}

// Sums that are lost or damaged cost nothing but the knowledge, and that is regained by reading.
func TestSumsHarmed(t *testing.T) {
	harm := map[string]func(t *testing.T, path string){
		"removed": func(t *testing.T, path string) { must(t, os.Remove(path)) },
		"emptied": func(t *testing.T, path string) { must(t, os.Truncate(path, 0)) },
		"cut":     func(t *testing.T, path string) { must(t, os.Truncate(path, 100)) },
		"flipped": func(t *testing.T, path string) {
			for off := int64(0); off < 400; off++ {
				flip(t, path, off*2)
			}
		},
	}
	for name, restart := range restarts {
		for how, do := range harm {
			t.Run(name+" "+how, func(t *testing.T) {
				if name == "running" && how == "removed" {
					t.Skip("the open file goes on")
				}
				r := newRig(t, Options{})
				want := pattern(3, 700_001)
				f := r.file(6, nil, 0)
				must(t, f.WriteAt(bg, want, 0))
				must(t, f.Sync(bg))
				must(t, f.Close())
				restart(r)
				path := r.s.layerPathOf(t, 6)
				do(t, path+sumsSuffix)
				f = r.file(6, nil, 0)
				wantBytes(t, f, want)
				if len(r.s.Damaged()) > 0 {
					t.Errorf("damage noted: %v", r.s.Damaged())
				}
				flip(t, path, 5000)
				if _, err := f.ReadAt(bg, make([]byte, 1), 5001); !isDamage(err) {
					t.Errorf("read after the sums were made anew: %v", err)
				}
				must(t, f.Close())
			})
		}
	}
}

// Redo of the journal must not hide that a layer file was lost, cut short, or replaced by zeros.
func TestRedoOverLostLayer(t *testing.T) {
	harm := map[string]func(path string) error{
		"removed": os.Remove,
		"cut":     func(p string) error { return os.Truncate(p, 300_000) },
		"zeros":   func(p string) error { return errors.Join(os.Truncate(p, 0), os.Truncate(p, 1<<20)) },
	}
	for how, do := range harm {
		for _, checkpoint := range []bool{false, true} {
			t.Run(fmt.Sprint(how, " checkpoint ", checkpoint), func(t *testing.T) {
				r := newRig(t, Options{})
				want := pattern(3, 1<<20)
				f := r.file(6, nil, 0)
				must(t, f.WriteAt(bg, want, 0))
				must(t, f.Sync(bg)) // in the file
				if checkpoint {
					r.checkpoint()
				}
				must(t, f.WriteAt(bg, want[1<<20-5000:], 1<<20-5000))
				must(t, f.Sync(bg)) // redo at the end
				must(t, f.Close())
				r.halt()
				to := t.TempDir()
				must(t, copyTree(r.home, to))
				path := strings.Replace(r.s.layerPathOf(t, 6), r.home, to, 1)
				r.abandon()
				must(t, do(path))
				r.home = to
				r.open()
				f = r.file(6, nil, 0)
				b := make([]byte, 1<<20)
				if _, err := f.ReadAt(bg, b, 0); !isDamage(err) {
					t.Errorf("read: %v, right %v", err, bytes.Equal(b, want))
				}
				must(t, f.Close())
			})
		}
	}
}

// After a power cut blocks and sums may be of different moments: what is there is believed, unless it was final and synced.
func TestSumsAfterPowerCut(t *testing.T) {
	for _, frozen := range []bool{false, true} {
		r := newRig(t, Options{})
		want := pattern(3, 1<<20)
		f := r.file(6, nil, 0)
		must(t, f.WriteAt(bg, want, 0))
		if frozen {
			_, err := f.Freeze()
			must(t, err)
		}
		must(t, f.Sync(bg))
		must(t, f.Close())
		r.checkpoint()
		r.halt()
		to := t.TempDir()
		must(t, copyTree(r.home, to))
		path := strings.Replace(r.s.layerPathOf(t, 6), r.home, to, 1)
		r.abandon()
		flip(t, path, 9000)
		r.home, r.boot = to, "boot-2"
		r.open()
		f = r.file(6, nil, 0)
		if _, err := f.ReadAt(bg, make([]byte, 1<<20), 0); isDamage(err) != frozen {
			t.Errorf("frozen %v: %v", frozen, err)
		}
		must(t, f.Close())
	}
}

// Salvage gives everything but the damaged block; what a power cut may have left in two minds it gives as it is, and says so.
func TestSalvageFlippedBlock(t *testing.T) {
	for _, closed := range []bool{true, false} {
		r := newRig(t, Options{})
		want := pattern(3, 700_001)
		f := r.file(6, nil, 0)
		must(t, f.WriteAt(bg, want, 0))
		must(t, f.Sync(bg))
		must(t, f.Close())
		path := r.s.layerPathOf(t, 6)
		if closed {
			must(t, r.s.Close())
			must(t, r.j.Close())
		} else {
			r.checkpoint()
			r.halt()
		}
		home := t.TempDir()
		must(t, copyTree(r.home, home))
		if !closed {
			r.abandon()
		}
		r.s = nil
		flip(t, filepath.Join(home, strings.TrimPrefix(path, r.home)), 9000)
		n := 0
		must(t, Salvage(home, func(f SalvagedFile) error {
			n++
			b := make([]byte, f.Size)
			_, err := f.ReadAt(bg, nil, b, 0)
			if isDamage(err) != closed || strings.Contains(strings.Join(f.Damage, " "), "from 8192 to 12288") == closed {
				t.Errorf("closed %v: %v, damage %v", closed, err, f.Damage)
			}
			_, err = f.ReadAt(bg, nil, b[12_288:], 12_288)
			must(t, err)
			if !bytes.Equal(b[12_288:], want[12_288:]) {
				t.Error("other bytes")
			}
			return nil
		}))
		if n != 1 {
			t.Errorf("%d files", n)
		}
	}
}

func TestSumsGolden(t *testing.T) {
	r := newRig(t, Options{})
	f := r.file(6, nil, 0)
	must(t, f.WriteAt(bg, pattern(5, 70_000), 12_288))
	must(t, f.Close())
	got, err := os.ReadFile(r.s.layerPathOf(t, 6) + sumsSuffix)
	must(t, err)
	text := hex.EncodeToString(got) + "\n"
	name := filepath.Join("testdata", "sums.golden")
	if *update {
		must(t, os.WriteFile(name, []byte(text), 0o644))
	}
	want, err := os.ReadFile(name)
	must(t, err)
	if text != string(want) {
		t.Errorf("the format changed:\n%s", text)
	}
}
