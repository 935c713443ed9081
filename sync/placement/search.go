package placement

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"slices"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

// maxSteps bounds the exact search; beyond, the best choice so far is taken.
const maxSteps = 8_000

// candidate is the best lease with one provider that may get a shard.
type candidate struct {
	*Lease
	groups []group
	fill   int64    // 32nds of the lease that are taken with the new shard
	order  [32]byte // decides between equals
}

// search looks for the set of candidates that puts the fewest shards beyond the limits.
type search struct {
	byID       map[model.LeaseID]*Lease
	candidates []*candidate // best first
	limit      int          // m
	count      map[group]int

	steps    int
	picked   []*candidate
	found    []*candidate
	foundBad int // shards beyond the limits in found; -1: nothing found
}

// newSearch counts the shards that stay and lists who may get new ones: live, with room, and no shard of the pack yet.
func newSearch(leases []Lease, stay []model.LeaseID, m int, shardLen int64, seed []byte) *search {
	s := &search{byID: byID(leases), limit: m, count: map[group]int{}, foundBad: -1}
	taken := map[string]bool{}
	for _, id := range stay {
		if l := s.byID[id]; l != nil {
			taken[l.Provider] = true
			for _, g := range groups(l) {
				s.count[g]++
			}
		}
	}
	best := map[string]*candidate{}
	for i := range leases {
		l := &leases[i]
		if !l.Live || taken[l.Provider] || l.Size <= 0 || l.Size-l.Used < shardLen {
			continue
		}
		c := &candidate{Lease: l, groups: groups(l), fill: fill(l.Used+shardLen, l.Size), order: sha256.Sum256(append(l.ID[:], seed...))}
		if b := best[l.Provider]; b == nil || c.before(b) < 0 {
			best[l.Provider] = c
		}
	}
	for _, c := range best {
		s.candidates = append(s.candidates, c)
	}
	slices.SortFunc(s.candidates, (*candidate).before)
	return s
}

// fill is used/size in 32nds, without overflow for any lease that can exist.
func fill(used, size int64) int64 { return used / (size/32 + 1) }

func (c *candidate) before(b *candidate) int {
	return cmp.Or(cmp.Compare(c.fill, b.fill), compareHash(c.order, b.order), bytes.Compare(c.ID[:], b.ID[:]))
}

func compareHash(a, b [32]byte) int { return bytes.Compare(a[:], b[:]) }

// best returns n candidates with the fewest shards beyond the limits, preferring the first ones.
func (s *search) best(n int) []*candidate {
	s.walk(0, n, 0)
	return s.found
}

// walk takes or leaves candidate i; bad is how many of the picked are beyond a limit.
func (s *search) walk(i, n, bad int) {
	if s.foundBad >= 0 && (bad >= s.foundBad || s.steps > maxSteps) {
		return // not better than what was found, or enough looked at
	}
	s.steps++
	if n == 0 {
		s.found, s.foundBad = slices.Clone(s.picked), bad
		return
	}
	if len(s.candidates)-i < n {
		return
	}
	c := s.candidates[i]
	more := 0
	for _, g := range c.groups {
		if s.count[g] >= s.limit {
			more++
		}
		s.count[g]++
	}
	s.picked = append(s.picked, c)
	s.walk(i+1, n-1, bad+more)
	s.picked = s.picked[:len(s.picked)-1]
	for _, g := range c.groups {
		s.count[g]--
	}
	if more > 0 || s.foundBad > 0 {
		s.walk(i+1, n, bad)
	}
}
