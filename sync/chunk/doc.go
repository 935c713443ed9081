// Package chunk cuts contents into chunks at boundaries that the content itself determines, and names chunks.
//
// Content that was moved inside a file, or copied to another, cuts into the same chunks again, so it is stored once. Boundaries come from a keyed
// FastCDC (PlakarKorp/go-cdc-chunkers, "fastcdc-v1.0.0"): without the drive's key nobody can tell from the lengths of chunks which file
// they are of. Chunks have [Min] to [Max] bytes (the last of a file may be shorter), 1.17 MiB on average on random bytes; a file of up to Min bytes is one chunk.
// A chunk is named by the keyed BLAKE3-256 hash of its bytes ([ID]).
//
// [Splitter.Split] cuts a stream. [Splitter.Recut] cuts again only what changes of a file make necessary: a small change in a huge file costs about one
// chunk. Both hold one buffer of 8 MiB, from a pool, while they run, and call a function for each chunk with its bytes.
//
// A boundary depends only on the key and the bytes from the beginning of its chunk on, which is what makes Recut possible.
package chunk
