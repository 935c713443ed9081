package token

import (
	"crypto/ed25519"
	"time"
)

// MaxLen bounds the length of a token, proof or receipt in bytes. Longer ones are refused unread.
const MaxLen = 2048

// Rights is a set of things that a lease token allows.
type Rights uint8

const (
	Read   Rights = 1 << iota // GET, HEAD, existence, listing, usage, range proofs, slots' contents
	Write                     // PUT of shards and slots
	Delete                    // DELETE of shards and slots
)

// Token says what the holder of a key may do with one lease until it expires.
type Token struct {
	Provider  ed25519.PublicKey // identity of the provider
	Holder    ed25519.PublicKey // lease key of the drive
	Network   string
	Lease     [16]byte
	Rights    Rights
	Quota     int64     // bytes
	NotBefore time.Time // whole seconds
	Expires   time.Time // whole seconds
}

// Issue signs a token with the provider's token key.
func Issue(t *Token, key ed25519.PrivateKey) (string, error) { panic("being built") }

// Verify checks signature, kind, network, provider and times. signer is the public half of the key that Issue was given.
func Verify(s string, signer, provider ed25519.PublicKey, network string, now time.Time) (*Token, error) {
	panic("being built")
}

// Proof proves to one provider that the sender holds a key, for one purpose and a short time.
type Proof struct {
	Holder   ed25519.PublicKey
	Provider ed25519.PublicKey
	Network  string
	Purpose  string // what is asked, e.g. "leases" or "token"; at most 64 bytes
	Nonce    string // what the provider gave to be signed, or empty; at most 64 bytes
	Issued   time.Time
	Expires  time.Time
}

// Prove signs p with the holder's key; p.Holder is set from it.
func Prove(p *Proof, holder ed25519.PrivateKey) (string, error) { panic("being built") }

// VerifyProof checks a proof made for this provider, network and purpose. The caller compares Nonce.
func VerifyProof(s string, provider ed25519.PublicKey, network, purpose string, now time.Time) (*Proof, error) {
	panic("being built")
}

// Receipt is the provider's word that a shard is durable on its disk.
type Receipt struct {
	Provider ed25519.PublicKey
	Network  string
	Lease    [16]byte
	Shard    [32]byte
	Size     int64     // bytes
	Time     time.Time // whole seconds
}

// SignReceipt signs with the provider's identity key.
func SignReceipt(r *Receipt, key ed25519.PrivateKey) (string, error) { panic("being built") }

// VerifyReceipt checks that provider signed a receipt on network. The caller compares lease, shard and size with what it sent.
func VerifyReceipt(s string, provider ed25519.PublicKey, network string) (*Receipt, error) {
	panic("being built")
}
