package drive

import (
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/cloudcoin/cloudcoin/drive/lease"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// Lease is one line of the lease book: what is needed to reach a lease again.
type Lease struct {
	ID       string    `json:"lease"`    // model.LeaseID in hex
	Provider string    `json:"provider"` // Ed25519 public key in hex
	URL      string    `json:"url"`
	Name     string    `json:"name"`
	Operator string    `json:"operator,omitempty"`
	Country  string    `json:"country,omitempty"`
	Size     int64     `json:"size"`
	Until    time.Time `json:"until"`
}

// book is leases.json.
type book struct {
	Format int     `json:"format"`
	Leases []Lease `json:"leases"`
}

// maxLeases bounds the book that is read from outside.
const maxLeases = 1024

func (h Home) loadBook() ([]Lease, error) {
	b, err := os.ReadFile(h.path("leases.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, h.damaged("leases.json", err)
	}
	var bk book
	if err := json.Unmarshal(b, &bk); err != nil {
		return nil, h.damaged("leases.json", err)
	}
	if bk.Format != 1 || len(bk.Leases) > maxLeases {
		return nil, h.damaged("leases.json", fmt.Errorf("format %d with %d leases", bk.Format, len(bk.Leases)))
	}
	for i := range bk.Leases {
		if _, _, err := bk.Leases[i].ids(); err != nil {
			return nil, h.damaged("leases.json", err)
		}
	}
	return bk.Leases, nil
}

func (h Home) saveBook(leases []Lease) error {
	b, err := json.MarshalIndent(book{Format: 1, Leases: leases}, "", "\t")
	if err != nil {
		return fmt.Errorf("write leases.json: %w", err)
	}
	return writeFile(h.path("leases.json"), append(b, '\n'))
}

// ids parses the lease's and the provider's identifiers.
func (l *Lease) ids() (model.LeaseID, ed25519.PublicKey, error) {
	id, err := model.ParseLeaseID(l.ID)
	if err != nil {
		return id, nil, err
	}
	key, err := hex.DecodeString(l.Provider)
	if err != nil || len(key) != ed25519.PublicKeySize {
		return id, nil, fmt.Errorf("lease %s: provider key %q is not %d hex digits", l.ID, l.Provider, 2*ed25519.PublicKeySize)
	}
	return id, key, nil
}

// client makes the client of a lease. It doesn't ask the provider.
func (d *Drive) client(l *Lease) (*lease.Client, error) {
	id, provider, err := l.ids()
	if err != nil {
		return nil, err
	}
	return lease.New(lease.Config{
		URL: l.URL, Provider: provider, Lease: id, Key: d.keys.LeaseKey(provider), Network: d.cfg.Network,
		Name: l.Name, Operator: l.Operator, Country: l.Country, Size: l.Size, Until: l.Until.Unix(),
		Net: d.net, Clock: d.opt.Clock, Logger: d.opt.Logger,
	})
}
