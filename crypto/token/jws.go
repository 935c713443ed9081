package token

import (
	"crypto/ed25519"
	"fmt"

	"github.com/golang-jwt/jwt/v5"
)

// parser accepts one algorithm and unpadded, canonical base64url only. Times are checked by this package, against the caller's clock.
var parser = jwt.NewParser(
	jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}),
	jwt.WithStrictDecoding(),
	jwt.WithoutClaimsValidation(),
)

// sign makes a compact JWS of a kind.
func sign(kind string, key ed25519.PrivateKey, c jwt.Claims) (string, error) {
	if len(key) != ed25519.PrivateKeySize {
		return "", fmt.Errorf("sign %s: key of %d bytes", kind, len(key))
	}
	t := jwt.NewWithClaims(jwt.SigningMethodEdDSA, c)
	t.Header["typ"] = kind
	s, err := t.SignedString(key)
	if err != nil {
		return "", fmt.Errorf("sign %s: %w", kind, err)
	}
	if len(s) > MaxLen {
		return "", fmt.Errorf("sign %s: it has %d bytes, more than %d", kind, len(s), MaxLen)
	}
	return s, nil
}

// parse checks length, kind, algorithm and signature of s and reads its claims into c. The error wraps ErrInvalid.
func parse(s, kind string, signer ed25519.PublicKey, c jwt.Claims) error {
	if len(s) > MaxLen {
		return fmt.Errorf("%s of %d bytes: %w", kind, len(s), ErrInvalid)
	}
	if len(signer) != ed25519.PublicKeySize {
		return fmt.Errorf("check %s: signer's key has %d bytes: %w", kind, len(signer), ErrInvalid)
	}
	_, err := parser.ParseWithClaims(s, c, func(t *jwt.Token) (any, error) {
		if t.Header["typ"] != kind {
			return nil, fmt.Errorf("type %v, want %s", t.Header["typ"], kind)
		}
		if _, ok := t.Header["crit"]; ok {
			return nil, fmt.Errorf("critical header members are not understood")
		}
		return signer, nil
	})
	if err != nil {
		return fmt.Errorf("%s: %w: %w", kind, ErrInvalid, err)
	}
	return nil
}
