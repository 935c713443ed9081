package engine

import (
	"context"
	"log/slog"

	"github.com/cloudcoin/cloudcoin/crypto/keychain"
	"github.com/cloudcoin/cloudcoin/sync/index"
	"github.com/cloudcoin/cloudcoin/sync/model"
	"github.com/cloudcoin/cloudcoin/sync/oplog"
	"github.com/cloudcoin/cloudcoin/sync/transfer"
)

// Found is what the slots of the leases that answered hold.
type Found struct {
	Heads       []FoundHead // one for each device and state, newest first
	Books       []oplog.Book
	Unreachable []Unreachable
	Warnings    []string // slots that don't verify, heads that go back
}

// FoundHead is the newest head of one device, and where it lies.
type FoundHead struct {
	Head   *oplog.Head
	Hash   oplog.Hash
	Leases []model.LeaseID
}

// Unreachable is a lease that didn't answer.
type Unreachable struct {
	Lease transfer.LeaseInfo
	Err   error
}

// Find reads every slot of every lease.
func Find(ctx context.Context, keys *keychain.Keychain, leases []transfer.Shards) (Found, error) {
	panic("being built")
}

// Recovered says what Recover did.
type Recovered struct {
	Head     *oplog.Head // the head that was applied
	Records  int64
	Warnings []string
}

// Recover fills an empty index from the newest of the found heads: its checkpoint and segments are read through pool. The engine of
// this HOME then continues that head as device, which must be new.
func Recover(ctx context.Context, keys *keychain.Keychain, pool *transfer.Pool, x *index.Index, found Found, device model.DeviceID, log *slog.Logger) (Recovered, error) {
	panic("being built")
}
