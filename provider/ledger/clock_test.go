package ledger

import (
	"testing"
	"time"
)

// TestLook gives readings, hours after some moment, and what is sure after each; -1: nothing.
func TestLook(t *testing.T) {
	start := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	for name, steps := range map[string][][2]int{
		"a new provider believes after a day": {{0, -1}, {1, -1}, {23, -1}, {24, 24}, {25, 25}},
		"one wrong reading":                   {{0, -1}, {23, -1}, {24, 24}, {9000, 24}, {25, 25}, {26, 26}},
		"a wrong reading, twice":              {{0, -1}, {23, -1}, {24, 24}, {9000, 24}, {26, 24}, {9000, 26}, {27, 27}},
		"off for a week":                      {{0, -1}, {23, -1}, {24, 24}, {200, 24}, {210, 24}, {223, 24}, {224, 224}, {225, 225}},
		"off, and wrong at first":             {{0, -1}, {23, -1}, {24, 24}, {9000, 24}, {200, 24}, {223, 24}, {224, 224}},
		"off, and wrong in the end":           {{0, -1}, {23, -1}, {24, 24}, {200, 24}, {9000, 200}, {201, 201}},
		"on for an hour each day":             {{0, -1}, {1, -1}, {24, 0}, {25, 0}, {48, 24}, {49, 24}, {72, 48}},
		"set back":                            {{0, -1}, {23, -1}, {24, 24}, {10, 10}, {11, 11}, {20, 11}},
	} {
		t.Run(name, func(t *testing.T) {
			l, dir := fresh(t)
			for i, s := range steps {
				sure, err := l.Look(start.Add(time.Duration(s[0]) * time.Hour))
				must(t, err)
				if want := start.Add(time.Duration(s[1]) * time.Hour); s[1] < 0 && !sure.IsZero() || s[1] >= 0 && !sure.Equal(want) {
					t.Fatalf("after reading %d at %d h: %s is sure, want %d h", i, s[0], sure, s[1])
				}
				if i%2 == 1 {
					must(t, l.compact())
				}
				must(t, l.Close())
				l = open(t, dir)
			}
			must(t, l.Close())
		})
	}
}
