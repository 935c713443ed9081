package keychain

import (
	"crypto/ed25519"

	"filippo.io/age"
)

// Keychain derives every key of a drive or a provider from one seed. Safe for concurrent use.
type Keychain struct{}

// New makes the keychain of a BIP39 seed for one network. Keys of different networks have nothing in common.
func New(seed [64]byte, network string) *Keychain { panic("being built") }

func (k *Keychain) Network() string                                        { panic("being built") }
func (k *Keychain) Identity() *age.X25519Identity                          { panic("being built") }
func (k *Keychain) Recipient() *age.X25519Recipient                        { panic("being built") }
func (k *Keychain) DriveID() [16]byte                                      { panic("being built") }
func (k *Keychain) HeadKey() ed25519.PrivateKey                            { panic("being built") }
func (k *Keychain) ChunkKey() [32]byte                                     { panic("being built") }
func (k *Keychain) NameKey() [32]byte                                      { panic("being built") }
func (k *Keychain) CutKey() [32]byte                                       { panic("being built") }
func (k *Keychain) LeaseKey(provider ed25519.PublicKey) ed25519.PrivateKey { panic("being built") }

// SlotName names a slot of one lease: 32 hex digits. Names of different leases or purposes can't be linked without the seed.
func (k *Keychain) SlotName(lease [16]byte, purpose string) string { panic("being built") }

// ProviderKey is a provider's identity; TokenKey signs its lease tokens.
func (k *Keychain) ProviderKey() ed25519.PrivateKey { panic("being built") }
func (k *Keychain) TokenKey() ed25519.PrivateKey    { panic("being built") }
