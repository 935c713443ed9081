//go:build linux

package acceptance

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudcoin/cloudcoin/crypto/merkle"
)

// shardID is the name of a shard: the RFC 9162 tree hash of its bytes.
func shardID(b []byte) string {
	root := merkle.Root(b)
	return hex.EncodeToString(root[:])
}

// TestPacksOpenWithStockAge: without this program, the data shards of a pack are an age file, and docs/formats.md tells how chunks lie in it.
func TestPacksOpenWithStockAge(t *testing.T) {
	d := newDrive(t)
	content := bytes.Repeat([]byte("the quick brown fox\n"), 500)
	path := filepath.Join(d.Mount, "file")
	write(t, path, string(content))
	cc(t, d, "sync", "--timeout", "2m")

	age := stockAge(t)
	out := t.TempDir()
	identity := filepath.Join(out, "identity")
	if err := os.WriteFile(identity, []byte(cc(t, d, "identity", "--yes")), 0o600); err != nil {
		t.Fatal(err)
	}
	var packs []struct {
		Pack   string
		Size   int64
		Health string
		Shards []struct {
			Index                 int
			Kind, Provider, State string
		}
	}
	if err := d.JSON(testContext(t), &packs, "pack", "list"); err != nil {
		t.Fatal(err)
	}
	var found bool
	for _, p := range packs {
		cc(t, d, "pack", "export", p.Pack, out)
		sealed := []byte(read(t, filepath.Join(out, p.Pack+".age")))
		var joined []byte
		data, parity := 0, 0
		providers := map[string]bool{}
		for _, s := range p.Shards {
			providers[s.Provider] = true
			if s.Kind == "parity" {
				read(t, filepath.Join(out, fmt.Sprintf("%s.parity-%d", p.Pack, parity)))
				parity++
				continue
			}
			joined = append(joined, read(t, filepath.Join(out, fmt.Sprintf("%s.data-%d", p.Pack, data)))...)
			data++
		}
		if data != 4 || parity != 2 || len(providers) != 6 || p.Health != "good" {
			t.Errorf("pack %s has %d data and %d parity shards at %d providers and is %s", p.Pack, data, parity, len(providers), p.Health)
		}
		if !bytes.Equal(joined, sealed) || int64(len(sealed)) != p.Size {
			t.Errorf("the data shards of %s joined are not its age file", p.Pack)
		}
		plain, err := exec.Command(age, "-d", "-i", identity, filepath.Join(out, p.Pack+".age")).Output()
		if err != nil {
			t.Fatalf("stock age: %v", err)
		}
		for _, chunk := range chunks(t, plain) {
			found = found || bytes.Equal(chunk, content)
		}
	}
	if !found {
		t.Errorf("no chunk of %d packs is the file", len(packs))
	}
}

// chunks reads a pack's plaintext as docs/formats.md describes it.
func chunks(t *testing.T, plain []byte) (out [][]byte) {
	t.Helper()
	foot := plain[len(plain)-24:]
	if string(foot[16:]) != "ccpackv1" {
		t.Fatalf("the last 8 bytes are %q", foot[16:])
	}
	n := int(binary.LittleEndian.Uint32(foot[8:]))
	table := plain[len(plain)-24-tableEntry*n:]
	off := uint64(0)
	for i := range n {
		length := uint64(binary.LittleEndian.Uint32(table[i*tableEntry+36:]))
		out = append(out, plain[off:off+length])
		off += length
	}
	if off != binary.LittleEndian.Uint64(foot) {
		t.Fatalf("the chunks have %d bytes together, the footer says %d", off, binary.LittleEndian.Uint64(foot))
	}
	return out
}

// tableEntry is the length of a chunk's entry: id (32), offset (4), length (4).
const tableEntry = 40

// stockAge is the age tool: the distribution's, or built from filippo.io/age.
func stockAge(t *testing.T) string {
	t.Helper()
	if path, err := exec.LookPath("age"); err == nil && !strings.HasPrefix(path, bin) {
		return path
	}
	path := filepath.Join(t.TempDir(), "age")
	run(t, "", "go", "build", "-o", path, "filippo.io/age/cmd/age")
	return path
}
