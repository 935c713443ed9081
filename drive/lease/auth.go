package lease

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/cloudcoin/cloudcoin/sync/transfer"
)

const maxToken = 4096 // bytes of a token that is accepted from a provider

// auth keeps a lease's token fresh.
type auth struct {
	client *Client
	gate   chan struct{} // held by who gets a token; a channel, so that waiting obeys ctx
	// guarded by gate
	token string
	until time.Time // by the own clock: renew from then on
}

func newAuth(c *Client) auth { return auth{client: c, gate: make(chan struct{}, 1)} }

// get returns a token; not the one that was refused.
func (a *auth) get(ctx context.Context, refused string) (string, error) {
	select {
	case a.gate <- struct{}{}:
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
	defer func() { <-a.gate }()
	now := a.client.cfg.Clock()
	if a.token != "" && a.token != refused && now.Before(a.until) {
		return a.token, nil
	}
	cfg := &a.client.cfg
	list, date, err := login(ctx, a.client.host, cfg.Provider, cfg.Key, cfg.Network)
	if err != nil {
		return "", fmt.Errorf("get a token: %w", err)
	}
	if date.IsZero() {
		date = now
	}
	for _, l := range list {
		if l.Lease != cfg.Lease.String() {
			continue
		}
		if l.Token == "" || len(l.Token) > maxToken || strings.ContainsAny(l.Token, " \r\n") {
			return "", fmt.Errorf("get a token: the lease is %s: %w", printable(l.State), transfer.ErrLease)
		}
		if l.Used >= 0 {
			a.client.mu.Lock()
			a.client.used = l.Used
			a.client.mu.Unlock()
		}
		a.token = l.Token
		a.until = now.Add(l.Expires.Sub(date) * 4 / 5)
		return a.token, nil
	}
	return "", fmt.Errorf("get a token: the provider knows no such lease of this key: %w", transfer.ErrLease)
}

// leaseAnswer is one lease in the answer to POST /v1/tokens.
type leaseAnswer struct {
	Lease   string    `json:"lease"`
	Size    int64     `json:"size"`
	Used    int64     `json:"used"`
	Until   time.Time `json:"until"`
	State   string    `json:"state"`
	Token   string    `json:"token"`
	Expires time.Time `json:"expires"`
}

// login proves that we hold key and returns the key's leases, and the provider's idea of the time (zero: not said).
func login(ctx context.Context, h *host, provider ed25519.PublicKey, key ed25519.PrivateKey, network string) ([]leaseAnswer, time.Time, error) {
	var challenge struct {
		Nonce string `json:"nonce"`
	}
	if _, err := h.json(ctx, http.MethodGet, "/v1/challenge", nil, &challenge); err != nil {
		return nil, time.Time{}, err
	}
	if challenge.Nonce == "" || len(challenge.Nonce) > 128 || strings.ContainsAny(challenge.Nonce, "\r\n") {
		return nil, time.Time{}, errors.New("the provider sent no usable challenge")
	}
	public := key.Public().(ed25519.PublicKey)
	text := strings.Join([]string{
		"cloudcoin provider auth v1", network, hex.EncodeToString(provider), hex.EncodeToString(public), challenge.Nonce,
	}, "\n")
	ask := map[string]string{
		"key": hex.EncodeToString(public), "nonce": challenge.Nonce, "sig": hex.EncodeToString(ed25519.Sign(key, []byte(text))),
	}
	var answer struct {
		Leases []leaseAnswer `json:"leases"`
	}
	date, err := h.json(ctx, http.MethodPost, "/v1/tokens", ask, &answer)
	return answer.Leases, date, err
}
