package phrase

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/tyler-smith/go-bip39"
)

// Words is the number of words of a phrase.
const Words = 24

// Phrase is 256 bits of entropy, written as 24 words. Only New and Parse make one that is worth using.
type Phrase struct{ entropy [32]byte }

// New draws a phrase from random, which must be cryptographically secure. It fails only when random does.
func New(random io.Reader) (Phrase, error) {
	var p Phrase
	if _, err := io.ReadFull(random, p.entropy[:]); err != nil {
		return Phrase{}, fmt.Errorf("draw a phrase: %w", err)
	}
	return p, nil
}

// Parse reads 24 words. Case, line breaks and any amount of white space between words don't matter. Errors: *CountError, *WordError,
// *ChecksumError.
func Parse(s string) (Phrase, error) {
	words := strings.Fields(strings.ToLower(s))
	if err := checkWords(words); err != nil {
		return Phrase{}, err
	}
	entropy, err := bip39.EntropyFromMnemonic(strings.Join(words, " "))
	if errors.Is(err, bip39.ErrChecksumIncorrect) {
		return Phrase{}, &ChecksumError{Fix: findFix(words)}
	}
	if err != nil {
		return Phrase{}, fmt.Errorf("read the phrase: %w", err)
	}
	return Phrase{entropy: [32]byte(entropy)}, nil
}

// checkWords finds a wrong number of words, and words that are not in the list. A word that isn't one is named first:
// two words that were pasted together are both.
func checkWords(words []string) error {
	var wrong *WordError
	for i, w := range words {
		if _, ok := bip39.GetWordIndex(w); ok {
			continue
		}
		if wrong != nil {
			wrong.More++
			continue
		}
		wrong = &WordError{Index: i + 1, Word: w, Nearest: nearest(w)}
	}
	switch {
	case len(words) == Words && wrong == nil:
		return nil
	case len(words) == Words:
		return wrong
	case wrong != nil && wrong.More == 0:
		return &CountError{Count: len(words), Wrong: wrong}
	}
	return &CountError{Count: len(words)}
}

// Words is the phrase in lower case on one line, with one space between words.
func (p Phrase) Words() string {
	s, err := bip39.NewMnemonic(p.entropy[:])
	if err != nil {
		panic("phrase: " + err.Error()) // never for 256 bits
	}
	return s
}

// Seed is the BIP39 seed of the phrase, without a passphrase. It costs 2,048 rounds of HMAC-SHA512, about a millisecond.
func (p Phrase) Seed() [64]byte {
	return [64]byte(bip39.NewSeed(p.Words(), ""))
}

// String hides the words from logs: use Words to show them.
func (p Phrase) String() string { return "phrase of 24 words" }

// GoString hides the words from %#v.
func (p Phrase) GoString() string { return p.String() }
