// Package erasure codes packs into shards.
package erasure
