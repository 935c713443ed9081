// Package leasecode writes and reads the two lines of text that a renter and a provider's operator hand to each other when a
// lease is granted without coins: the renter's key ("cckey1…", what `ccdrive lease key` prints) and the lease code
// ("cclease1…", what `ccprovider grant` prints). Their bytes are in docs/formats.md, "Keys and lease codes".
//
// Both are plain values without secrets: a lease code names the renter's public key and is of use only to who holds the
// private one. The provider's signature in it lets the renter trust the key that it pins for TLS.
//
// The package imports nothing of the project. All functions are safe for concurrent use.
package leasecode

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/fxamacker/cbor/v2"
)

const (
	keyPrefix   = "cckey1"
	codePrefix  = "cclease1"
	signLabel   = "cloudcoin lease code v1\n"
	maxCode     = 2048 // characters of a whole lease code
	maxURL      = 512
	maxNetwork  = 32
	fieldsOfOne = 7 // known keys of the CBOR map
)

// ErrKey is returned when a text isn't a renter's key.
var ErrKey = errors.New("this is not a lease key (they begin with " + keyPrefix + " and are printed by `ccdrive lease key URL`)")

// ErrCode is returned when a text isn't a lease code, or one that was changed after the provider signed it.
var ErrCode = errors.New("this is not a whole lease code (they begin with " + codePrefix + " and are printed by `ccprovider grant`)")

// Lease is what a lease code says.
type Lease struct {
	Network  string            // the network's name; a lease is of one network only
	URL      string            // where the provider answers, without a slash at the end
	Provider ed25519.PublicKey // the provider's identity key, which also signed the code
	ID       [16]byte          // the lease
	Size     int64             // quota in bytes
	Until    int64             // end of the term, seconds since 1970
	Renter   ed25519.PublicKey // whom the lease is granted to
}

// FormatKey writes a renter's key as `ccprovider grant --for` takes it.
func FormatKey(key ed25519.PublicKey) string {
	return keyPrefix + base64.RawURLEncoding.EncodeToString(key)
}

// ParseKey reads what FormatKey wrote; space around it is ignored. It returns ErrKey for anything else.
func ParseKey(s string) (ed25519.PublicKey, error) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(s), keyPrefix)
	if !ok || len(rest) != base64.RawURLEncoding.EncodedLen(ed25519.PublicKeySize) {
		return nil, ErrKey
	}
	key, err := base64.RawURLEncoding.Strict().DecodeString(rest)
	if err != nil {
		return nil, ErrKey
	}
	return ed25519.PublicKey(key), nil
}

// payload is the CBOR map under the signature.
type payload struct {
	Network  string `cbor:"1,keyasint"`
	URL      string `cbor:"2,keyasint"`
	Provider []byte `cbor:"3,keyasint"`
	Lease    []byte `cbor:"4,keyasint"`
	Size     int64  `cbor:"5,keyasint"`
	Until    int64  `cbor:"6,keyasint"`
	Renter   []byte `cbor:"7,keyasint"`
}

var (
	encMode = must(cbor.CoreDetEncOptions().EncMode())
	decMode = must(cbor.DecOptions{
		DupMapKey:        cbor.DupMapKeyEnforcedAPF,
		IndefLength:      cbor.IndefLengthForbidden,
		TagsMd:           cbor.TagsForbidden,
		MaxNestedLevels:  4,
		MaxMapPairs:      16 + fieldsOfOne,
		MaxArrayElements: 16,
	}.DecMode())
)

// must is for the modes above, which are constants of this file.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Format writes the lease as a code, signed by the provider's key, which has to be the one that the lease names.
func Format(l Lease, provider ed25519.PrivateKey) (string, error) {
	if !l.Provider.Equal(provider.Public()) {
		return "", errors.New("sign lease code: the key is not that of the lease's provider")
	}
	if err := l.validate(); err != nil {
		return "", fmt.Errorf("sign lease code: %w", err)
	}
	body, err := encMode.Marshal(payload{l.Network, l.URL, l.Provider, l.ID[:], l.Size, l.Until, l.Renter})
	if err != nil {
		return "", fmt.Errorf("encode lease code: %w", err)
	}
	sig := ed25519.Sign(provider, append([]byte(signLabel), body...))
	return codePrefix + base64.RawURLEncoding.EncodeToString(append(body, sig...)), nil
}

// Parse reads a lease code and checks the provider's signature on it; space around it is ignored. Errors are ErrCode, wrapped
// with what is wrong. Whether the network, the renter's key and the term suit is for the caller to check.
func Parse(s string) (Lease, error) {
	s = strings.TrimSpace(s)
	rest, ok := strings.CutPrefix(s, codePrefix)
	if !ok || len(s) > maxCode {
		return Lease{}, ErrCode
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(rest)
	if err != nil || len(raw) <= ed25519.SignatureSize {
		return Lease{}, fmt.Errorf("%w: part of it is missing or mistyped", ErrCode)
	}
	body, sig := raw[:len(raw)-ed25519.SignatureSize], raw[len(raw)-ed25519.SignatureSize:]
	l, err := decode(body)
	if err != nil {
		return Lease{}, fmt.Errorf("%w: %w", ErrCode, err)
	}
	if !ed25519.Verify(l.Provider, append([]byte(signLabel), body...), sig) {
		return Lease{}, fmt.Errorf("%w: the provider's signature doesn't match", ErrCode)
	}
	return l, nil
}

// decode reads the CBOR map, refusing unknown even keys.
func decode(body []byte) (Lease, error) {
	var keys map[uint64]cbor.RawMessage
	if err := decMode.Unmarshal(body, &keys); err != nil {
		return Lease{}, err
	}
	for k := range keys {
		if k == 0 || k > fieldsOfOne && k%2 == 0 {
			return Lease{}, fmt.Errorf("it needs a newer version of this program (field %d)", k)
		}
	}
	var p payload
	if err := decMode.Unmarshal(body, &p); err != nil {
		return Lease{}, err
	}
	l := Lease{Network: p.Network, URL: p.URL, Provider: p.Provider, Size: p.Size, Until: p.Until, Renter: p.Renter}
	if len(p.Lease) != len(l.ID) {
		return Lease{}, fmt.Errorf("lease id has %d bytes", len(p.Lease))
	}
	copy(l.ID[:], p.Lease)
	return l, l.validate()
}

func (l *Lease) validate() error {
	switch {
	case l.Network == "" || len(l.Network) > maxNetwork:
		return fmt.Errorf("network %q", l.Network)
	case len(l.Provider) != ed25519.PublicKeySize || len(l.Renter) != ed25519.PublicKeySize:
		return errors.New("a key doesn't have 32 bytes")
	case l.Size <= 0:
		return fmt.Errorf("size %d", l.Size)
	}
	return validURL(l.URL)
}

func validURL(s string) error {
	u, err := url.Parse(s)
	switch {
	case err != nil || len(s) > maxURL || u.Host == "" || u.Opaque != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return fmt.Errorf("URL %q", s)
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("URL %q is neither http nor https", s)
	case strings.HasSuffix(s, "/"):
		return fmt.Errorf("URL %q ends in a slash", s)
	}
	return nil
}
