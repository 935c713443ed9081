package oplog

import (
	"crypto/ed25519"
	"fmt"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

const bookLabel = "cloudcoin book 1\x00"

// Book is the list of the drive's leases as one device knows them.
type Book struct {
	Drive  Drive
	Time   int64 // milliseconds since 1970
	Leases []BookLease
}

// BookLease is what is needed to reach a lease again.
type BookLease struct {
	ID          model.LeaseID
	URL         string
	ProviderKey [32]byte // ed25519
	Size        int64    // bytes
	Until       int64    // seconds since 1970
	Name        string   // for people
	Operator    string
	Country     string
}

// SignBook encodes and signs a book: the plaintext of the slot "book".
func SignBook(b *Book, key ed25519.PrivateKey) ([]byte, error) {
	body, err := encMode.Marshal(toWireBook(b))
	if err != nil {
		return nil, fmt.Errorf("encode lease book: %w", err)
	}
	if len(body) > MaxHeadBytes {
		return nil, fmt.Errorf("encode lease book of %d bytes: %w", len(body), ErrTooLong)
	}
	return sign(kindBook, bookLabel, body, key)
}

// OpenBook verifies and decodes what SignBook made.
func OpenBook(signed []byte, d Drive, key ed25519.PublicKey) (*Book, error) {
	body, err := verify(kindBook, bookLabel, signed, key)
	if err != nil {
		return nil, fmt.Errorf("open lease book: %w", err)
	}
	var w wireBook
	if err := decode(body, &w); err != nil {
		return nil, fmt.Errorf("open lease book: %w", err)
	}
	b, err := w.book()
	if err != nil {
		return nil, fmt.Errorf("open lease book: %w", err)
	}
	if b.Drive != d {
		return nil, fmt.Errorf("open lease book of drive %x on %q: %w", b.Drive.ID, b.Drive.Network, ErrForeign)
	}
	return b, nil
}
