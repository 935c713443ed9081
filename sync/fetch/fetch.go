// Package fetch turns stored content into bytes: extents, chunks, packs, age blocks, shards.
package fetch
