package ledger

import (
	"crypto/ed25519"
	"encoding/binary"
	"testing"

	"github.com/cloudcoin/cloudcoin/provider/ids"
)

// TestHeld: each renter's leases, oldest first, also after one was forgotten and the ledger opened again.
func TestHeld(t *testing.T) {
	l, dir := fresh(t)
	for n := byte(1); n <= 6; n++ {
		one := lease(n)
		one.Renter = lease(n % 2).Renter
		one.Created = lease(10 - n).Created
		must(t, l.Grant(one))
	}
	check := func(renter byte, want ...byte) {
		t.Helper()
		got := l.Held(lease(renter).Renter)
		if len(got) != len(want) {
			t.Fatalf("%d leases, want %d", len(got), len(want))
		}
		for i, n := range want {
			if got[i].ID != (ids.Lease{n}) {
				t.Fatalf("lease %d is %s, want %d", i, got[i].ID, n)
			}
		}
	}
	check(0, 6, 4, 2)
	check(1, 5, 3, 1)
	must(t, l.Forget(ids.Lease{3}))
	check(1, 5, 1)
	must(t, l.Close())
	l = open(t, dir)
	check(0, 6, 4, 2)
	check(1, 5, 1)
	check(7)
	if got := l.Held(nil); got != nil {
		t.Fatalf("%v", got)
	}
	must(t, l.Close())
}

// TestStrangersCostNothing: whoever proves a key that holds no lease makes the ledger walk and copy nothing.
func TestStrangersCostNothing(t *testing.T) {
	l, _ := fresh(t)
	l.mu.Lock()
	for n := range uint32(1000) {
		one := lease(1)
		binary.BigEndian.PutUint32(one.ID[:], n+1)
		l.add(one)
	}
	l.mu.Unlock()
	stranger := ed25519.PublicKey(make([]byte, ed25519.PublicKeySize))
	if n := testing.AllocsPerRun(10, func() { l.Held(stranger) }); n > 0 {
		t.Fatalf("%.0f allocations for a stranger", n)
	}
	must(t, l.Close())
}
