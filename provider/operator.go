package provider

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"
)

// Operator is what an operator can do with a provider, running or not.
type Operator interface {
	Status(ctx context.Context) (Status, error)
	Leases(ctx context.Context) ([]Lease, error)
	// Grant gives a lease without coins; it is durable on return.
	Grant(ctx context.Context, a Ask) (Granted, error)
	// Scrub reads and verifies everything and sets damaged shards aside.
	Scrub(ctx context.Context) (Scrubbed, error)
	// Wipe loses the shards and slots of all leases. Identity, leases and quotas stay.
	Wipe(ctx context.Context) error
}

// Status of a provider. Amounts are bytes.
type Status struct {
	State    string    `json:"state"` // running, stopped
	PID      int       `json:"pid"`
	URL      string    `json:"url"`
	Provider string    `json:"provider"` // public key, hex
	Network  string    `json:"network"`
	Name     string    `json:"name"`
	Operator string    `json:"operator"`
	Country  string    `json:"country"`
	Version  string    `json:"version"`
	Started  time.Time `json:"started"`
	Leases   int       `json:"leases"` // open and in grace
	Promised int64     `json:"promised"`
	Used     int64     `json:"used"`
	Shards   int64     `json:"shards"`
	Free     int64     `json:"disk_free"`
	Disk     int64     `json:"disk_size"`
	Warnings []string  `json:"warnings,omitempty"`
}

// Lease as an operator sees it.
type Lease struct {
	Lease     string    `json:"lease"`
	For       string    `json:"for"` // cckey1…
	State     string    `json:"state"`
	Size      int64     `json:"size"`
	Used      int64     `json:"used"`
	Shards    int64     `json:"shards"`
	Created   time.Time `json:"created"`
	Until     time.Time `json:"until"`
	DataUntil time.Time `json:"data_until"` // end of the grace period
	Note      string    `json:"note,omitempty"`
}

// Ask is what a lease is to be.
type Ask struct {
	For   ed25519.PublicKey `json:"for"`
	Size  int64             `json:"size"` // bytes
	Until time.Time         `json:"until"`
	Note  string            `json:"note,omitempty"`
}

// Validate says what is wrong with an ask.
func (a *Ask) Validate(now time.Time) error {
	switch {
	case len(a.For) != ed25519.PublicKeySize:
		return errors.New("grant: the renter's key is missing")
	case a.Size < 1<<20:
		return fmt.Errorf("grant: a lease has at least 1 MiB, not %d bytes", a.Size)
	case !a.Until.After(now):
		return fmt.Errorf("grant: %s is not in the future", a.Until.Format(time.RFC3339))
	case a.Until.Year() > 9000:
		return errors.New("grant: the term ends too far in the future")
	}
	return nil
}

// Granted is a new lease.
type Granted struct {
	Lease    string    `json:"lease"`
	Code     string    `json:"code"` // for `ccdrive lease add`
	Size     int64     `json:"size"`
	Until    time.Time `json:"until"`
	Warnings []string  `json:"warnings,omitempty"`
}

// Scrubbed is the outcome of a scrub.
type Scrubbed struct {
	Shards  int64     `json:"shards"`
	Bytes   int64     `json:"bytes"`
	Slots   int64     `json:"slots"`
	Damaged []Damaged `json:"damaged"`
	Strange []string  `json:"strange_leases,omitempty"` // on the disk, but not in the ledger; left alone
}

// Damaged is a shard that was set aside, or a slot that can't be read.
type Damaged struct {
	Lease string `json:"lease"`
	Shard string `json:"shard,omitempty"`
	Slot  string `json:"slot,omitempty"`
}
