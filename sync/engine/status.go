package engine

import "time"

// Status is what the engine knows of the drive's safety.
type Status struct {
	PendingFiles, PendingBytes int64 // contents and names that aren't stored and published yet
	StoredFiles, StoredBytes   int64
	Published                  uint64 // revision up to which everything is published
	Health                     Health
	ReadOnly                   string // why nothing is published any more; "" normally
	Waiting                    string // why uploads wait; "" when they don't
	Warnings                   []Warning
}

// Health counts packs, and segments and checkpoints of the log.
type Health struct {
	Packs  int64 // all
	AtRisk int64 // any of the n shards or copies isn't known good
	Lost   int64 // fewer than k shards, or no copy, is known good
}

// Warning is something that a person should know. The same text is kept once.
type Warning struct {
	Text        string
	First, Last time.Time
	Count       int
}
