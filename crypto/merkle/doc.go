// Package merkle is the tree hash of shards and its range proofs.
package merkle
