// Package keychain derives every key of a drive or a provider from one seed.
//
// The seed is the 64 bytes that BIP39 makes of the 24 words (package phrase). Each key has a path of its own: HKDF-SHA256
// with a label, the name of the network and, where there are many keys of one kind, a context. So keys tell nothing about each other, and what is
// signed or sealed on one network is worth nothing on another. docs/formats.md has the exact bytes; golden vectors freeze them,
// since a key that comes out different is a drive that can't be read any more.
//
// A drive uses Identity and Recipient (what is sealed), DriveID, HeadKey (signed heads), ChunkKey, NameKey and CutKey (keyed hashes and cuts, which
// leave this machine only inside sealed files), LeaseKey and SlotName (what providers see: different for each provider and lease, so that they can't tell that two
// leases belong together). A provider uses ProviderKey and TokenKey. Coins have their own paths (BIP32), not here.
//
// A Keychain does no I/O and never changes; it is safe for concurrent use. It holds secrets: don't log it (its String says nothing).
package keychain
