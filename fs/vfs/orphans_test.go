package vfs

import (
	"bytes"
	"encoding/hex"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

func TestOrphansFormat(t *testing.T) {
	golden, err := os.ReadFile("testdata/orphans.hex")
	if err != nil {
		t.Fatal(err)
	}
	want, err := hex.DecodeString(strings.TrimSpace(string(golden)))
	if err != nil {
		t.Fatal(err)
	}
	list := []model.Ino{model.MakeIno(7, 300), 1, model.MakeIno(1<<23-1, 1<<40-1)}
	if got := encodeInos(slices.Clone(list)); !bytes.Equal(got, want) {
		t.Fatalf("encoded %x, want %x", got, want)
	}
	got, err := decodeInos(want)
	slices.Sort(list)
	if err != nil || !slices.Equal(got, list) {
		t.Fatal(got, err)
	}
	if _, err := decodeInos([]byte{0x80}); err == nil {
		t.Fatal("a damaged list was taken")
	}
}

func FuzzOrphans(f *testing.F) {
	f.Add([]byte{1, 2, 3})
	f.Add([]byte{0x80})
	f.Fuzz(func(t *testing.T, p []byte) {
		list, err := decodeInos(p)
		if err != nil {
			return
		}
		again, err := decodeInos(encodeInos(slices.Clone(list)))
		slices.Sort(list)
		if err != nil || !slices.Equal(list, again) {
			t.Fatal(list, again, err)
		}
	})
}
