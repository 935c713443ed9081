package merkle

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"math/bits"
)

// ErrProof is returned when data and proof don't lead to the root.
var ErrProof = errors.New("data and proof don't match the tree hash")

// ErrRange is returned when a range is not aligned to leaves or not inside the size.
var ErrRange = errors.New("range is not aligned to leaves or beyond the end")

// MaxProof is the greatest number of hashes that a proof can have.
const MaxProof = 2 * 64

// Proofs are made and checked by the same walk: from the root down, left before right. A subtree outside the range is one hash of the
// proof; a subtree inside it is hashed from the data; one that is both is split where RFC 9162 splits it.

// leafRange turns a byte range into the leaves [a, b).
func leafRange(size, off, n int64) (a, b int64, err error) {
	switch {
	case size < 0 || off < 0 || n < 0 || off > size || n > size-off:
	case off%LeafSize != 0 || (n%LeafSize != 0 && off+n != size):
	case n == 0 && size != 0:
	default:
		return off / LeafSize, Leaves(off + n), nil
	}
	return 0, 0, fmt.Errorf("%d bytes at %d of %d: %w", n, off, size, ErrRange)
}

// split is the number of leaves in the left subtree of n leaves: the largest power of two below n.
func split(n int64) int64 {
	return 1 << (bits.Len64(uint64(n-1)) - 1)
}

// ProveRange gives the proof for n bytes at off of src, which has size bytes. off is a multiple of LeafSize, and n is one too unless the
// range reaches the end; n is not 0 unless size is. Of src it reads what the outline doesn't tell; outline may be nil. The bytes of the range itself
// are not read. It fails with ErrRange, or with src's error.
func ProveRange(src io.ReaderAt, size int64, outline *Outline, off, n int64) ([]Hash, error) {
	a, b, err := leafRange(size, off, n)
	if err != nil {
		return nil, err
	}
	if outline != nil && !outline.fits(size) {
		return nil, fmt.Errorf("outline of %d bytes with %d hashes doesn't fit %d bytes", outline.Size, len(outline.Hashes), size)
	}
	p := prover{src: src, size: size, outline: outline, a: a, b: b}
	if err := p.walk(0, Leaves(size)); err != nil {
		return nil, err
	}
	return p.proof, nil
}

type prover struct {
	src     io.ReaderAt
	size    int64
	outline *Outline
	a, b    int64 // leaves of the range
	proof   []Hash
	hasher  Hasher
	buf     []byte
}

func (p *prover) walk(lo, hi int64) error {
	switch {
	case p.a <= lo && hi <= p.b: // inside, or the empty tree
		return nil
	case hi <= p.a || p.b <= lo:
		h, err := p.subtree(lo, hi)
		if err != nil {
			return err
		}
		p.proof = append(p.proof, h)
		return nil
	}
	mid := lo + split(hi-lo)
	if err := p.walk(lo, mid); err != nil {
		return err
	}
	return p.walk(mid, hi)
}

// subtree is the hash of the leaves [lo, hi), from the outline when it has them.
func (p *prover) subtree(lo, hi int64) (Hash, error) {
	if h, ok := p.outline.subtree(lo, hi); ok {
		return h, nil
	}
	if p.outline != nil && hi-lo > 1<<p.outline.Level {
		mid := lo + split(hi-lo)
		left, err := p.subtree(lo, mid)
		if err != nil {
			return Hash{}, err
		}
		right, err := p.subtree(mid, hi)
		if err != nil {
			return Hash{}, err
		}
		return p.hasher.node(&left, &right), nil
	}
	return p.read(lo*LeafSize, min(hi*LeafSize, p.size))
}

func (p *prover) read(from, to int64) (Hash, error) {
	if p.buf == nil {
		p.buf = make([]byte, 64<<10)
	}
	p.hasher.Reset()
	for from < to {
		b := p.buf[:min(int64(len(p.buf)), to-from)]
		if n, err := p.src.ReadAt(b, from); n < len(b) {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return Hash{}, fmt.Errorf("read %d bytes at %d: %w", len(b), from, err)
		}
		p.hasher.Write(b)
		from += int64(len(b))
	}
	return p.hasher.Sum(), nil
}

// VerifyRange checks that data are the bytes at off of the size bytes whose tree hash is root. The errors are ErrRange and ErrProof.
func VerifyRange(root Hash, size, off int64, data []byte, proof []Hash) error {
	a, b, err := leafRange(size, off, int64(len(data)))
	if err != nil {
		return err
	}
	v := verifier{data: data, proof: proof, a: a, b: b}
	got, ok := v.walk(0, Leaves(size))
	if !ok || len(v.proof) != 0 || subtle.ConstantTimeCompare(got[:], root[:]) != 1 {
		return fmt.Errorf("%d bytes at %d of %d: %w", len(data), off, size, ErrProof)
	}
	return nil
}

type verifier struct {
	data   []byte
	proof  []Hash // not used yet
	a, b   int64
	hasher Hasher
}

func (v *verifier) walk(lo, hi int64) (Hash, bool) {
	switch {
	case lo == hi:
		return sha256.Sum256(nil), true
	case v.a <= lo && hi <= v.b:
		from := (lo - v.a) * LeafSize
		v.hasher.Reset()
		v.hasher.Write(v.data[from:min(from+(hi-lo)*LeafSize, int64(len(v.data)))])
		return v.hasher.Sum(), true
	case hi <= v.a || v.b <= lo:
		if len(v.proof) == 0 {
			return Hash{}, false
		}
		h := v.proof[0]
		v.proof = v.proof[1:]
		return h, true
	}
	mid := lo + split(hi-lo)
	left, ok := v.walk(lo, mid)
	if !ok {
		return Hash{}, false
	}
	right, ok := v.walk(mid, hi)
	if !ok {
		return Hash{}, false
	}
	return v.hasher.node(&left, &right), true
}

// AppendProof appends the wire form of a proof to b: its hashes one after the other, 32 bytes each.
func AppendProof(b []byte, proof []Hash) []byte {
	for i := range proof {
		b = append(b, proof[i][:]...)
	}
	return b
}

// ParseProof reads the wire form of a proof. It refuses a length that no proof has.
func ParseProof(b []byte) ([]Hash, error) {
	if len(b)%32 != 0 || len(b) > 32*MaxProof {
		return nil, fmt.Errorf("a range proof of %d bytes: want a multiple of 32, at most %d", len(b), 32*MaxProof)
	}
	proof := make([]Hash, len(b)/32)
	for i := range proof {
		proof[i] = Hash(b[32*i:])
	}
	return proof, nil
}
