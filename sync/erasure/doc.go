// Package erasure codes packs into shards and back (Reed-Solomon over GF(2^8), klauspost/reedsolomon's default Vandermonde matrix).
//
// The k data shards are plain consecutive slices of the age file, so `cat` of them is the age file, and a range of the file is a range of one or two
// shards. The m parity shards are computed byte by byte: byte i of a parity shard depends on byte i of the data shards only. So any k
// shards give all others back, and equal byte ranges of any k shards give that range of all others ([ReconstructRange]).
//
// The functions are pure and safe for concurrent use; coding matrices are kept for the codings that were used last.
package erasure
