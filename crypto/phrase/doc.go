// Package phrase turns 24 words into a seed and back (BIP39, English list, 256 bits of entropy).
//
// The words are all that a person keeps. [New] draws them, [Parse] reads them back from whatever a person typed or pasted, and
// [Phrase.Seed] gives the 64 bytes from which package keychain derives every key. No BIP39 passphrase is used: a second secret that
// can't be checked is one more way to lose a drive.
//
// Errors help to find the slip: [*CountError] says how many words there are, [*WordError] names the wrong word and the nearest right one, and
// [*ChecksumError] says that all words exist but one is not the right one; it proposes a correction only when exactly one
// near one fits the checksum. Their messages contain words of the phrase where nothing else helps, so they are for the person at the terminal, not for logs.
package phrase
