// Package placement decides how a pack is coded and which leases get its shards. It is pure: no clock, no network, and the same inputs
// always give the same answer.
//
// # Codes
//
// A pack of K data and M parity shards survives the loss of any M of its shards. M is fixed by the number of providers that the
// drive holds leases with (Spare); K is what is left of those that answer now. When some are away, new packs are coded narrower
// with the same M: of six providers with 4+2, four answer: 2+2. Nothing counts as stored with fewer than M spare shards, so with fewer
// than M+1 live providers there is no code, and what is written stays pending. A drive therefore needs at least three providers
// (1+2: three copies) before anything counts as stored; with one or two leases everything stays pending, and status says so.
//
// # Places
//
// No two shards of a pack lie with one provider: that is never given up. At most M of them lie under one operator, one
// country or one network as far as the leases allow; where they don't, the plan says so (Violation). What isn't declared ("") can't be
// compared and counts as different; neither is the network "loopback" compared, which all providers of a test network share.
// Among equally good choices those with more room (in steps of 1/32 of the lease) come first, then a hash of seed and lease decides, so packs spread evenly.
//
// The search is exact up to a bounded number of steps (maxSteps) and best-effort beyond, which takes dozens of leases with crossing
// operators, countries and networks.
package placement

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cloudcoin/cloudcoin/sync/model"
	"github.com/cloudcoin/cloudcoin/sync/transfer"
)

// ErrTooFew is returned when fewer providers have room than the pack has shards.
var ErrTooFew = errors.New("too few providers have room")

// Lease is a lease that the drive holds.
type Lease struct {
	transfer.LeaseInfo
	// Live: it answers and may get new shards. Others only tell where present shards lie.
	Live bool
}

// Plan says where shards go.
type Plan struct {
	Leases     []model.LeaseID // of shard 0, 1, …; zero: nowhere
	Missing    int             // shards that found no place (Repair only)
	Violations []Violation     // spreading that the leases don't allow
}

// Place chooses leases for all shards of a new pack. seed (the pack's id) decides between equal choices. ErrTooFew when fewer
// providers have room than there are shards.
func Place(leases []Lease, c Code, shardLen int64, seed []byte) (Plan, error) {
	s := newSearch(leases, nil, c.M, shardLen, seed)
	n := c.K + c.M
	if len(s.candidates) < n {
		return Plan{}, fmt.Errorf("%w: %d of the %d that %d+%d needs", ErrTooFew, len(s.candidates), n, c.K, c.M)
	}
	chosen := s.best(n)
	// Which of them get data and which parity is drawn anew for each pack, so that reads spread.
	slices.SortFunc(chosen, func(a, b *candidate) int { return compareHash(a.order, b.order) })
	plan := Plan{Leases: make([]model.LeaseID, n)}
	for i, ch := range chosen {
		plan.Leases[i] = ch.ID
	}
	plan.Violations = violations(s.byID, plan.Leases, c.M)
	return plan, nil
}

// Repair chooses new leases for the shards want (indexes) of a pack; the others stay where shards says. Shards that found no place have a
// zero lease and are counted in Missing: rebuilding some is better than none.
func Repair(leases []Lease, shards []model.Shard, c Code, shardLen int64, want []int, seed []byte) Plan {
	plan := Plan{Leases: make([]model.LeaseID, len(shards))}
	var stay []model.LeaseID
	for i, sh := range shards {
		if !slices.Contains(want, i) {
			plan.Leases[i] = sh.Lease
			stay = append(stay, sh.Lease)
		}
	}
	s := newSearch(leases, stay, c.M, shardLen, seed)
	chosen := s.best(min(len(want), len(s.candidates)))
	left := slices.Clone(want)
	slices.Sort(left) // data shards first
	plan.Missing = len(left) - len(chosen)
	for n, ch := range chosen {
		plan.Leases[left[n]] = ch.ID
	}
	plan.Violations = violations(s.byID, plan.Leases, c.M)
	return plan
}

// Explain lists what the present placement of a pack violates, for status.
func Explain(leases []Lease, shards []model.Shard, c Code) []Violation {
	ids := make([]model.LeaseID, len(shards))
	for i, sh := range shards {
		ids[i] = sh.Lease
	}
	return violations(byID(leases), ids, c.M)
}

// Violation is more shards of one pack in one hand than may be there.
type Violation struct {
	Kind   string // "provider", "operator", "country" or "network"
	Name   string // of the operator, country, …
	Shards int    // how many are in that hand
	Limit  int    // how many may be
}

func (v Violation) String() string {
	return fmt.Sprintf("%d shards of a pack are with one %s (%s), at most %d should be", v.Shards, v.Kind, v.Name, v.Limit)
}

func byID(leases []Lease) map[model.LeaseID]*Lease {
	m := make(map[model.LeaseID]*Lease, len(leases))
	for i := range leases {
		m[leases[i].ID] = &leases[i]
	}
	return m
}

func violations(known map[model.LeaseID]*Lease, ids []model.LeaseID, m int) []Violation {
	count := map[group]int{}
	for _, id := range ids {
		l := known[id]
		if l == nil {
			continue
		}
		count[group{"provider", l.Provider}]++
		for _, g := range groups(l) {
			count[g]++
		}
	}
	var out []Violation
	for g, n := range count {
		limit := m
		if g.kind == "provider" {
			limit = 1
		}
		if n > limit {
			out = append(out, Violation{Kind: g.kind, Name: g.name, Shards: n, Limit: limit})
		}
	}
	slices.SortFunc(out, func(a, b Violation) int {
		return strings.Compare(a.Kind+"\x00"+a.Name, b.Kind+"\x00"+b.Name)
	})
	return out
}

// group is a hand that may hold at most m shards of a pack.
type group struct{ kind, name string }

func groups(l *Lease) []group {
	gs := make([]group, 0, 3)
	if l.Operator != "" {
		gs = append(gs, group{"operator", l.Operator})
	}
	if l.Country != "" {
		gs = append(gs, group{"country", l.Country})
	}
	if l.Network != "" && l.Network != "loopback" {
		gs = append(gs, group{"network", l.Network})
	}
	return gs
}
