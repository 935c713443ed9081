// Package token signs and checks what provider and drive show each other: lease tokens and receipts.
//
// A [Token] is a JWT that a provider issues to the holder of a lease: what may be done with which lease, until when. It is short-lived and
// bound to one network and one provider, so that it is worth nothing elsewhere. A [Receipt] is a compact JWS by the provider's identity: this shard is
// durable on my disk. It doesn't expire: it is evidence.
//
// Both are signed with Ed25519 ("EdDSA"); no other algorithm is ever accepted, and the header's type keeps one from being taken
// for the other. What is longer than [MaxLen] is refused unread. docs/formats.md lists the members.
//
// Everything here is a pure function of its arguments; the present time is one of them.
package token
