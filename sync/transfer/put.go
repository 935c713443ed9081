package transfer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

const (
	firstRetry   = 200 * time.Millisecond
	longestRetry = 5 * time.Second
)

// PutShard stores a shard with one lease. Nil means that a verified receipt for exactly these bytes was given. What may pass is tried
// again (Options.PutTries), only once when the lease is known to be down: the caller can choose another lease. Errors that the provider means,
// ErrNoRoom and ErrLease, end it at once.
func (p *Pool) PutShard(ctx context.Context, lease model.LeaseID, id model.ShardID, body []byte) error {
	m := p.member(lease)
	if m == nil {
		return fmt.Errorf("put shard %s: lease %s: %w", id, lease, ErrNoLease)
	}
	for try := 1; ; try++ {
		err := m.do(ctx, int64(len(body)), func(ctx context.Context, s Shards) error { return s.Put(ctx, id, body) })
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil, errors.Is(err, ErrNoRoom), errors.Is(err, ErrLease), try >= p.opt.PutTries, m.isOpen():
			return fmt.Errorf("put shard %s with lease %s: %w", id, lease, err)
		}
		if err := p.sleep(ctx, p.backoff(firstRetry, longestRetry, try)); err != nil {
			return fmt.Errorf("put shard %s with lease %s: %w", id, lease, err)
		}
	}
}
