// Package ids holds the two names that all packages of a provider share: that of a lease and that of a shard. Values are plain and safe to copy.
package ids

import (
	"encoding/hex"
	"fmt"
)

// Lease names a lease. The provider draws it at random.
type Lease [16]byte

// Shard is the RFC 9162 Merkle tree hash (SHA-256, 4 KiB leaves) of a shard's bytes.
type Shard [32]byte

func (id Lease) String() string { return hex.EncodeToString(id[:]) }
func (id Shard) String() string { return hex.EncodeToString(id[:]) }

// ParseLease reads 32 lower-case hex digits.
func ParseLease(s string) (id Lease, err error) {
	err = parse("lease id", s, id[:])
	return id, err
}

// ParseShard reads 64 lower-case hex digits.
func ParseShard(s string) (id Shard, err error) {
	err = parse("shard id", s, id[:])
	return id, err
}

// parse refuses upper case, so that a name has one spelling.
func parse(what, s string, dst []byte) error {
	if len(s) != 2*len(dst) {
		return fmt.Errorf("%s has %d characters, want %d hex digits", what, len(s), 2*len(dst))
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return fmt.Errorf("%s: %q is not a lower-case hex digit", what, c)
		}
	}
	_, err := hex.Decode(dst, []byte(s))
	return err
}
