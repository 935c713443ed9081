package phrase

import "fmt"

// WordError is returned when a word is not in the list.
type WordError struct {
	Index   int    // position, from 1
	Word    string // as it was given, in lower case
	Nearest string // the word of the list that takes the fewest keystrokes to get to
	More    int    // how many further words are not in the list
}

func (e *WordError) Error() string {
	s := fmt.Sprintf("word %d, %q, is not a word of a phrase; did you mean %q?", e.Index, clip(e.Word), e.Nearest)
	switch e.More {
	case 0:
		return s
	case 1:
		return s + " One more word is wrong."
	}
	return s + fmt.Sprintf(" %d more words are wrong.", e.More)
}

// CountError is returned when there are not 24 words.
type CountError struct {
	Count int
	Wrong *WordError // the only word that is not in the list, when there is just one: perhaps two words without a space
}

func (e *CountError) Error() string {
	s := fmt.Sprintf("a phrase has %d words, this one has %d", Words, e.Count)
	if e.Wrong != nil {
		s += "; " + e.Wrong.Error()
	}
	return s
}

// Unwrap gives Wrong to errors.As.
func (e *CountError) Unwrap() error {
	if e.Wrong == nil {
		return nil
	}
	return e.Wrong
}

// ChecksumError is returned when all words are in the list but don't belong together.
type ChecksumError struct {
	Fix *Fix // the only near correction that fits the checksum; nil when there is none or more than one
}

func (e *ChecksumError) Error() string {
	const s = "every word is one of the list, but together they are not a phrase: at least one word is another than was written down, or stands in another place"
	if e.Fix == nil {
		return s
	}
	return s + "; " + e.Fix.String()
}

// Fix is a correction that would make the checksum right. That is evidence, not proof: one wrong phrase in 256 has a right checksum too.
type Fix struct {
	Index int    // position, from 1
	Have  string // the word there
	Want  string // the word that would fit; for a swap it is the one at Index+1
	Swap  bool   // the words at Index and Index+1 change places
}

func (f *Fix) String() string {
	if f.Swap {
		return fmt.Sprintf("it would fit if words %d and %d, %q and %q, changed places", f.Index, f.Index+1, f.Have, f.Want)
	}
	return fmt.Sprintf("it would fit if word %d were %q rather than %q", f.Index, f.Want, f.Have)
}

// clip keeps a pasted book out of a message.
func clip(s string) string {
	const most = 40
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
