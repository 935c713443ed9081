package drive

import (
	"errors"
	"time"
)

// The types of this file are what the local API sends and what `--json` prints: their keys are a contract.

// Status is the answer of `ccdrive status --json`.
type Status struct {
	State        string        `json:"state"` // "mounted", "running" (no mount), "read-only" or "stopped"
	Mountpoint   string        `json:"mountpoint"`
	Network      string        `json:"network"`
	Home         string        `json:"home"`
	PID          int           `json:"pid"`
	Device       string        `json:"device"`
	Revision     uint64        `json:"revision"`
	PendingFiles int64         `json:"pending_files"`
	PendingBytes int64         `json:"pending_bytes"`
	StoredFiles  int64         `json:"stored_files"`
	StoredBytes  int64         `json:"stored_bytes"`
	CachedBytes  int64         `json:"cached_bytes"`
	CacheLimit   int64         `json:"cache_limit"`
	Health       Health        `json:"health"`
	Leases       []LeaseStatus `json:"leases"`
	Chain        ChainStatus   `json:"chain"`
	Wallet       WalletStatus  `json:"wallet"`
	Warnings     []string      `json:"warnings"`
}

// Health counts packs, log segments and checkpoints: AtRisk those of which any shard or copy is not known good, Lost those
// with fewer good shards than are needed to read them.
type Health struct {
	Packs  int `json:"packs"`
	AtRisk int `json:"at_risk"`
	Lost   int `json:"lost"`
}

// LeaseStatus is one lease, as `ccdrive leases --json` prints it. Amounts are decimal strings.
type LeaseStatus struct {
	Lease     string    `json:"lease"`
	Provider  string    `json:"provider"`
	URL       string    `json:"url"`
	State     string    `json:"state"`
	Size      int64     `json:"size"`
	Used      int64     `json:"used"`
	Until     time.Time `json:"until"`
	PaidUntil time.Time `json:"paid_until"`
	Price     string    `json:"price"`
	Funding   string    `json:"funding"`
	Error     string    `json:"error,omitempty"`
}

// ChainStatus is empty until the drive has a light node.
type ChainStatus struct {
	Network string    `json:"network"`
	Height  int64     `json:"height"`
	TipTime time.Time `json:"tip_time"`
	Peers   int       `json:"peers"`
	Synced  bool      `json:"synced"`
}

// WalletStatus is empty until the drive has a wallet.
type WalletStatus struct {
	Confirmed   string `json:"confirmed"`
	Unconfirmed string `json:"unconfirmed"`
	InChannels  string `json:"in_channels"`
}

// Revision is one line of a path's history.
type Revision struct {
	Revision uint64    `json:"revision"`
	Time     time.Time `json:"time"`
	Device   string    `json:"device"`
	Op       string    `json:"op"`
	Size     int64     `json:"size"`
	Stored   bool      `json:"stored"`
}

// PackStatus is one pack, as `ccdrive pack list --json` prints it.
type PackStatus struct {
	Pack   string        `json:"pack"`
	Size   int64         `json:"size"`
	Health string        `json:"health"` // "good", "at risk" or "lost"
	Shards []ShardStatus `json:"shards"`
}

// ShardStatus is one shard of a pack.
type ShardStatus struct {
	Index    int    `json:"index"`
	Kind     string `json:"kind"` // "data" or "parity"
	Provider string `json:"provider"`
	State    string `json:"state"` // "good", "suspect" or "bad"
}

// Evicted tells what `ccdrive evict` gave back.
type Evicted struct {
	Freed int64 `json:"freed"`
	Kept  int64 `json:"kept"` // not stored yet, so it stays
}

// Pruned tells what `ccdrive prune` removed, or would.
type Pruned struct {
	Revisions int64 `json:"revisions"`
	Bytes     int64 `json:"bytes"`
	DryRun    bool  `json:"dry_run"`
}

// Finding is one thing that `ccdrive doctor` has to say.
type Finding struct {
	What   string `json:"what"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
	Advice string `json:"advice,omitempty"`
}

// Errors that cross the local API by their code and decide the exit code of a command.
var (
	// ErrNotRunning is returned when no process works in the HOME.
	ErrNotRunning = errors.New("not running")
	// ErrNotFound is returned for a path, revision, pack or provider that doesn't exist.
	ErrNotFound = errors.New("not found")
	// ErrTimeout is returned when the time given ran out.
	ErrTimeout = errors.New("timed out")
	// ErrUsage is returned for arguments that make no sense.
	ErrUsage = errors.New("wrong usage")
)

// codes are the names of errors on the wire.
var codes = map[string]error{"not_running": ErrNotRunning, "not_found": ErrNotFound, "timeout": ErrTimeout, "usage": ErrUsage}

// wireError is the body of an answer that isn't 200.
type wireError struct {
	Code    string `json:"code"` // a key of codes, or ""
	Message string `json:"message"`
}

// remoteError is an error of the daemon with its text, still recognised by errors.Is.
type remoteError struct {
	msg  string
	kind error
}

func (e *remoteError) Error() string { return e.msg }
func (e *remoteError) Unwrap() error { return e.kind }
