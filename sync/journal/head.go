package journal

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
)

const (
	headName  = "head"
	headMagic = "CCJHEAD1"
	headSize  = 80
)

// session names a run of the program by what decides whether the page cache lived on since.
type session struct {
	epoch uint32 // counts sessions
	boot  [16]byte
	mount uint64
}

// samePageCache tells whether what b's run handed to the operating system is still there in a's.
func (s session) samePageCache(b session) bool {
	return s.boot == b.boot && s.mount == b.mount && s.boot != [16]byte{}
}

func hashBoot(id string) (h [16]byte) {
	if id == "" {
		return h
	}
	sum := sha256.Sum256([]byte(id))
	copy(h[:], sum[:])
	return h
}

func (s session) append(p []byte) []byte {
	p = binary.LittleEndian.AppendUint32(p, s.epoch)
	p = binary.LittleEndian.AppendUint32(p, 0)
	p = binary.LittleEndian.AppendUint64(p, s.mount)
	return append(p, s.boot[:]...)
}

const sessionSize = 32

func parseSession(p []byte) (s session) {
	s.epoch = binary.LittleEndian.Uint32(p)
	s.mount = binary.LittleEndian.Uint64(p[8:])
	copy(s.boot[:], p[16:32])
	return s
}

// head is what the file "head" says: from where to replay, and what must be there at least.
type head struct {
	checkpoint LSN
	cpSegment  uint64 // segment that holds the checkpoint
	segment    uint64 // newest segment whose header is durable
	durable    LSN
	by         session
}

func (h head) encode() []byte {
	p := make([]byte, 0, headSize)
	p = append(p, headMagic...)
	p = binary.LittleEndian.AppendUint64(p, uint64(h.checkpoint))
	p = binary.LittleEndian.AppendUint64(p, h.cpSegment)
	p = binary.LittleEndian.AppendUint64(p, h.segment)
	p = binary.LittleEndian.AppendUint64(p, uint64(h.durable))
	p = h.by.append(p)
	p = binary.LittleEndian.AppendUint32(p, crc32.Checksum(p, castagnoli))
	return binary.LittleEndian.AppendUint32(p, 0)
}

func parseHead(p []byte) (h head, err error) {
	if len(p) != headSize || string(p[:8]) != headMagic {
		return h, errors.New("not a journal's head")
	}
	if crc32.Checksum(p[:72], castagnoli) != binary.LittleEndian.Uint32(p[72:]) || binary.LittleEndian.Uint32(p[76:]) != 0 {
		return h, errors.New("checksum does not match")
	}
	le := binary.LittleEndian
	return head{
		checkpoint: LSN(le.Uint64(p[8:])), cpSegment: le.Uint64(p[16:]), segment: le.Uint64(p[24:]),
		durable: LSN(le.Uint64(p[32:])), by: parseSession(p[40:]),
	}, nil
}

// readHead returns fs.ErrNotExist when there is none.
func (j *Journal) readHead() (head, error) {
	b, err := os.ReadFile(j.path(headName))
	if err != nil {
		return head{}, err
	}
	h, err := parseHead(b)
	if err != nil {
		return head{}, &DamageError{j.path(headName), 0, err.Error()}
	}
	return h, nil
}

// writeHead replaces the head; it is durable on return. headMu is held.
func (j *Journal) writeHead(h head) error {
	tmp := j.path(headName + ".tmp")
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(h.encode())
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(tmp, j.path(headName))
	}
	if err != nil {
		if rm := os.Remove(tmp); rm != nil && !errors.Is(rm, fs.ErrNotExist) {
			err = errors.Join(err, rm)
		}
		return fmt.Errorf("write the journal's head: %w", err)
	}
	return syncDir(j.dir)
}
