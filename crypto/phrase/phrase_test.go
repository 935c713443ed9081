package phrase

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/tyler-smith/go-bip39"
	"pgregory.net/rapid"
)

const zeros = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon " +
	"abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon art"

func parse(t *testing.T, s string) Phrase {
	t.Helper()
	p, err := Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPublishedVectors(t *testing.T) {
	file, err := os.ReadFile("testdata/bip39-256.txt")
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(string(file), "\n")
	vectors := strings.Split(strings.TrimSpace(body), "\n\n")
	if len(vectors) < 8 {
		t.Fatalf("%d vectors", len(vectors))
	}
	for _, v := range vectors {
		lines := strings.Split(v, "\n")
		entropy, err := hex.DecodeString(lines[0])
		if err != nil {
			t.Fatal(err)
		}
		p, err := New(bytes.NewReader(entropy))
		if err != nil || p.Words() != lines[1] || parse(t, lines[1]) != p {
			t.Errorf("%s: %q, %v", lines[0], p.Words(), err)
		}
		if got := hex.EncodeToString(bip39.NewSeed(p.Words(), "TREZOR")); got != lines[2] {
			t.Errorf("seed of %s: %s", lines[0], got)
		}
	}
}

func TestSeedHasNoPassphrase(t *testing.T) {
	seed := parse(t, zeros).Seed()
	const want = "408b285c123836004f4b8842c89324c1f01382450c0d439af345ba7fc49acf705489c6fc77dbd4e3dc1dd8cc6bc9f043db8ada1e243c4a0eafb290d399480840"
	if got := hex.EncodeToString(seed[:]); got != want {
		t.Errorf("seed %s", got)
	}
}

func TestParseTakesWhatPeopleType(t *testing.T) {
	want := parse(t, zeros)
	for _, s := range []string{
		strings.ToUpper(zeros),
		"\n  " + strings.ReplaceAll(zeros, " ", "\r\n\t ") + "\n",
		strings.ReplaceAll(zeros, " ", "\u00a0"),
		strings.Replace(zeros, "abandon", "Abandon", 5),
	} {
		if got := parse(t, s); got != want {
			t.Errorf("%q is another phrase", s)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		entropy := rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "entropy")
		p, err := New(bytes.NewReader(entropy))
		if err != nil {
			t.Fatal(err)
		}
		if back, err := Parse(p.Words()); err != nil || back != p {
			t.Fatalf("%q: %v", p.Words(), err)
		}
	})
}

func TestNewNeedsRandomness(t *testing.T) {
	broken := errors.New("no entropy")
	if _, err := New(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Error(err)
	}
	if _, err := New(bytes.NewReader(make([]byte, 31))); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
}

func TestWrongWordIsNamed(t *testing.T) {
	for _, c := range []struct{ word, nearest string }{
		{"abandn", "abandon"}, {"abadnon", "abandon"}, {"zooo", "zoo"}, {"ocen", "ocean"}, {"aple", "apple"},
	} {
		words := strings.Fields(zeros)
		words[6] = c.word
		_, err := Parse(strings.Join(words, " "))
		var we *WordError
		if !errors.As(err, &we) || we.Index != 7 || we.Word != c.word || we.More != 0 {
			t.Fatalf("%s: %v", c.word, err)
		}
		if !strings.Contains(err.Error(), "word 7, ") || !strings.Contains(err.Error(), we.Nearest) {
			t.Errorf("%s: message %q", c.word, err)
		}
		if we.Nearest != c.nearest {
			t.Errorf("%s: nearest is %q, want %q", c.word, we.Nearest, c.nearest)
		}
		// No word of the list is nearer.
		for _, w := range bip39.GetWordList() {
			if distance(c.word, w) < distance(c.word, we.Nearest) {
				t.Errorf("%s: %s is nearer than %s", c.word, w, we.Nearest)
			}
		}
	}
	words := strings.Fields(zeros)
	words[2], words[3], words[20] = "xqz", "vvv", "kkk"
	var we *WordError
	if _, err := Parse(strings.Join(words, " ")); !errors.As(err, &we) || we.Index != 3 || we.More != 2 || !strings.Contains(err.Error(), "2 more words") {
		t.Errorf("three wrong words: %v", err)
	}
}

func TestWrongCount(t *testing.T) {
	var ce *CountError
	for n, s := range map[int]string{0: "", 12: strings.Join(strings.Fields(zeros)[:12], " "), 25: zeros + " zoo", 23: strings.TrimSuffix(zeros, " art")} {
		if _, err := Parse(s); !errors.As(err, &ce) || ce.Count != n || ce.Wrong != nil {
			t.Errorf("%d words: %v", n, err)
		}
	}
	// Two words without a space between them.
	_, err := Parse(strings.Replace(zeros, "abandon abandon", "abandonabandon", 1))
	var we *WordError
	if !errors.As(err, &ce) || ce.Count != 23 || !errors.As(err, &we) || we.Index != 1 {
		t.Errorf("joined words: %v", err)
	}
	if _, err := Parse(strings.Repeat("x", 1<<20)); err == nil || len(err.Error()) > 300 {
		t.Errorf("a long word gives a message of %d bytes", len(err.Error()))
	}
}

func TestWrongChecksum(t *testing.T) {
	good := strings.Fields("void come effort suffer camp survey warrior heavy shoot primary clutch crush open amazing screen patrol group space point ten exist slush involve unfold")
	parse(t, strings.Join(good, " "))
	var ce *ChecksumError
	// "primary" and "clutch" in the wrong order; "ten" written as "tent".
	swapped := append([]string(nil), good...)
	swapped[9], swapped[10] = swapped[10], swapped[9]
	if _, err := Parse(strings.Join(swapped, " ")); !errors.As(err, &ce) {
		t.Fatalf("swapped: %v", err)
	}
	if f := ce.Fix; f == nil || !f.Swap || f.Index != 10 || !strings.Contains(ce.Error(), "words 10 and 11") {
		t.Errorf("swapped: %v", ce)
	}
	slipped := append([]string(nil), good...)
	slipped[19] = "tent"
	if _, err := Parse(strings.Join(slipped, " ")); !errors.As(err, &ce) {
		t.Fatalf("slipped: %v", err)
	}
	if f := ce.Fix; f == nil || f.Index != 20 || f.Want != "ten" || f.Have != "tent" {
		t.Errorf("slipped: %v", ce)
	}
	// A word that is nowhere near: nothing is claimed about which one, unless a chance correction is the only one, and that one fits.
	rapid.Check(t, func(t *rapid.T) {
		words := append([]string(nil), good...)
		words[rapid.IntRange(0, 23).Draw(t, "at")] = bip39.GetWordList()[rapid.IntRange(0, 2047).Draw(t, "word")]
		_, err := Parse(strings.Join(words, " "))
		if err == nil {
			return // the same word, or one in 256
		}
		if !errors.As(err, &ce) {
			t.Fatal(err)
		}
		if f := ce.Fix; f != nil {
			words[f.Index-1] = f.Want
			if f.Swap {
				words[f.Index] = f.Have
			}
			if _, err := Parse(strings.Join(words, " ")); err != nil {
				t.Fatalf("%s: %v", f, err)
			}
		}
	})
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"zoo", "zoo", 0}, {"zo", "zoo", 1}, {"ozo", "zoo", 1}, {"abandon", "ability", 5}, {"ten", "tent", 1}} {
		if got := distance(c.a, c.b); got != c.want || distance(c.b, c.a) != c.want {
			t.Errorf("distance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func TestPhraseHidesItsWords(t *testing.T) {
	p := parse(t, zeros)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(verb, p); got != "phrase of 24 words" {
			t.Errorf("%s prints %s", verb, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(zeros)
	f.Add("abandon abandn\x00é")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := Parse(s)
		if err != nil {
			if len(err.Error()) > 500 {
				t.Fatalf("message of %d bytes", len(err.Error()))
			}
			return
		}
		if p.Words() != strings.Join(strings.Fields(strings.ToLower(s)), " ") {
			t.Fatalf("%q is read as %q", s, p.Words())
		}
	})
}
