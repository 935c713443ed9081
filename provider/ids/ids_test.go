package ids

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	want := Shard{0: 0xab, 31: 0x01}
	if got, err := ParseShard(want.String()); err != nil || got != want {
		t.Fatalf("%v, %v", got, err)
	}
	if got, err := ParseLease(Lease{5}.String()); err != nil || got != (Lease{5}) {
		t.Fatalf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "ab", strings.Repeat("A", 64), strings.Repeat("g", 64), strings.Repeat("0", 65), strings.Repeat("0", 63) + "/"} {
		if _, err := ParseShard(bad); err == nil {
			t.Errorf("ParseShard(%q) took it", bad)
		}
	}
}
