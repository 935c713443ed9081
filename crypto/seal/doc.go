// Package seal makes and opens age files: everything that leaves this machine goes through it.
//
// Sealed files are ordinary age files (age-encryption.org/v1, C2SP) to one X25519 recipient, so the stock age tool opens them with the drive's identity.
// Such a file is a header of [HeaderLen] bytes (which wraps the file key, and ends with a nonce) and a payload of blocks: 64 KiB of plaintext
// become 65,552 bytes. Only the last block may be shorter, and it is marked, so that a cut file doesn't open.
//
// Sealing and opening as a stream are age's own ([Seal], [Open], [SealBytes], [OpenBytes]). A drive reads small ranges of 16 MiB packs
// from far away, and for this an [Opener] holds one file's unwrapped key: [Opener.CipherRange] tells which bytes to fetch,
// [Opener.OpenInto] and [Opener.OpenBlocks] open them. age unwraps and checks the header; the blocks are opened here, since
// age's own reader at offsets allocates for each block and unwraps the header for each source. A [Cache] keeps openers by pack.
//
// Size arithmetic is exact: [SealedSize] and [PlainFor] are inverse to each other wherever an age file of that length exists.
//
// Opener, Cache and the readers of OpenAt are safe for concurrent use. Nothing here touches a disk.
package seal
