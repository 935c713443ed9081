package keychain

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"filippo.io/age"
)

// salt separates this use of the seed from all others. A change of how keys are derived changes it.
const salt = "cloudcoin keychain v1"

// The labels of the keys. Never changed, never reused.
const (
	labelIdentity = "age identity"
	labelDriveID  = "drive id"
	labelHead     = "head signing"
	labelChunk    = "chunk id"
	labelName     = "name hash"
	labelCut      = "chunk boundary"
	labelLease    = "lease key"
	labelSlot     = "slot name"
	labelProvider = "provider identity"
	labelToken    = "provider token"
)

// Keychain derives every key of a drive or a provider from one seed.
type Keychain struct {
	network  string
	prk      []byte
	identity *age.X25519Identity
}

// New makes the keychain of a BIP39 seed for one network (its name, as in node/params). Keys of different networks have nothing in common.
func New(seed [64]byte, network string) *Keychain {
	prk, err := hkdf.Extract(sha256.New, seed[:], []byte(salt))
	if err != nil {
		panic("keychain: " + err.Error()) // no input leads here
	}
	k := &Keychain{network: network, prk: prk}
	secret := k.key(labelIdentity)
	k.identity, err = age.ParseX25519Identity(encodeIdentity(secret))
	if err != nil {
		panic("keychain: " + err.Error()) // age takes every 32 bytes that are encoded well
	}
	return k
}

// expand derives n bytes (at most 8160) for a purpose. Labels and network names hold no zero byte, so no two purposes have one info.
func (k *Keychain) expand(label string, context []byte, n int) []byte {
	info := label + "\x00" + k.network + "\x00" + string(context)
	b, err := hkdf.Expand(sha256.New, k.prk, info, n)
	if err != nil {
		panic("keychain: " + err.Error()) // only for lengths that nobody here asks for
	}
	return b
}

func (k *Keychain) key(label string) [32]byte {
	return [32]byte(k.expand(label, nil, 32))
}

func (k *Keychain) signing(label string, context []byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(k.expand(label, context, ed25519.SeedSize))
}

// Network is the name that the keychain was made for.
func (k *Keychain) Network() string { return k.network }

// String hides the keys from logs.
func (k *Keychain) String() string { return "keychain of " + k.network }

// GoString hides the keys from %#v.
func (k *Keychain) GoString() string { return k.String() }

// Identity opens what is sealed to Recipient. Its String is what `age -d -i` reads.
func (k *Keychain) Identity() *age.X25519Identity { return k.identity }

// Recipient is whom everything of this drive is sealed to.
func (k *Keychain) Recipient() *age.X25519Recipient { return k.identity.Recipient() }

// DriveID names the drive. It leaves this machine only inside sealed or signed things that providers can't read.
func (k *Keychain) DriveID() [16]byte { return [16]byte(k.expand(labelDriveID, nil, 16)) }

// HeadKey signs the heads of the drive's logs.
func (k *Keychain) HeadKey() ed25519.PrivateKey { return k.signing(labelHead, nil) }

// ChunkKey keys the hash that names chunks, so that nobody else can test whether a known file is stored.
func (k *Keychain) ChunkKey() [32]byte { return k.key(labelChunk) }

// NameKey keys the hash of names inside folders.
func (k *Keychain) NameKey() [32]byte { return k.key(labelName) }

// CutKey keys the boundaries between chunks, so that their lengths tell nothing about a known file.
func (k *Keychain) CutKey() [32]byte { return k.key(labelCut) }

// LeaseKey holds the leases with one provider. Without the seed nobody can tell that two of these keys have one owner.
func (k *Keychain) LeaseKey(provider ed25519.PublicKey) ed25519.PrivateKey {
	return k.signing(labelLease, provider)
}

// SlotName names a slot of one lease: 32 hex digits. Names of different leases or purposes can't be linked without the seed.
func (k *Keychain) SlotName(lease [16]byte, purpose string) string {
	return hex.EncodeToString(k.expand(labelSlot, append(lease[:], purpose...), 16))
}

// ProviderKey is a provider's identity: it signs receipts, offers and contracts, and its public half pins the file server's certificate.
func (k *Keychain) ProviderKey() ed25519.PrivateKey { return k.signing(labelProvider, nil) }

// TokenKey signs a provider's lease tokens.
func (k *Keychain) TokenKey() ed25519.PrivateKey { return k.signing(labelToken, nil) }

// encodeIdentity writes a secret as age does: Bech32 (BIP173) with the human-readable part AGE-SECRET-KEY-, in upper case.
// age's package makes identities only at random or from this text.
func encodeIdentity(secret [32]byte) string {
	return strings.ToUpper(bech32("age-secret-key-", secret[:]))
}
