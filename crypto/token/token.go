package token

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// MaxLen bounds the length of a token or receipt in bytes.
const MaxLen = 2048

// MaxNetwork bounds the length of a network's name in bytes.
const MaxNetwork = 64

// Skew is how much later or earlier than now the other side's clock may be when times are checked.
const Skew = 30 * time.Second

var (
	// ErrInvalid is returned for what isn't a token or receipt, is signed by somebody else, or is of another kind, provider or network.
	ErrInvalid = errors.New("not valid")
	// ErrExpired is returned for a token whose time is over: get another.
	ErrExpired = errors.New("expired")
	// ErrNotYet is returned for a token whose time hasn't come: one of the clocks is wrong.
	ErrNotYet = errors.New("not valid yet")
)

// Rights is a set of things that a lease token allows.
type Rights uint8

// Rights of a lease token.
const (
	Read   Rights = 1 << iota // shards, slots, listing, usage and proofs can be asked for
	Write                     // shards and slots can be put
	Delete                    // shards can be deleted
)

var rightNames = [...]string{"read", "write", "delete"}

// Has tells whether all of want are in r.
func (r Rights) Has(want Rights) bool { return r&want == want }

// String lists the rights in the order of their bits, with spaces between, as the JSON member scope does.
func (r Rights) String() string {
	var names []string
	for i, name := range rightNames {
		if r&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, " ")
}

// parseRights reads String's form. Names that it doesn't know grant nothing.
func parseRights(scope string) (r Rights) {
	for word := range strings.FieldsSeq(scope) {
		for i, name := range rightNames {
			if word == name {
				r |= 1 << i
			}
		}
	}
	return r
}

// Token says what the holder of a key may do with one lease until it expires.
type Token struct {
	Provider  ed25519.PublicKey // identity of the provider that serves the lease
	Holder    ed25519.PublicKey // lease key of the drive
	Network   string            // 1 to MaxNetwork bytes
	Lease     [16]byte
	Rights    Rights
	Quota     int64     // bytes
	NotBefore time.Time // whole seconds
	Expires   time.Time // whole seconds
}

// claims is the JSON of a Token.
type claims struct {
	jwt.RegisteredClaims
	Lease string `json:"lease"`
	Scope string `json:"scope"`
	Quota int64  `json:"quota"`
}

const (
	tokenType   = "cclease+jwt"
	receiptType = "ccreceipt+jws"
)

// audience binds a token to one provider of one network.
func audience(network string, provider ed25519.PublicKey) string {
	return network + "/" + hex.EncodeToString(provider)
}

func (t *Token) validate() error {
	switch {
	case len(t.Provider) != ed25519.PublicKeySize || len(t.Holder) != ed25519.PublicKeySize:
		return errors.New("token: provider and holder must be Ed25519 keys")
	case len(t.Network) == 0 || len(t.Network) > MaxNetwork:
		return fmt.Errorf("token: network name has %d bytes, want 1 to %d", len(t.Network), MaxNetwork)
	case t.Quota < 0:
		return fmt.Errorf("token: quota %d", t.Quota)
	case !t.NotBefore.Before(t.Expires):
		return errors.New("token: expires before it begins")
	}
	return nil
}

// Issue signs a token with the provider's token key (keychain.TokenKey). Times are cut to whole seconds. It fails when a field is out of bounds.
func Issue(t *Token, key ed25519.PrivateKey) (string, error) {
	if err := t.validate(); err != nil {
		return "", err
	}
	return sign(tokenType, key, &claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer:    hex.EncodeToString(t.Provider),
			Subject:   hex.EncodeToString(t.Holder),
			Audience:  jwt.ClaimStrings{audience(t.Network, t.Provider)},
			NotBefore: jwt.NewNumericDate(t.NotBefore),
			ExpiresAt: jwt.NewNumericDate(t.Expires),
		},
		Lease: hex.EncodeToString(t.Lease[:]),
		Scope: t.Rights.String(),
		Quota: t.Quota,
	})
}

// Verify checks signature, kind, network, provider and times. signer is the public half of the key that Issue was given. The errors are
// ErrInvalid, ErrExpired and ErrNotYet; only a token whose signature is right is called expired. The caller compares the lease with the one that is asked for.
func Verify(s string, signer, provider ed25519.PublicKey, network string, now time.Time) (*Token, error) {
	var c claims
	if err := parse(s, tokenType, signer, &c); err != nil {
		return nil, err
	}
	t := &Token{Provider: provider, Network: network, Rights: parseRights(c.Scope), Quota: c.Quota}
	if len(c.Audience) != 1 || c.Audience[0] != audience(network, provider) || c.Issuer != hex.EncodeToString(provider) {
		return nil, fmt.Errorf("token of another provider or network: %w", ErrInvalid)
	}
	if c.NotBefore == nil || c.ExpiresAt == nil {
		return nil, fmt.Errorf("token without times: %w", ErrInvalid)
	}
	t.NotBefore, t.Expires = c.NotBefore.Time, c.ExpiresAt.Time
	t.Holder = make(ed25519.PublicKey, ed25519.PublicKeySize)
	if !unhex(t.Holder, c.Subject) || !unhex(t.Lease[:], c.Lease) || t.validate() != nil {
		return nil, fmt.Errorf("token with bad members: %w", ErrInvalid)
	}
	if err := t.Valid(now); err != nil {
		return nil, err
	}
	return t, nil
}

// Valid tells whether now is within the token's times, with Skew of allowance: ErrExpired or ErrNotYet. Whoever keeps verified tokens (checking a
// signature takes 0.1 ms) asks this again before each use.
func (t *Token) Valid(now time.Time) error {
	switch {
	case !now.Before(t.Expires.Add(Skew)):
		return fmt.Errorf("token ended at %s: %w", t.Expires.UTC().Format(time.RFC3339), ErrExpired)
	case now.Add(Skew).Before(t.NotBefore):
		return fmt.Errorf("token begins at %s: %w", t.NotBefore.UTC().Format(time.RFC3339), ErrNotYet)
	}
	return nil
}

// unhex fills dst from exactly as many lower-case hex digits.
func unhex(dst []byte, s string) bool {
	if len(s) != 2*len(dst) {
		return false
	}
	_, err := hex.Decode(dst, []byte(s))
	return err == nil && hex.EncodeToString(dst) == s
}
