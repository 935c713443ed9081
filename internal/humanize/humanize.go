// Package humanize reads and writes sizes, durations and times as people type them at the commands: `50GiB`, `90d`,
// `yesterday`, `2027-01-31`, RFC 3339. All functions are pure; the clock comes in as a value.
package humanize

import (
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// units in the order in which FormatSize tries them.
var units = []struct {
	name string
	size int64
}{{"EiB", 1 << 60}, {"PiB", 1 << 50}, {"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

var sizeSuffix = map[string]int64{
	"": 1, "b": 1,
	"k": 1 << 10, "ki": 1 << 10, "kib": 1 << 10, "kb": 1e3,
	"m": 1 << 20, "mi": 1 << 20, "mib": 1 << 20, "mb": 1e6,
	"g": 1 << 30, "gi": 1 << 30, "gib": 1 << 30, "gb": 1e9,
	"t": 1 << 40, "ti": 1 << 40, "tib": 1 << 40, "tb": 1e12,
	"p": 1 << 50, "pi": 1 << 50, "pib": 1 << 50, "pb": 1e15,
	"e": 1 << 60, "ei": 1 << 60, "eib": 1 << 60, "eb": 1e18,
}

// ParseSize reads a number of bytes: digits, at most one decimal point, then an optional unit in any case. `GiB`, `Gi` and `G`
// are powers of 1,024, `GB` is a power of 1,000. A fraction of a byte is dropped. Negative sizes and sizes of 2^63 and above are errors.
func ParseSize(s string) (int64, error) {
	text := strings.TrimSpace(s)
	end := len(text) - len(strings.TrimLeft(text, "0123456789."))
	unit, ok := sizeSuffix[strings.ToLower(strings.TrimSpace(text[end:]))]
	whole, frac, _ := strings.Cut(text[:end], ".")
	if !ok || whole+frac == "" || strings.Contains(frac, ".") || len(frac) > 12 {
		return 0, fmt.Errorf("%q is not a size: write a number and a unit, such as 500MiB or 50GiB", s)
	}
	var n, f int64
	var err error
	if whole != "" {
		if n, err = strconv.ParseInt(whole, 10, 64); err != nil || n > math.MaxInt64/unit {
			return 0, fmt.Errorf("%q is more than this program can count", s)
		}
	}
	if frac != "" {
		if f, err = strconv.ParseInt(frac, 10, 64); err != nil {
			return 0, fmt.Errorf("%q is not a size: %w", s, err)
		}
	}
	part := int64(float64(f) / math.Pow10(len(frac)) * float64(unit))
	if n*unit > math.MaxInt64-part {
		return 0, fmt.Errorf("%q is more than this program can count", s)
	}
	return n*unit + part, nil
}

// FormatSize writes a number of bytes with the largest binary unit that leaves at least 1 before the point, and at most one decimal: `1.5 GiB`.
func FormatSize(n int64) string {
	if n < 0 {
		return "-" + FormatSize(-max(n, -math.MaxInt64))
	}
	for _, u := range units {
		if n >= u.size {
			tenths := n/u.size*10 + tenthsOf(n%u.size, u.size)
			if tenths%10 == 0 {
				return fmt.Sprintf("%d %s", tenths/10, u.name)
			}
			return fmt.Sprintf("%d.%d %s", tenths/10, tenths%10, u.name)
		}
	}
	return fmt.Sprintf("%d B", n)
}

// tenthsOf is the whole tenths of unit in rest, without overflow.
func tenthsOf(rest, unit int64) int64 {
	hi, lo := bits.Mul64(uint64(rest), 10)
	q, _ := bits.Div64(hi, lo, uint64(unit))
	return int64(q)
}

// long units of duration, which time.ParseDuration doesn't know. A month is 30 days, a year 365.
var longUnits = map[string]time.Duration{
	"d": 24 * time.Hour, "day": 24 * time.Hour, "days": 24 * time.Hour,
	"w": 7 * 24 * time.Hour, "week": 7 * 24 * time.Hour, "weeks": 7 * 24 * time.Hour,
	"mo": 30 * 24 * time.Hour, "month": 30 * 24 * time.Hour, "months": 30 * 24 * time.Hour,
	"y": 365 * 24 * time.Hour, "year": 365 * 24 * time.Hour, "years": 365 * 24 * time.Hour,
}

// ParseDuration reads what time.ParseDuration reads (`90s`, `1h30m`), and whole numbers of days, weeks, months and years (`90d`, `2w`, `6mo`, `1y`).
func ParseDuration(s string) (time.Duration, error) {
	text := strings.TrimSpace(s)
	if d, err := time.ParseDuration(text); err == nil {
		return d, nil
	}
	digits := len(text) - len(strings.TrimLeft(text, "0123456789"))
	unit, ok := longUnits[strings.ToLower(strings.TrimSpace(text[digits:]))]
	n, err := strconv.ParseInt(text[:digits], 10, 32)
	if !ok || err != nil || time.Duration(n) > math.MaxInt64/unit {
		return 0, fmt.Errorf("%q is not a duration: write 90s, 2h, 30d, 6mo or 1y", s)
	}
	return time.Duration(n) * unit, nil
}

// layouts of absolute times; those without a zone are read in the zone of now.
var layouts = []string{
	time.RFC3339Nano, "2006-01-02 15:04:05Z07:00",
	"2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02",
}

// ParsePast reads a moment: RFC 3339, a date (midnight in now's zone), a date and time, `now`, `today` and `yesterday`
// (midnight in now's zone), or a duration, which counts back from now.
func ParsePast(s string, now time.Time) (time.Time, error) { return parseTime(s, now, -1) }

// ParseFuture is ParsePast with durations that count forward from now (`1y` is in a year), and with `tomorrow`.
func ParseFuture(s string, now time.Time) (time.Time, error) { return parseTime(s, now, 1) }

// ParseTime is ParsePast: what `--at`, `--to` and `--since` take.
func ParseTime(s string, now time.Time) (time.Time, error) { return ParsePast(s, now) }

func parseTime(s string, now time.Time, sign int) (time.Time, error) {
	text := strings.TrimSpace(s)
	y, m, d := now.Date()
	switch strings.ToLower(text) {
	case "now":
		return now, nil
	case "today":
		return time.Date(y, m, d, 0, 0, 0, 0, now.Location()), nil
	case "yesterday":
		return time.Date(y, m, d-1, 0, 0, 0, 0, now.Location()), nil
	case "tomorrow":
		return time.Date(y, m, d+1, 0, 0, 0, 0, now.Location()), nil
	}
	for _, l := range layouts {
		if t, err := time.ParseInLocation(l, text, now.Location()); err == nil {
			return t, nil
		}
	}
	ago := strings.TrimSuffix(text, " ago")
	if ago != text {
		sign = -1
	}
	rel, err := ParseDuration(ago)
	if err != nil || rel < 0 {
		return time.Time{}, fmt.Errorf("%q is not a time: write RFC 3339 (2027-01-31T12:00:00Z), a date (2027-01-31), or a span such as 2h, 90d or 1y", s)
	}
	return now.Add(time.Duration(sign) * rel), nil
}
