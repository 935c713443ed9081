package seal

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"
)

// ErrOpen is returned when sealed bytes don't authenticate: they were damaged, cut, or sealed to somebody else.
var ErrOpen = errors.New("sealed data doesn't authenticate")

// ErrTooLong is returned by OpenBytes when the plaintext is longer than its limit.
var ErrTooLong = errors.New("sealed data is longer than allowed")

// Seal returns a writer that seals to dst as one age file. Close ends the file and doesn't close dst; without it the file doesn't open.
func Seal(dst io.Writer, to *age.X25519Recipient) (io.WriteCloser, error) {
	w, err := age.Encrypt(dst, to)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return w, nil
}

// Open returns the plaintext of a whole age file as a stream. Bytes are given out as soon as their block authenticates; the end is
// proven only by io.EOF. Errors of reading wrap ErrOpen or are src's own.
func Open(src io.Reader, id age.Identity) (io.Reader, error) {
	s := &source{Reader: src}
	r, err := age.Decrypt(s, id)
	if err != nil {
		return nil, s.blame(err)
	}
	return &opened{r: r, src: s}, nil
}

// source remembers the error of a reader, to tell broken transport from broken data.
type source struct {
	io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

func (s *source) blame(err error) error {
	if s.err != nil {
		return fmt.Errorf("open sealed data: %w", s.err)
	}
	return fmt.Errorf("%w: %w", ErrOpen, err)
}

type opened struct {
	r   io.Reader
	src *source
}

func (o *opened) Read(p []byte) (int, error) {
	n, err := o.r.Read(p)
	if err != nil && err != io.EOF {
		err = o.src.blame(err)
	}
	return n, err
}

// SealBytes seals a blob that fits memory, as one age file of SealedSize(len(plain)) bytes.
func SealBytes(plain []byte, to *age.X25519Recipient) ([]byte, error) {
	var buf bytes.Buffer
	buf.Grow(int(SealedSize(int64(len(plain)))))
	w, err := Seal(&buf, to)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(plain); err != nil {
		return nil, fmt.Errorf("seal %d bytes: %w", len(plain), err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("seal %d bytes: %w", len(plain), err)
	}
	return buf.Bytes(), nil
}

// OpenBytes opens what SealBytes made. It refuses more than limit bytes of plaintext with ErrTooLong before it opens anything, and
// all else that is wrong with ErrOpen.
func OpenBytes(sealed []byte, id age.Identity, limit int) ([]byte, error) {
	if plain, ok := PlainFor(int64(len(sealed))); ok && plain > int64(limit) {
		return nil, fmt.Errorf("%d bytes, limit %d: %w", plain, limit, ErrTooLong)
	}
	r, err := Open(bytes.NewReader(sealed), id)
	if err != nil {
		return nil, err
	}
	plain := make([]byte, 0, min(limit, len(sealed))+1)
	for len(plain) <= limit {
		if len(plain) == cap(plain) {
			return nil, fmt.Errorf("more plaintext than sealed bytes: %w", ErrOpen)
		}
		n, err := r.Read(plain[len(plain):cap(plain)])
		plain = plain[:len(plain)+n]
		if err == io.EOF && len(plain) <= limit {
			return plain, nil
		}
		if err != nil && err != io.EOF {
			return nil, err
		}
	}
	return nil, fmt.Errorf("more than %d bytes: %w", limit, ErrTooLong)
}
