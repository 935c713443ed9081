//go:build linux

package acceptance

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pkg/xattr"

	"github.com/cloudcoin/cloudcoin/internal/bench/session"
)

// TestProvidersSeeNothing: on the providers' disks there is no content, no name, and no recognisable size of a small file.
func TestProvidersSeeNothing(t *testing.T) {
	d := newDrive(t)
	secrets := []string{"Wonderland-content", "Wonderland-name", "Wonderland-folder", "Wonderland-target", "Wonderland-attribute", "Wonderland-value"}
	in := func(name string) string { return filepath.Join(d.Mount, name) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	// Each small file alone in its packs, of sizes that would be told from each other.
	sizes := []int{18, 1000, 4321, 17_001, 33_333, 54_321, 64_999}
	for i, size := range sizes {
		write(t, in(fmt.Sprintf("Wonderland-folder/Wonderland-name-%d", i)), fill18(size, i))
		cc(t, d, "sync", "--timeout", "2m")
	}
	must(os.Symlink("Wonderland-target", in("link")))
	must(xattr.Set(in("Wonderland-folder"), "user.Wonderland-attribute", []byte("Wonderland-value")))
	cc(t, d, "sync", "--timeout", "2m")
	providers, err := d.Providers()
	must(err)
	shards := map[int64]int{} // by length
	for _, p := range providers {
		must(filepath.WalkDir(p.Home, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() || e.Type() != 0 {
				return err
			}
			b, err := os.ReadFile(path)
			for _, s := range secrets {
				if bytes.Contains(b, []byte(s)) || strings.Contains(path, s) {
					t.Errorf("%s shows %q", path, s)
				}
			}
			if strings.Contains(path, "/shards/shards/") {
				shards[int64(len(b))]++
			}
			return err
		}))
	}
	if len(shards) == 0 {
		t.Fatal("the providers hold no shards where this test looks for them")
	}
	// A pack of a small file is 64 or 128 KiB over k = 4, whatever the file's size; a short piece of the log is a copy of a length of its own class.
	if len(shards) > 4 {
		t.Errorf("%d small files show as shards of %d lengths: %v", len(sizes), len(shards), slices.Sorted(maps.Keys(shards)))
	}
}

// fill18 is a text of n bytes (at least 18) that nobody takes for another one's.
func fill18(n, seed int) string {
	s := "Wonderland-content"
	for i := 0; len(s) < n; i++ {
		h := sha256.Sum256(fmt.Appendf(nil, "%d %d", seed, i))
		s += fmt.Sprintf("%x Wonderland-content ", h)
	}
	return s[:n]
}

// shardFiles lists the files of a provider's shards.
func shardFiles(t *testing.T, p session.Provider) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(p.Home, "shards/shards/*/*/*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s holds no shards: %v", p.Name, err)
	}
	slices.Sort(files)
	return files
}

// flip changes one bit in the middle of a file.
func flip(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, st.Size()/2); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x10
	if _, err := f.WriteAt(b, st.Size()/2); err != nil {
		t.Fatal(err)
	}
}

// TestFlippedBits: a flipped bit in any shard is found by the provider's scrub and by the reader, and healed.
func TestFlippedBits(t *testing.T) {
	d := newDrive(t)
	inside, outside := fill(t, d)
	providers, err := d.Providers()
	if err != nil {
		t.Fatal(err)
	}
	await(t, d, "whole packs", whole)

	// Every shard of provider 1, found by its scrub.
	damaged := shardFiles(t, providers[0])
	for _, f := range damaged {
		flip(t, f)
	}
	cmd := exec.Command(filepath.Join(bin, "ccprovider"), "scrub", "--home", providers[0].Home, "--json")
	out, _ := cmd.Output() // its exit code is tested with the provider
	var found struct{ Damaged []any }
	if err := json.Unmarshal(out, &found); err != nil {
		t.Fatalf("scrub said %q: %v", out, err)
	}
	if len(found.Damaged) != len(damaged) {
		t.Fatalf("scrub found %d damaged shards of %d:\n%s", len(found.Damaged), len(damaged), out)
	}
	forget(t, d)
	compare(t, outside, inside)
	if out, err := d.Run(testContext(t), "doctor"); err == nil && !strings.Contains(out, "whole") {
		t.Errorf("doctor said nothing of packs:\n%s", out)
	}
	healed(t, d, providers[0], len(damaged))

	// Every shard of provider 2, found by reading.
	damaged = shardFiles(t, providers[1])
	for _, f := range damaged {
		flip(t, f)
	}
	forget(t, d)
	compare(t, outside, inside)
	if out, err := d.Run(testContext(t), "doctor", "--read-data"); err == nil || !strings.Contains(out, "damaged") {
		t.Errorf("doctor --read-data found nothing (%v):\n%s", err, out)
	}
	healed(t, d, providers[1], len(damaged))
	forget(t, d)
	compare(t, outside, inside)
}

// forget makes the next read ask the providers.
func forget(t *testing.T, d *session.Drive) {
	t.Helper()
	cc(t, d, "evict")
	if err := session.DropCaches(); err != nil {
		t.Logf("the kernel may answer from its cache: %v", err)
	}
}

// healed waits until all packs are whole and the provider holds as many shards as before, each of which is what its name says. Pieces of the log
// that were copied again are sealed anew and have other names.
func healed(t *testing.T, d *session.Drive, p session.Provider, before int) {
	t.Helper()
	await(t, d, "shards to be healed", func(s status) bool {
		files, err := filepath.Glob(filepath.Join(p.Home, "shards/shards/*/*/*"))
		right := 0
		for _, f := range files {
			if b, err := os.ReadFile(f); err == nil && shardID(b) == filepath.Base(f) {
				right++
			}
		}
		return err == nil && whole(s) && right >= before
	})
}
