// Package pack gathers chunks into packs: age files of up to 16 MiB that are coded into shards.
//
// Small files would drown in requests and in age headers, so chunks travel together. A [Builder] seals while it is filled: what it holds in memory
// is the age file, once. [Builder.Finish] pads the plaintext so that the age file is exactly k times the length of a shard, a multiple
// of 4 KiB, and so that its length is one of few ([Class]): it tells the size of a small file only to the next power of two, at least 64 KiB.
//
// The plaintext describes itself, so that the stock age tool and docs/formats.md are enough to get the chunks back without this program:
//
//	chunks, one after the other from offset 0 | zeros | table, 40 bytes for each chunk | footer, 24 bytes
//
// [ReadTable] reads the table from the end. What the padding costs: below 1 MiB up to half of the file, above it at most 256 KiB; on full packs
// of chunks of 1 MiB about 1 %.
//
// A Builder is for one goroutine at a time. A [Sealed] pack's memory goes back to a pool by Release. Nothing here touches disk or network.
package pack
