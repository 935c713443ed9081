package oplog

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"filippo.io/age"

	"github.com/cloudcoin/cloudcoin/crypto/seal"
)

// Seal seals a short plaintext (a signed head or book, a copied segment): length, plaintext and zeros up to a padded length, in one age
// file. Two calls never give equal bytes.
func Seal(plain []byte, to *age.X25519Recipient) ([]byte, error) {
	padded := make([]byte, Padded(4+len(plain)))
	binary.BigEndian.PutUint32(padded, uint32(len(plain)))
	copy(padded[4:], plain)
	sealed, err := seal.SealBytes(padded, to)
	if err != nil {
		return nil, fmt.Errorf("seal %d bytes of log: %w", len(plain), err)
	}
	return sealed, nil
}

// Open opens what Seal made, up to limit bytes.
func Open(sealed []byte, id age.Identity, limit int) ([]byte, error) {
	padded, err := seal.OpenBytes(sealed, id, Padded(4+limit))
	if err != nil {
		return nil, fmt.Errorf("open %d bytes of log: %w", len(sealed), err)
	}
	if len(padded) < 4 {
		return nil, fmt.Errorf("open log: %w: %d bytes", ErrFormat, len(padded))
	}
	n := binary.BigEndian.Uint32(padded)
	if int64(n) > int64(len(padded)-4) || int64(n) > int64(limit) {
		return nil, fmt.Errorf("open log: %w: %d bytes in %d", ErrFormat, n, len(padded))
	}
	return padded[4 : 4+n], nil
}

// Padded is the length that n bytes are padded to: at least 512, and otherwise the next number with at most four significant bits,
// so that at most an eighth is padding and lengths tell little.
func Padded(n int) int {
	if n <= 512 {
		return 512
	}
	unit := 1 << (bits.Len(uint(n)) - 4)
	return (n + unit - 1) / unit * unit
}
