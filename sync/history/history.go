// Package history answers for the revisions of a path, and which of them are kept.
package history

import (
	"context"
	"time"

	"github.com/cloudcoin/cloudcoin/sync/index"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// Entry is one revision of a path.
type Entry struct {
	Revision model.Rev `json:"revision"`
	Time     time.Time `json:"time"`
	Device   string    `json:"device"`
	Op       string    `json:"op"` // create, write, rename, delete, attr
	Size     int64     `json:"size"`
	Stored   bool      `json:"stored"`
}

// Of lists the revisions of a path from the drive's root, newest first, also when nothing has this name any more. device names the
// device that made a revision; nil: none is named. index.ErrNotFound when nothing ever had this name.
func Of(x *index.Index, path string, device func(model.Rev) string) ([]Entry, error) {
	panic("being built")
}

// ParseWhen reads REVISION|TIME: a revision's number, RFC 3339, a date, or a time relative to now ("2h", "3d", "yesterday").
func ParseWhen(s string, now time.Time) (model.Rev, error) { panic("being built") }

// Policy is a retention policy.
type Policy struct{}

// DefaultKeep keeps every revision for 30 days, daily ones for 6 months, monthly ones for ever.
const DefaultKeep = "all:30d,daily:180d,monthly:forever"

// ParsePolicy reads what --keep takes.
func ParsePolicy(s string) (Policy, error) { panic("being built") }

func (p Policy) String() string { panic("being built") }

// Pruned says what Prune removed, or would remove.
type Pruned struct {
	Revisions int64 // of names, attributes and contents
	Chunks    int64 // that nothing names any more
	Bytes     int64 // of these chunks
}

// Prune removes the revisions that the policy doesn't keep; with dryRun it only counts them.
func Prune(ctx context.Context, x *index.Index, p Policy, now time.Time, dryRun bool) (Pruned, error) {
	panic("being built")
}
