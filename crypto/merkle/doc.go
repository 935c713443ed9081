// Package merkle is the tree hash of shards and the proofs of their ranges.
//
// The hash is the Merkle Tree Hash of RFC 9162, section 2.1.1, with SHA-256, over leaves of 4 KiB; the last leaf may be shorter.
// A leaf hashes to SHA-256(0x00 || bytes), a node to SHA-256(0x01 || left || right), no bytes at all to SHA-256 of nothing.
// The hash of a shard is its id, so a provider can check a shard while it receives it, and a drive can check a range of it
// that comes with the hashes of the subtrees beside the range.
//
// A [Hasher] computes the hash of a stream; its memory grows with the logarithm of the length. When it is told to keep a level it
// also makes an [Outline], with which [ProveRange] reads only the edges of a range instead of the whole shard. [VerifyRange] checks a
// range against the id; it trusts nothing but the id and the size, which whoever stored the shard has remembered.
//
// Functions are pure. A Hasher is for one goroutine at a time; an Outline is read-only and safe for concurrent use.
package merkle
