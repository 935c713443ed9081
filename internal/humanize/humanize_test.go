package humanize

import (
	"math"
	"testing"
	"time"
)

func TestParseSize(t *testing.T) {
	for in, want := range map[string]int64{
		"0": 0, "1": 1, "512b": 512, "4k": 4096, "4KiB": 4096, "4kb": 4000, "50GiB": 50 << 30, " 1.5 GiB ": 3 << 29, "2t": 2 << 40,
		".5MiB": 1 << 19, "1.MiB": 1 << 20, "1gb": 1e9, "7EiB": 7 << 60, "9223372036854775807": math.MaxInt64, "10G": 10 << 30,
	} {
		if got, err := ParseSize(in); err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v; want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", ".", "GiB", "-1", "1.2.3G", "1 2", "8EiB", "9223372036854775808", "1XB", "0x10", "1e3", "99999999999999999999"} {
		if got, err := ParseSize(in); err == nil {
			t.Errorf("ParseSize(%q) = %d, want an error", in, got)
		}
	}
}

func TestFormatSize(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1 KiB", 1536: "1.5 KiB", 1<<20 - 1: "1023.9 KiB", 50 << 30: "50 GiB",
		3 << 29: "1.5 GiB", math.MaxInt64: "7.9 EiB", -2048: "-2 KiB", math.MinInt64: "-7.9 EiB",
	} {
		if got := FormatSize(n); got != want {
			t.Errorf("FormatSize(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestTimes(t *testing.T) {
	zone := time.FixedZone("here", 2*3600)
	now := time.Date(2026, 11, 23, 15, 30, 0, 0, zone)
	for in, want := range map[string]time.Time{
		"now": now, "today": time.Date(2026, 11, 23, 0, 0, 0, 0, zone), "Yesterday": time.Date(2026, 11, 22, 0, 0, 0, 0, zone),
		"2h": now.Add(-2 * time.Hour), "2h ago": now.Add(-2 * time.Hour), "90d": now.AddDate(0, 0, -90), "1h30m": now.Add(-90 * time.Minute),
		"2026-01-31": time.Date(2026, 1, 31, 0, 0, 0, 0, zone), "2026-01-31 12:30": time.Date(2026, 1, 31, 12, 30, 0, 0, zone),
		"2026-01-31T12:00:00Z":           time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC),
		"2026-01-31T12:00:00.123456789Z": time.Date(2026, 1, 31, 12, 0, 0, 123456789, time.UTC),
	} {
		if got, err := ParseTime(in, now); err != nil || !got.Equal(want) {
			t.Errorf("ParseTime(%q) = %v, %v; want %v", in, got, err, want)
		}
	}
	for in, want := range map[string]time.Time{
		"1y": now.Add(365 * 24 * time.Hour), "6mo": now.Add(180 * 24 * time.Hour), "2w": now.Add(14 * 24 * time.Hour), "tomorrow": time.Date(2026, 11, 24, 0, 0, 0, 0, zone),
	} {
		if got, err := ParseFuture(in, now); err != nil || !got.Equal(want) {
			t.Errorf("ParseFuture(%q) = %v, %v; want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "soon", "2026-13-01", "-2h", "1x", "99999999999y", "2147483647y", "12"} {
		if got, err := ParseTime(in, now); err == nil {
			t.Errorf("ParseTime(%q) = %v, want an error", in, got)
		}
	}
}
