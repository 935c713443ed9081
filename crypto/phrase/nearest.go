package phrase

import (
	"slices"
	"strings"

	"github.com/tyler-smith/go-bip39"
)

// nearest is the word of the list with the smallest distance to w. Among equals the one that shares the longest beginning wins (four letters name a
// word of the list), then the first.
func nearest(w string) string {
	w = w[:min(len(w), 64)] // no word of the list is near anything longer
	best, bestDistance, bestPrefix := "", 1<<30, 0
	for _, word := range bip39.GetWordList() {
		d, p := distance(w, word), commonPrefix(w, word)
		if d < bestDistance || (d == bestDistance && p > bestPrefix) {
			best, bestDistance, bestPrefix = word, d, p
		}
	}
	return best
}

func commonPrefix(a, b string) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

// distance counts the keystrokes between a and b: insertions, deletions, replacements and swaps of neighbours (optimal string alignment).
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := last[j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			row[j] = min(change, last[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}

// findFix looks for the slips that people make with words of the list: one word for another that is one keystroke away, or two neighbours
// in the wrong order. It answers only when exactly one of them fits.
func findFix(words []string) *Fix {
	var found *Fix
	try := func(changed []string, f Fix) (unique bool) {
		if _, err := bip39.EntropyFromMnemonic(strings.Join(changed, " ")); err != nil {
			return true
		}
		if found != nil {
			return false
		}
		found = &f
		return true
	}
	for i, have := range words {
		changed := slices.Clone(words)
		for _, want := range bip39.GetWordList() {
			if want == have || distance(have, want) != 1 {
				continue
			}
			if changed[i] = want; !try(changed, Fix{Index: i + 1, Have: have, Want: want}) {
				return nil
			}
		}
		if i+1 < len(words) && words[i+1] != have {
			changed[i], changed[i+1] = words[i+1], have
			if !try(changed, Fix{Index: i + 1, Have: have, Want: words[i+1], Swap: true}) {
				return nil
			}
		}
	}
	return found
}
