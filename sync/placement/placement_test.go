package placement

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/cloudcoin/cloudcoin/sync/model"
	"github.com/cloudcoin/cloudcoin/sync/transfer"
)

func TestCoding(t *testing.T) {
	for _, c := range []struct {
		held, live, k, m int
		ok               bool
	}{
		{0, 0, 0, 0, false},
		{1, 1, 0, 0, false},
		{2, 2, 0, 0, false},
		{3, 3, 1, 2, true},
		{4, 4, 2, 2, true},
		{5, 5, 3, 2, true},
		{6, 6, 4, 2, true},
		{6, 5, 3, 2, true},
		{6, 4, 2, 2, true},
		{6, 3, 1, 2, true},
		{6, 2, 0, 0, false},
		{9, 9, 7, 2, true},
		{10, 10, 7, 3, true},
		{10, 4, 1, 3, true},
		{10, 3, 0, 0, false},
		{14, 14, 10, 4, true},
		{40, 40, 10, 4, true},
	} {
		if k, m, ok := Coding(c.held, c.live); k != c.k || m != c.m || ok != c.ok {
			t.Errorf("Coding(%d, %d) = %d+%d %v, want %d+%d %v", c.held, c.live, k, m, ok, c.k, c.m, c.ok)
		}
	}
}

func TestCodingKeepsTheSpareShards(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		held := rapid.IntRange(0, 60).Draw(t, "held")
		live := rapid.IntRange(0, held).Draw(t, "live")
		k, m, ok := Coding(held, live)
		switch {
		case !ok && live > Spare(held):
			t.Fatalf("no code though %d of %d live", live, held)
		case ok && (k < 1 || m != Spare(held) || k+m > live):
			t.Fatalf("Coding(%d, %d) = %d+%d", held, live, k, m)
		}
	})
}

func drawLeases(t *rapid.T, n int) []Lease {
	leases := make([]Lease, n)
	some := func(i int, what string, of int) string {
		x := rapid.IntRange(0, of).Draw(t, fmt.Sprint(what, i))
		if x == 0 {
			return ""
		}
		return fmt.Sprint(what, x)
	}
	for i := range leases {
		leases[i] = Lease{Live: rapid.IntRange(0, 9).Draw(t, fmt.Sprint("live", i)) > 0, LeaseInfo: transfer.LeaseInfo{
			ID: model.LeaseID{byte(i + 1)}, Provider: fmt.Sprint("p", rapid.IntRange(0, n).Draw(t, fmt.Sprint("p", i))),
			Operator: some(i, "op", 4), Country: some(i, "c", 4), Network: some(i, "net", 6),
			Size: 1 << 30, Used: rapid.Int64Range(0, 1<<30).Draw(t, fmt.Sprint("used", i)),
		}}
	}
	return leases
}

const shardLen = 4 << 20

func usable(leases []Lease) map[string][]*Lease {
	m := map[string][]*Lease{}
	for i := range leases {
		if l := &leases[i]; l.Live && l.Size-l.Used >= shardLen {
			m[l.Provider] = append(m[l.Provider], l)
		}
	}
	return m
}

// checkPlan checks what holds for every plan: known leases, one shard for each provider, and true violations.
func checkPlan(t *rapid.T, leases []Lease, plan Plan, m int) {
	known := byID(leases)
	seen := map[string]bool{}
	count := map[group]int{}
	for _, id := range plan.Leases {
		if id == (model.LeaseID{}) {
			continue
		}
		l := known[id]
		if l == nil || seen[l.Provider] {
			t.Fatalf("lease %v is unknown or its provider has two shards", id)
		}
		seen[l.Provider] = true
		for _, g := range groups(l) {
			count[g]++
		}
	}
	over := 0
	for _, n := range count {
		if n > m {
			over++
		}
	}
	if over != len(plan.Violations) {
		t.Fatalf("%d hands hold too much, %d are told: %v", over, len(plan.Violations), plan.Violations)
	}
}

// badness counts the shards beyond the limits.
func badness(chosen []*Lease, m int) int {
	count := map[group]int{}
	bad := 0
	for _, l := range chosen {
		for _, g := range groups(l) {
			if count[g]++; count[g] > m {
				bad++
			}
		}
	}
	return bad
}

// fewest tries all choices of n providers; each provider has one lease here.
func fewest(all []*Lease, n, m int) int {
	best := 1 << 30
	for set := range 1 << len(all) {
		var chosen []*Lease
		for i, l := range all {
			if set>>i&1 == 1 {
				chosen = append(chosen, l)
			}
		}
		if len(chosen) == n {
			best = min(best, badness(chosen, m))
		}
	}
	return best
}

func TestPlaceSpreadsAsFarAsTheLeasesAllow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		leases := drawLeases(t, rapid.IntRange(0, 9).Draw(t, "n"))
		for i := range leases {
			leases[i].Provider = fmt.Sprint(i)
		}
		c := Code{K: rapid.IntRange(1, 4).Draw(t, "k"), M: 2}
		seed := rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "seed")
		plan, err := Place(leases, c, shardLen, seed)
		can := usable(leases)
		if len(can) < c.K+c.M {
			if !errors.Is(err, ErrTooFew) {
				t.Fatalf("%d providers for %d+%d: %v", len(can), c.K, c.M, err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		checkPlan(t, leases, plan, c.M)
		var all, chosen []*Lease
		for _, ls := range can {
			all = append(all, ls...)
		}
		for _, id := range plan.Leases {
			l := byID(leases)[id]
			if !l.Live || l.Size-l.Used < shardLen {
				t.Fatalf("lease %v is not live or has no room", id)
			}
			chosen = append(chosen, l)
		}
		if got, want := badness(chosen, c.M), fewest(all, c.K+c.M, c.M); got != want {
			t.Fatalf("%d shards are beyond the limits, %d would do", got, want)
		}
		shuffled := slices.Clone(leases)
		slices.Reverse(shuffled)
		if again, err := Place(shuffled, c, shardLen, seed); err != nil || !reflect.DeepEqual(again, plan) {
			t.Fatalf("the order of the leases changes the plan: %v, %v", again, plan)
		}
	})
}

func TestRepairKeepsWhatIsGood(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		leases := drawLeases(t, rapid.IntRange(4, 12).Draw(t, "n"))
		c := Code{K: rapid.IntRange(1, 4).Draw(t, "k"), M: 2}
		shards := make([]model.Shard, c.K+c.M)
		used := map[string]bool{}
		var want []int
		for i := range shards {
			l := &leases[rapid.IntRange(0, len(leases)-1).Draw(t, "at")]
			if used[l.Provider] || rapid.Bool().Draw(t, "bad") {
				want = append(want, i)
				shards[i].Lease = model.LeaseID{200, byte(i)} // a lease that the drive doesn't hold any more
				continue
			}
			used[l.Provider] = true
			shards[i].Lease = l.ID
		}
		plan := Repair(leases, shards, c, shardLen, want, []byte("seed"))
		checkPlan(t, leases, plan, c.M)
		placed := 0
		for i, id := range plan.Leases {
			switch {
			case !slices.Contains(want, i):
				if id != shards[i].Lease {
					t.Fatalf("good shard %d moves", i)
				}
			case id != model.LeaseID{}:
				placed++
			}
		}
		free := 0
		for p := range usable(leases) {
			if !used[p] {
				free++
			}
		}
		if placed != min(free, len(want)) || plan.Missing != len(want)-placed {
			t.Fatalf("%d of %d were placed with %d free providers, Missing %d", placed, len(want), free, plan.Missing)
		}
	})
}

func six() []Lease {
	leases := make([]Lease, 6)
	for i := range leases {
		leases[i] = Lease{Live: true, LeaseInfo: transfer.LeaseInfo{ID: model.LeaseID{byte(i + 1)}, Provider: fmt.Sprint(i), Network: "loopback", Size: 1 << 40}}
	}
	return leases
}

func TestShardsOfOneKindDontGatherOnOneProvider(t *testing.T) {
	leases := six()
	data := map[model.LeaseID]int{}
	for n := range 600 {
		plan, err := Place(leases, Code{4, 2}, shardLen, []byte{byte(n), byte(n >> 8)})
		if err != nil || len(plan.Violations) != 0 {
			t.Fatal(plan.Violations, err)
		}
		for _, id := range plan.Leases[:4] {
			data[id]++
		}
	}
	for id, n := range data {
		if n < 300 || n > 500 {
			t.Errorf("lease %v has a data shard of %d packs of 600, want about 400", id, n)
		}
	}
}

func TestFillsEvenly(t *testing.T) {
	leases := six()
	for i := range leases {
		leases[i].Size = int64(i+1) << 30
	}
	for n := range 1000 {
		plan, err := Place(leases, Code{1, 2}, shardLen, []byte{byte(n), byte(n >> 8)})
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range plan.Leases {
			leases[id[0]-1].Used += shardLen
		}
	}
	for _, l := range leases {
		if share := float64(l.Used) / float64(l.Size); share < 0.45 || share > 0.75 {
			t.Errorf("lease %v of %d GiB is %.2f full, all together are 0.56", l.ID[0], l.Size>>30, share)
		}
	}
}

func TestExplain(t *testing.T) {
	leases := six()
	for i := range leases {
		leases[i].Country = "DE"
	}
	shards := make([]model.Shard, 6)
	for i := range shards {
		shards[i].Lease = leases[i].ID
	}
	want := []Violation{{Kind: "country", Name: "DE", Shards: 6, Limit: 2}}
	if got := Explain(leases, shards, Code{4, 2}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	shards[1].Lease = shards[0].Lease
	got := Explain(leases, shards, Code{4, 2})
	if len(got) != 2 || got[1].Kind != "provider" || got[1].Limit != 1 {
		t.Errorf("two shards with one provider: %v", got)
	}
}

func BenchmarkPlaceWorst(b *testing.B) {
	leases := make([]Lease, 40)
	for i := range leases {
		leases[i] = Lease{Live: true, LeaseInfo: transfer.LeaseInfo{
			ID: model.LeaseID{byte(i + 1)}, Provider: fmt.Sprint(i), Operator: fmt.Sprint(i % 3), Country: fmt.Sprint(i % 2), Network: fmt.Sprint(i % 5), Size: 1 << 40,
		}}
	}
	for b.Loop() {
		if _, err := Place(leases, Code{10, 4}, shardLen, []byte("x")); err != nil {
			b.Fatal(err)
		}
	}
}
