package lease

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/cloudcoin/cloudcoin/sync/model"
	"github.com/cloudcoin/cloudcoin/sync/transfer"
)

// Granted is one lease that a provider lists for a key.
type Granted struct {
	Lease      model.LeaseID
	Size, Used int64  // bytes
	Until      int64  // unix seconds
	State      string // "open", "grace" or "ended"
}

// Provider is what a provider says about itself.
type Provider struct {
	Key               ed25519.PublicKey // over TLS it proved that it holds it
	Name              string
	Network           string
	Operator, Country string // as declared; may be empty
	Version           string
}

// ProviderInfo asks the provider at url who it is. Over TLS the key that it names must be the one that it shows.
func ProviderInfo(ctx context.Context, n Net, url string) (Provider, error) {
	h, err := newHost(n, url, nil)
	if err != nil {
		return Provider{}, err
	}
	defer h.close()
	p, err := h.who(ctx)
	if err != nil {
		return Provider{}, fmt.Errorf("ask %s who it is: %w", url, err)
	}
	return p, nil
}

func (h *host) who(ctx context.Context) (Provider, error) {
	var a struct {
		Provider string `json:"provider"`
		Name     string `json:"name"`
		Network  string `json:"network"`
		Operator string `json:"operator"`
		Country  string `json:"country"`
		Version  string `json:"version"`
	}
	if _, err := h.json(ctx, http.MethodGet, "/v1/provider", nil, &a); err != nil {
		return Provider{}, err
	}
	key, err := hex.DecodeString(a.Provider)
	if err != nil || len(key) != ed25519.PublicKeySize {
		return Provider{}, errors.New("it isn't a provider: it names no key")
	}
	p := Provider{
		Key: key, Name: printable(a.Name), Network: printable(a.Network), Operator: printable(a.Operator),
		Country: printable(a.Country), Version: printable(a.Version),
	}
	if shown := h.shownKey(); shown != nil && !shown.Equal(p.Key) {
		return Provider{}, ErrNotPinned
	}
	return p, nil
}

// Leases asks the provider at url which leases a key holds. provider may be nil when only the address is known (recovery): then the key that it
// shows is taken, which lets nobody read or change anything, since what leases hold is signed and sealed by the drive.
func Leases(ctx context.Context, n Net, url string, provider ed25519.PublicKey, key ed25519.PrivateKey, network string) ([]Granted, error) {
	h, err := newHost(n, url, provider)
	if err != nil {
		return nil, err
	}
	defer h.close()
	if provider == nil {
		p, err := h.who(ctx)
		if err != nil {
			return nil, fmt.Errorf("ask %s who it is: %w", url, err)
		}
		provider = p.Key
	}
	list, _, err := login(ctx, h, provider, key, network)
	if err != nil {
		return nil, fmt.Errorf("ask %s for leases: %w", url, err)
	}
	out := make([]Granted, len(list))
	for i, l := range list {
		id, err := model.ParseLeaseID(l.Lease)
		if err != nil || l.Size < 0 || l.Used < 0 {
			return nil, fmt.Errorf("ask %s for leases: %w: lease %q", url, transfer.ErrDamaged, printable(l.Lease))
		}
		out[i] = Granted{Lease: id, Size: l.Size, Used: l.Used, Until: unix(l.Until), State: printable(l.State)}
	}
	return out, nil
}

func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}
