// Package arrows holds the test that keeps the imports as docs/architecture.md draws them.
package arrows

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/cloudcoin/cloudcoin/"

// rooms maps a room (a folder at the top) to the rooms that it may import.
var rooms = map[string][]string{
	"crypto":   {"crypto"},
	"node":     {"node", "crypto"},
	"market":   {"market", "node", "crypto"},
	"sync":     {"sync", "crypto"},
	"fs":       {"fs", "sync", "crypto"},
	"provider": {"provider", "market", "node", "crypto"},
	"drive":    {"drive", "fs", "sync", "market", "node", "crypto"},
	"cmd":      {"drive", "provider", "crypto"},
}

// leaves may be imported from everywhere: they know nothing of the project's purpose.
var leaves = map[string]bool{"internal/humanize": true, "internal/version": true, "internal/homelock": true, "internal/localsock": true, "internal/exit": true}

// outsiders may be imported by nobody but the packages named.
var outsiders = map[string][]string{
	"github.com/hanwen/go-fuse":         {"fs/mount"},
	"bazil.org/fuse":                    {"fs/mount"},
	"github.com/syndtr/goleveldb":       {"sync/index", "fs/stage", "provider/ledger"},
	"github.com/spf13/cobra":            {"cmd/ccdrive", "cmd/ccprovider", "internal/commands"},
	"github.com/btcsuite/btcd":          {"node"},
	"github.com/lightninglabs/neutrino": {"node"},
}

// neverInPure are standard packages that do I/O or read clocks; pure packages don't import them.
var pure = map[string][]string{
	"sync/model":     {"os", "net", "net/http"},
	"sync/placement": {"os", "net", "net/http"},
	"sync/erasure":   {"os", "net", "net/http"},
	"crypto/merkle":  {"os", "net", "net/http"},
}

type pkg struct {
	ImportPath string
	Imports    []string
}

func list(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", module+"...")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pkgs []pkg
	for dec := json.NewDecoder(out); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("go list: %v", err)
	}
	return pkgs
}

func under(path, prefix string) bool {
	return path == prefix || strings.HasPrefix(path, prefix+"/")
}

func allowed(list []string, name string) bool {
	for _, l := range list {
		if under(name, l) {
			return true
		}
	}
	return false
}

func TestArrowsPointDown(t *testing.T) {
	pkgs := list(t)
	if len(pkgs) < 10 {
		t.Fatalf("go list found only %d packages", len(pkgs))
	}
	for _, p := range pkgs {
		from := strings.TrimPrefix(p.ImportPath, module)
		room, _, _ := strings.Cut(from, "/")
		for _, imp := range p.Imports {
			if to, ok := strings.CutPrefix(imp, module); ok {
				checkRoom(t, from, room, to)
			}
			checkOutsider(t, from, imp)
		}
		for _, std := range pure[from] {
			if allowed(p.Imports, std) && contains(p.Imports, std) {
				t.Errorf("%s is pure and must not import %s", from, std)
			}
		}
	}
}

func checkRoom(t *testing.T, from, room, to string) {
	t.Helper()
	if leaves[to] || under(from, "internal") {
		return
	}
	if leaves[from] {
		t.Errorf("%s is a leaf and must not import %s", from, to)
		return
	}
	if room == "cmd" && under(to, "internal") {
		return
	}
	if room == "drive" && under(to, "internal/localnet") {
		return
	}
	toRoom, _, _ := strings.Cut(to, "/")
	if !contains(rooms[room], toRoom) {
		t.Errorf("%s imports %s: the arrow from %s to %s is not in docs/architecture.md", from, to, room, toRoom)
	}
}

func checkOutsider(t *testing.T, from, imp string) {
	t.Helper()
	for outsider, only := range outsiders {
		if under(imp, outsider) && !allowed(only, from) && !under(from, "internal/bench") {
			t.Errorf("%s imports %s, which only %v may", from, imp, only)
		}
	}
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}
