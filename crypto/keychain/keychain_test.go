package keychain

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"

	"filippo.io/age"
	"pgregory.net/rapid"
)

// testSeed is the BIP39 seed of 23 times "abandon" and "art", without a passphrase.
const testSeed = "408b285c123836004f4b8842c89324c1f01382450c0d439af345ba7fc49acf705489c6fc77dbd4e3dc1dd8cc6bc9f043db8ada1e243c4a0eafb290d399480840"

func seed(t *testing.T) (s [64]byte) {
	if n, err := hex.Decode(s[:], []byte(testSeed)); err != nil || n != 64 {
		t.Fatalf("%d bytes, %v", n, err)
	}
	return s
}

// all lists every key that a keychain gives, by name.
func all(k *Keychain) []string {
	provider := ed25519.PublicKey(bytes.Repeat([]byte{7}, 32))
	lease := [16]byte{1, 2, 3}
	return []string{
		"identity " + k.Identity().String(),
		"recipient " + k.Recipient().String(),
		fmt.Sprintf("drive id %x", k.DriveID()),
		fmt.Sprintf("head key %x", k.HeadKey().Seed()),
		fmt.Sprintf("chunk key %x", k.ChunkKey()),
		fmt.Sprintf("name key %x", k.NameKey()),
		fmt.Sprintf("cut key %x", k.CutKey()),
		fmt.Sprintf("lease key 07..07 %x", k.LeaseKey(provider).Seed()),
		"slot 010203..00 head " + k.SlotName(lease, "head"),
		"slot 010203..00 book " + k.SlotName(lease, "book"),
		fmt.Sprintf("provider key %x", k.ProviderKey().Seed()),
		fmt.Sprintf("token key %x", k.TokenKey().Seed()),
	}
}

func TestGolden(t *testing.T) {
	var lines []string
	for _, network := range []string{"local", "cloudcoin"} {
		lines = append(lines, "network "+network)
		lines = append(lines, all(New(seed(t), network))...)
	}
	want, err := os.ReadFile("testdata/keys.golden")
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(lines, "\n") + "\n"; got != string(want) {
		t.Errorf("keys changed: drives could not be read any more. Got\n%s", got)
	}
}

func TestNoTwoKeysAreAlike(t *testing.T) {
	seen := map[string]string{}
	add := func(where string, k *Keychain) {
		for _, line := range all(k) {
			value := line[strings.LastIndexByte(line, ' ')+1:]
			if other, ok := seen[value]; ok {
				t.Errorf("%s %s is also %s", where, line, other)
			}
			seen[value] = where + " " + line
		}
	}
	s := seed(t)
	add("local", New(s, "local"))
	add("locam", New(s, "locam"))
	s[63] ^= 1
	add("other seed", New(s, "local"))
}

func TestProvidersAndLeasesCantBeLinked(t *testing.T) {
	k := New(seed(t), "local")
	a, b := k.LeaseKey(bytes.Repeat([]byte{1}, 32)), k.LeaseKey(bytes.Repeat([]byte{2}, 32))
	if a.Equal(b) || !a.Equal(k.LeaseKey(bytes.Repeat([]byte{1}, 32))) {
		t.Error("lease keys must differ between providers and be the same for one")
	}
	if k.SlotName([16]byte{1}, "head") == k.SlotName([16]byte{2}, "head") {
		t.Error("slot names of two leases are the same")
	}
}

// age's own encoder is the oracle: what it generates, encodes to the same text here.
func TestIdentityTextIsAges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var secret [32]byte
		copy(secret[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "secret"))
		text := encodeIdentity(secret)
		id, err := age.ParseX25519Identity(text)
		if err != nil {
			t.Fatal(err)
		}
		if id.String() != text {
			t.Fatalf("age writes %s, we %s", id, text)
		}
	})
}

func TestKeychainHidesItsKeys(t *testing.T) {
	k := New(seed(t), "local")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(verb, k); got != "keychain of local" {
			t.Errorf("%s prints %s", verb, got)
		}
	}
}
