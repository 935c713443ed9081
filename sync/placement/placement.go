// Package placement decides which leases get the shards of a pack. It is pure: the same inputs give the same answer.
package placement

import (
	"github.com/cloudcoin/cloudcoin/sync/model"
	"github.com/cloudcoin/cloudcoin/sync/transfer"
)

// Code is how a pack is coded: K data and M parity shards.
type Code struct{ K, M int }

// Coding chooses the code for new packs: held is the number of different providers that the drive has leases with, live how many of them
// answer and have room. ok is false when no code leaves enough spare shards: what is written stays pending.
func Coding(held, live int) (c Code, ok bool) { panic("being built") }

// Plan says where shards go.
type Plan struct {
	Leases     []model.LeaseID // of shard 0, 1, …
	Violations []Violation     // spreading that the leases don't allow
}

// Violation is more than m shards of one pack in one hand.
type Violation struct {
	Kind   string // "provider", "operator", "country" or "network"
	Name   string // of the operator, country, …
	Shards int    // how many are in that hand
	Limit  int    // how many may be
}

// Place chooses leases for all shards of a new pack. seed spreads equal choices evenly (the pack's id).
func Place(leases []transfer.LeaseInfo, c Code, shardLen int64, seed []byte) (Plan, error) {
	panic("being built")
}

// Repair chooses new leases for the shards want of a pack; the others stay where shards says (a zero lease: nowhere). The plan
// has an entry for each shard of the pack.
func Repair(leases []transfer.LeaseInfo, shards []model.Shard, c Code, shardLen int64, want []int, seed []byte) (Plan, error) {
	panic("being built")
}

// Explain lists what a pack's present placement violates, for status.
func Explain(leases []transfer.LeaseInfo, shards []model.Shard, c Code) []Violation {
	panic("being built")
}
