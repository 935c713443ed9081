// Package oplog holds what a drive writes down for its other machines and for its own recovery: groups of index records, segments
// and checkpoints made of groups, and the signed heads that say which of them count.
//
// # Nouns
//
// A Group is one batch of the index: its revision, the device that made it, its records. It becomes visible whole or not at all.
//
// A segment is a CBOR sequence: a Header, then groups. Segments of one device are numbered and chained by hash. Several neighbours
// may be folded into one (Header.First to Header.Last), so that a head stays short and recovery asks for few blobs.
// A checkpoint is written in the same form and holds every published record of the index.
//
// A Blob says where the bytes of a segment or checkpoint are: copied to every lease when they are short (each copy sealed by itself, so
// that providers can't tell by equal bytes that two leases belong together), coded into packs like file contents when they are long.
//
// A Head is the one mutable thing of a device: counter, chain of earlier heads, the checkpoint and the segments since. It is signed by
// the drive's head key, sealed, and lies in a slot of every lease. A head with a counter below one that was seen, or with the same
// counter and other bytes, is noticed by Compare.
//
// A Book is the list of leases, sealed and signed in the same way: from one lease of a drive one finds all.
//
// # What this package doesn't do
//
// It does no I/O but for the readers and writers that it is given; it knows no provider and no index. Everything is safe for
// concurrent use but for a Writer and a Reader, which belong to one goroutine each. All decoders are bounded: what they refuse is
// ErrFormat; a signature, network or drive that doesn't fit is ErrForeign.
package oplog
