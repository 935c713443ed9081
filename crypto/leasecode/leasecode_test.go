package leasecode

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
)

var update = flag.Bool("update", false, "write the golden files anew (only for a new version of the format)")

func key(b byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{b}, ed25519.SeedSize))
}

func pub(b byte) ed25519.PublicKey { return key(b).Public().(ed25519.PublicKey) }

func sample() Lease {
	return Lease{
		Network: "local", URL: "http://127.0.0.1:7420", Provider: pub(1), ID: [16]byte{1, 2, 3, 15: 16},
		Size: 50 << 30, Until: 1830000000, Renter: pub(2),
	}
}

func TestGolden(t *testing.T) {
	code, err := Format(sample(), key(1))
	if err != nil {
		t.Fatal(err)
	}
	got := FormatKey(pub(2)) + "\n" + code + "\n"
	const file = "testdata/v1.golden"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Fatalf("got\n%swant\n%s", got, want)
	}
	back, err := Parse(" " + code + "\n")
	if err != nil {
		t.Fatal(err)
	}
	if w := sample(); back.Network != w.Network || back.URL != w.URL || back.ID != w.ID || back.Size != w.Size ||
		back.Until != w.Until || !back.Provider.Equal(w.Provider) || !back.Renter.Equal(w.Renter) {
		t.Fatalf("read back %+v", back)
	}
	k, err := ParseKey(FormatKey(pub(2)))
	if err != nil || !k.Equal(pub(2)) {
		t.Fatalf("key read back %x, %v", k, err)
	}
}

func TestParseRefuses(t *testing.T) {
	good, err := Format(sample(), key(1))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(good, codePrefix))
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		bad := bytes.Clone(raw)
		bad[i] ^= 0x10
		if _, err := Parse(codePrefix + base64.RawURLEncoding.EncodeToString(bad)); !errors.Is(err, ErrCode) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
	}
	for _, s := range []string{"", codePrefix, good[:len(good)-1], good[1:], "cclease2" + good[8:], good + strings.Repeat("A", maxCode), codePrefix + "!!"} {
		if _, err := Parse(s); !errors.Is(err, ErrCode) {
			t.Errorf("Parse(%.20q) = %v", s, err)
		}
	}
}

func TestUnknownFields(t *testing.T) {
	for n, ok := range map[uint64]bool{9: true, 8: false, 0: false, 101: true, 102: false} {
		body, err := encMode.Marshal(map[uint64]any{
			1: "local", 2: "http://127.0.0.1:7420", 3: []byte(pub(1)), 4: make([]byte, 16), 5: 1, 6: 2, 7: []byte(pub(2)), n: "x",
		})
		if err != nil {
			t.Fatal(err)
		}
		sig := ed25519.Sign(key(1), append([]byte(signLabel), body...))
		_, err = Parse(codePrefix + base64.RawURLEncoding.EncodeToString(append(body, sig...)))
		if (err == nil) != ok {
			t.Errorf("field %d: %v", n, err)
		}
	}
}

func TestFormatRefuses(t *testing.T) {
	for name, change := range map[string]func(*Lease){
		"no network": func(l *Lease) { l.Network = "" }, "no size": func(l *Lease) { l.Size = 0 },
		"slash": func(l *Lease) { l.URL += "/" }, "ftp": func(l *Lease) { l.URL = "ftp://a" }, "user": func(l *Lease) { l.URL = "https://u@h" },
		"short key": func(l *Lease) { l.Renter = l.Renter[:31] }, "foreign key": func(l *Lease) { l.Provider = pub(3) },
	} {
		l := sample()
		change(&l)
		if c, err := Format(l, key(1)); err == nil {
			t.Errorf("%s: made %s", name, c)
		}
	}
}

func TestParseKeyRefuses(t *testing.T) {
	good := FormatKey(pub(9))
	for _, s := range []string{"", keyPrefix, good[:len(good)-1], good + "A", "cckey2" + good[6:], strings.Replace(good, "c", "C", 1)} {
		if _, err := ParseKey(s); !errors.Is(err, ErrKey) {
			t.Errorf("ParseKey(%q) = %v", s, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	good, err := Format(sample(), key(1))
	if err != nil {
		f.Fatal(err)
	}
	body, err := cbor.Marshal(map[int]int{1: 2})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(codePrefix + base64.RawURLEncoding.EncodeToString(append(body, make([]byte, 64)...)))
	f.Fuzz(func(t *testing.T, s string) {
		l, err := Parse(s)
		if err != nil {
			return
		}
		if err := l.validate(); err != nil {
			t.Fatal(err)
		}
	})
}
