// Package model holds the nouns of the drive that every package of sync, fs and drive shares: numbers and identifiers of
// inodes, revisions, chunks, packs, shards, leases and devices, and the records that describe inodes and packs.
//
// It imports nothing of the project and does no I/O. All values are plain data and safe to copy.
package model

import (
	"encoding/hex"
	"fmt"
	"time"
)

// Ino is an inode number: 63 bits, of which the upper 23 are the device part and the lower 40 a counter of that device.
// It is unique over all devices of a drive and is never used twice.
type Ino uint64

// RootIno is the folder at the top of every drive. Device part 0 is reserved for it.
const RootIno Ino = 1

// InoCounterBits is the width of the counter below the device part of an Ino.
const InoCounterBits = 40

// MakeIno joins a device part (1 to 1<<23-1) and a counter (1 to 1<<40-1).
func MakeIno(devicePart uint32, counter uint64) Ino {
	return Ino(uint64(devicePart)<<InoCounterBits | counter&(1<<InoCounterBits-1))
}

// DevicePart is the part of the number that tells which device made the inode.
func (i Ino) DevicePart() uint32 { return uint32(i >> InoCounterBits) }

// Rev is a revision: a hybrid logical clock in microseconds since 1970, strictly increasing on one device.
// It stays below 1<<53, so that JSON numbers carry it whole. Zero means "none"; MaxRev means "newest".
type Rev uint64

// MaxRev is above every revision.
const MaxRev Rev = 1<<53 - 1

// Time is the moment at which the revision was made, by the clock of the device that made it.
func (r Rev) Time() time.Time { return time.UnixMicro(int64(r)) }

// RevAt is the last revision that can have been made at or before t.
func RevAt(t time.Time) Rev {
	us := t.UnixMicro()
	switch {
	case us < 0:
		return 0
	case us > int64(MaxRev):
		return MaxRev
	}
	return Rev(us)
}

// ChunkID is the keyed BLAKE3-256 hash of a chunk's plaintext: only who holds the drive's chunk key can compute it.
type ChunkID [32]byte

// ShardID is the RFC 9162 Merkle tree hash (SHA-256, 4 KiB leaves) of a shard's bytes.
type ShardID [32]byte

// PackID names a pack for its whole life, also when it is coded anew. It is random.
type PackID [16]byte

// LeaseID names a lease. The provider chooses it at random.
type LeaseID [16]byte

// DeviceID names a device of a drive. It is random.
type DeviceID [8]byte

func (id ChunkID) String() string  { return hex.EncodeToString(id[:]) }
func (id ShardID) String() string  { return hex.EncodeToString(id[:]) }
func (id PackID) String() string   { return hex.EncodeToString(id[:]) }
func (id LeaseID) String() string  { return hex.EncodeToString(id[:]) }
func (id DeviceID) String() string { return hex.EncodeToString(id[:]) }

// ParseShardID reads the 64 hex digits of a shard id.
func ParseShardID(s string) (id ShardID, err error) {
	err = parseHex("shard id", s, id[:])
	return id, err
}

// ParsePackID reads the 32 hex digits of a pack id.
func ParsePackID(s string) (id PackID, err error) {
	err = parseHex("pack id", s, id[:])
	return id, err
}

// ParseLeaseID reads the 32 hex digits of a lease id.
func ParseLeaseID(s string) (id LeaseID, err error) {
	err = parseHex("lease id", s, id[:])
	return id, err
}

// ParseDeviceID reads the 16 hex digits of a device id.
func ParseDeviceID(s string) (id DeviceID, err error) {
	err = parseHex("device id", s, id[:])
	return id, err
}

func parseHex(what, s string, dst []byte) error {
	if len(s) != 2*len(dst) {
		return fmt.Errorf("%s has %d characters, want %d hex digits", what, len(s), 2*len(dst))
	}
	if _, err := hex.Decode(dst, []byte(s)); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
