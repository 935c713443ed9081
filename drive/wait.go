package drive

import (
	"context"
	"errors"
	"time"

	"github.com/cloudcoin/cloudcoin/internal/homelock"
)

const (
	// homeWait is how long the end, or the beginning, of another process in the HOME is waited for.
	homeWait = 20 * time.Second
	homePoll = 20 * time.Millisecond
)

// acquire takes the lock of a HOME. A process that holds it and answers at the local API keeps it: *homelock.HeldError at once. One that doesn't
// answer is about to end (after umount(8), say) or works for a moment only: it is waited for.
func (h Home) acquire(ctx context.Context) (*homelock.Lock, error) {
	deadline := time.Now().Add(homeWait)
	tick := time.NewTicker(homePoll)
	defer tick.Stop()
	for {
		lock, err := homelock.Acquire(h.Dir)
		var held *homelock.HeldError
		if !errors.As(err, &held) {
			return lock, err
		}
		if c, derr := Dial(h); derr == nil && c.answers(ctx) || time.Now().After(deadline) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-tick.C:
		}
	}
}

// answers tells whether the process at the socket is there to stay.
func (c *Client) answers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, homeWait)
	defer cancel()
	_, err := c.Status(ctx)
	return err == nil
}
