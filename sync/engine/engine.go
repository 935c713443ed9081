// Package engine runs a drive's background work.
package engine

import (
	"context"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

// Engine uploads, publishes, repairs and collects garbage for one drive. Safe for concurrent use.
type Engine struct{}

// New makes an engine. Nothing happens before Run.
func New(cfg Config) (*Engine, error) { panic("being built") }

// Run does the background work until ctx ends; it returns nil then. What was under way is redone after the next start.
func (e *Engine) Run(ctx context.Context) error { panic("being built") }

// Dirty tells that there is a content to upload when it has come to rest.
func (e *Engine) Dirty(ino model.Ino) { panic("being built") }

// Metadata tells that there is something to publish.
func (e *Engine) Metadata() { panic("being built") }

// Leases tells that the pool's leases changed, or that one of them answers again.
func (e *Engine) Leases() { panic("being built") }

// Bad tells that a shard is missing or damaged: hand it to transfer.Pool.Bad.
func (e *Engine) Bad(pack model.PackID, shard int, why error) { panic("being built") }

// Sync returns when everything that was committed to the index before the call is stored and published. The caller
// makes open files write their records first (vfs.SyncAll). An error says why it can't be.
func (e *Engine) Sync(ctx context.Context) error { panic("being built") }

// Status is cheap; it never waits for the network.
func (e *Engine) Status() Status { panic("being built") }

// Collect looks for garbage now: packs without a live chunk are deleted, sparse ones are rewritten.
func (e *Engine) Collect(ctx context.Context) (freed int64, err error) { panic("being built") }

// Audit asks every lease for every shard now, and rebuilds what is missing.
func (e *Engine) Audit(ctx context.Context) error { panic("being built") }
