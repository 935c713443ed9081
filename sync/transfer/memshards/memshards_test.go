package memshards_test

import (
	"testing"

	"github.com/cloudcoin/cloudcoin/sync/model"
	"github.com/cloudcoin/cloudcoin/sync/transfer"
	"github.com/cloudcoin/cloudcoin/sync/transfer/memshards"
	"github.com/cloudcoin/cloudcoin/sync/transfer/shardstest"
)

func TestConformance(t *testing.T) {
	shardstest.Run(t, func(t *testing.T, size int64) shardstest.Lease {
		s := memshards.New(transfer.LeaseInfo{ID: model.LeaseID{1}, Provider: "p", Size: size})
		return shardstest.Lease{Shards: s, Size: size, Lose: s.Lose, Damage: func(id model.ShardID, off int) {
			if !s.Damage(id, off) {
				t.Errorf("nothing to damage at %d of %s", off, id)
			}
		}}
	})
}
