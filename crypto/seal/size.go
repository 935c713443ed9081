package seal

import "golang.org/x/crypto/chacha20poly1305"

const (
	// BlockSize is the number of plaintext bytes in every block but the last.
	BlockSize = 64 << 10
	// Overhead is the number of bytes by which a block grows.
	Overhead = chacha20poly1305.Overhead
	// SealedBlock is the length of every sealed block but the last.
	SealedBlock = BlockSize + Overhead
	// HeaderLen is the number of bytes before the first block of a file sealed to one X25519 recipient: the header proper and a nonce.
	HeaderLen = 168 + nonceLen

	nonceLen = 16
)

// SealedSize is the length of the age file of plain bytes of plaintext.
func SealedSize(plain int64) int64 {
	return HeaderLen + plain + Overhead*blocks(plain)
}

// blocks is the number of blocks of plain bytes; an empty plaintext has one.
func blocks(plain int64) int64 {
	return max(1, (plain+BlockSize-1)/BlockSize)
}

// PlainFor is the length of the plaintext whose age file has exactly total bytes; false when there is none (a last block of no bytes is only allowed
// as the only one, so 16 in 65,552 lengths don't occur).
func PlainFor(total int64) (int64, bool) {
	return plainLen(total - HeaderLen)
}

func plainLen(payload int64) (int64, bool) {
	if payload < Overhead {
		return 0, false
	}
	n := (payload + SealedBlock - 1) / SealedBlock
	plain := payload - n*Overhead
	return plain, blocks(plain) == n
}

// CipherRange is the range of an age file that must be read to open n bytes of plaintext at off: whole blocks. headerLen is the number of bytes before
// the first block, total the length of the file. A range beyond the end is cut; an empty one needs no bytes.
func CipherRange(headerLen int, total, off, n int64) (coff, clen int64) {
	h := int64(headerLen)
	plain, ok := plainLen(total - h)
	if !ok || off < 0 || n <= 0 || off >= plain {
		return h, 0
	}
	n = min(n, plain-off)
	first, last := off/BlockSize, (off+n-1)/BlockSize
	coff = h + first*SealedBlock
	return coff, min(h+(last+1)*SealedBlock, total) - coff
}

// LastBlock is the range of the last block of an age file: what is kept as a pack's tail.
func LastBlock(headerLen int, total int64) (coff, clen int64) {
	payload := total - int64(headerLen)
	n := max(0, (payload-1)/SealedBlock)
	coff = int64(headerLen) + n*SealedBlock
	return coff, total - coff
}
