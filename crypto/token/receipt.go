package token

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Receipt is the provider's word that a shard is durable on its disk.
type Receipt struct {
	Provider ed25519.PublicKey // identity of the provider; it signs
	Network  string            // 1 to MaxNetwork bytes
	Lease    [16]byte
	Shard    [32]byte
	Size     int64     // bytes
	Time     time.Time // whole seconds
}

// receiptClaims is the JSON of a Receipt.
type receiptClaims struct {
	Provider string `json:"provider"`
	Network  string `json:"network"`
	Lease    string `json:"lease"`
	Shard    string `json:"shard"`
	Size     int64  `json:"size"`
	Time     int64  `json:"time"` // seconds since 1970
}

// SignReceipt signs with the provider's identity key. r.Provider is not looked at: the key tells it.
func SignReceipt(r *Receipt, key ed25519.PrivateKey) (string, error) {
	switch {
	case len(key) != ed25519.PrivateKeySize:
		return "", fmt.Errorf("receipt: key of %d bytes", len(key))
	case len(r.Network) == 0 || len(r.Network) > MaxNetwork:
		return "", fmt.Errorf("receipt: network name has %d bytes, want 1 to %d", len(r.Network), MaxNetwork)
	case r.Size < 0 || r.Time.Unix() < 0:
		return "", errors.New("receipt: size or time below zero")
	}
	return sign(receiptType, key, &receiptClaims{
		Provider: hex.EncodeToString(key[ed25519.PrivateKeySize-ed25519.PublicKeySize:]),
		Network:  r.Network,
		Lease:    hex.EncodeToString(r.Lease[:]),
		Shard:    hex.EncodeToString(r.Shard[:]),
		Size:     r.Size,
		Time:     r.Time.Unix(),
	})
}

// VerifyReceipt checks that provider signed a receipt on network; the error wraps ErrInvalid. The caller compares lease, shard and size with
// what it sent.
func VerifyReceipt(s string, provider ed25519.PublicKey, network string) (*Receipt, error) {
	var c receiptClaims
	if err := parse(s, receiptType, provider, &c); err != nil {
		return nil, err
	}
	r := &Receipt{Provider: provider, Network: network, Size: c.Size, Time: time.Unix(c.Time, 0)}
	switch {
	case c.Network != network || c.Provider != hex.EncodeToString(provider):
		return nil, fmt.Errorf("receipt of another provider or network: %w", ErrInvalid)
	case !unhex(r.Lease[:], c.Lease) || !unhex(r.Shard[:], c.Shard) || c.Size < 0 || c.Time < 0:
		return nil, fmt.Errorf("receipt with bad members: %w", ErrInvalid)
	}
	return r, nil
}

// A receipt doesn't expire and has none of JWT's registered claims; these methods are what the library wants of every payload.

func (*receiptClaims) GetExpirationTime() (*jwt.NumericDate, error) { return nil, nil }
func (*receiptClaims) GetIssuedAt() (*jwt.NumericDate, error)       { return nil, nil }
func (*receiptClaims) GetNotBefore() (*jwt.NumericDate, error)      { return nil, nil }
func (*receiptClaims) GetIssuer() (string, error)                   { return "", nil }
func (*receiptClaims) GetSubject() (string, error)                  { return "", nil }
func (*receiptClaims) GetAudience() (jwt.ClaimStrings, error)       { return nil, nil }
