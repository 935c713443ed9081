package phrase

import "io"

// Words is the number of words of a phrase.
const Words = 24

// Phrase is 256 bits of entropy, written as 24 words. The zero value is not a phrase that anybody drew; make one by New or Parse.
type Phrase struct{ entropy [32]byte }

// New draws a phrase from random. It fails only when random does.
func New(random io.Reader) (Phrase, error) { panic("being built") }

// Parse reads 24 words. Case, line breaks and any amount of white space between words don't matter. Errors: *CountError,
// *WordError, *ChecksumError.
func Parse(s string) (Phrase, error) { panic("being built") }

// Words is the phrase in lower case on one line, with one space between words.
func (p Phrase) Words() string { panic("being built") }

// Seed is the BIP39 seed of the phrase, without a passphrase. It costs 2048 rounds of HMAC-SHA512 (about a millisecond).
func (p Phrase) Seed() [64]byte { panic("being built") }

// WordError is returned when a word is not in the list.
type WordError struct {
	Index   int    // position, from 1
	Word    string // as it was given, in lower case
	Nearest string // the word of the list that takes the fewest keystrokes to get to
	More    int    // how many further words are not in the list
}

func (e *WordError) Error() string { panic("being built") }
