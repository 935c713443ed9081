package lease

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudcoin/cloudcoin/sync/model"
	"github.com/cloudcoin/cloudcoin/sync/transfer"
)

func slotClient() *Client {
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))
	provider := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, 32)).Public().(ed25519.PublicKey)
	return &Client{cfg: Config{Key: key, Provider: provider, Lease: model.LeaseID{3, 4}, Network: "local"}}
}

// TestSlotGolden freezes the slot value of docs/formats.md.
func TestSlotGolden(t *testing.T) {
	c := slotClient()
	s := transfer.Slot{Counter: 0x0102030405060708, Payload: []byte("payload")}
	got := hex.EncodeToString(c.encodeSlot("head-1", s)) + "\n"
	path := filepath.Join("testdata", "slot.hex")
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the slot format changed:\n%s%s", got, want)
	}
	b, err := hex.DecodeString(strings.TrimSpace(string(want)))
	if err != nil {
		t.Fatal(err)
	}
	back, err := c.decodeSlot("head-1", b)
	if err != nil || back.Counter != s.Counter || !bytes.Equal(back.Payload, s.Payload) {
		t.Errorf("decodeSlot = %+v, %v", back, err)
	}
	if _, err := c.decodeSlot("head-2", b); err == nil {
		t.Error("a value was taken under another name")
	}
}

func FuzzDecodeSlot(f *testing.F) {
	c := slotClient()
	f.Add(c.encodeSlot("s", transfer.Slot{Counter: 1, Payload: []byte("x")}))
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := c.decodeSlot("s", b)
		if err != nil {
			return
		}
		if again := c.encodeSlot("s", s); !bytes.Equal(again, b) {
			t.Errorf("a second value with a right signature: %x", b)
		}
	})
}
