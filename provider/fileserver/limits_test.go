package fileserver

import (
	"fmt"
	"testing"
	"time"
)

// TestOneNetworkDoesntFillTheTable: somebody with a /48 sends from each of its 65,536 networks; others are still heard, and its owner too, once at a time.
func TestOneNetworkDoesntFillTheTable(t *testing.T) {
	c := &clock{}
	tab := newTable(1, 1_000_000, c.now)
	var busy func()
	for i := range 1 << 16 {
		leave, ok := tab.enter(addressOf(fmt.Sprintf("[2001:db8:7:%x::1]:999", i)))
		switch {
		case !ok && i <= networkSize:
			t.Fatalf("network %d was refused", i)
		case ok && i > networkSize:
			t.Fatalf("network %d was counted alone", i)
		case i == networkSize:
			busy = leave
		case ok:
			leave()
		}
	}
	if n := len(tab.entries); n != networkSize+1 {
		t.Fatalf("%d entries", n)
	}
	for _, other := range []string{"[2001:db8:8::1]:5", "192.0.2.1:5", "[2001:db8:7:3::9]:5"} {
		leave, ok := tab.enter(addressOf(other))
		if !ok {
			t.Fatalf("%s was refused", other)
		}
		leave()
	}
	busy()
	c.advance(time.Hour)
	if !tab.sweep(c.now()) || len(tab.entries) != 0 || len(tab.networks) != 0 {
		t.Fatalf("%d entries, %d networks are left", len(tab.entries), len(tab.networks))
	}
}
