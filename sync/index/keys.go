package index

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

// First bytes of the keys; docs/formats.md has what follows each.
const (
	pInode  = 'i'
	pDirent = 'd'
	pXattr  = 'a'
	pExtent = 'e'
	pChunk  = 'k'
	pNumber = 'n'
	pPack   = 'p'
	pList   = 'l'
	pStaged = 'u'
	pOutbox = 'o'
	pMeta   = 'm'
	pState  = 'c'
	pPad    = 'z'
)

const (
	revLen    = 7 // bytes of an inverted revision
	revMask   = 1<<56 - 1
	inodeKey  = 1 + 8 + revLen
	extentKey = 1 + 8 + 8 + revLen
	direntMin = 1 + 8 + 8
)

var be = binary.BigEndian

// appendRev adds the inverted revision, so that newer ones come first.
func appendRev(k []byte, r model.Rev) []byte {
	v := ^uint64(r) & revMask
	return append(k, byte(v>>48), byte(v>>40), byte(v>>32), byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
}

// revOf reads the revision at the end of a key.
func revOf(k []byte) model.Rev {
	k = k[len(k)-revLen:]
	v := uint64(k[0])<<48 | uint64(k[1])<<40 | uint64(be.Uint32(k[2:]))<<8 | uint64(k[6])
	return model.Rev(^v & revMask)
}

func inoPrefix(p byte, ino model.Ino) []byte {
	return be.AppendUint64(append(make([]byte, 0, 32), p), uint64(ino))
}

func kInode(ino model.Ino, r model.Rev) []byte { return appendRev(inoPrefix(pInode, ino), r) }

func kExtent(ino model.Ino, off int64, r model.Rev) []byte {
	return appendRev(be.AppendUint64(inoPrefix(pExtent, ino), uint64(off)), r)
}

// direntPrefix is the key of a name without the revision.
func (x *Index) direntPrefix(parent model.Ino, name string) []byte {
	k := make([]byte, 0, direntMin+len(name)+1+revLen)
	k = be.AppendUint64(append(k, pDirent), uint64(parent))
	k = be.AppendUint64(k, x.cookie(name))
	return append(append(k, name...), 0)
}

// cookie is the place of a name in listings: a keyed hash of 63 bits. The lowest ones are left to "." and "..".
func (x *Index) cookie(name string) uint64 {
	buf := append(make([]byte, 0, 32+256), x.opt.HashKey[:]...)
	sum := sha256.Sum256(append(buf, name...))
	return be.Uint64(sum[:])>>1 | 16
}

func xattrPrefix(ino model.Ino, name string) []byte {
	return append(append(inoPrefix(pXattr, ino), name...), 0)
}

func kChunk(id model.ChunkID) []byte { return append([]byte{pChunk}, id[:]...) }
func kNumber(no uint64) []byte       { return be.AppendUint64(append(make([]byte, 0, 9), pNumber), no) }
func kPack(id model.PackID) []byte   { return append([]byte{pPack}, id[:]...) }
func kList(id model.PackID) []byte   { return append([]byte{pList}, id[:]...) }

func kStaged(r model.Rev, ino model.Ino) []byte {
	k := be.AppendUint64(append(make([]byte, 0, 17), pStaged), uint64(r))
	return be.AppendUint64(k, uint64(ino))
}

func kOutbox(r model.Rev) []byte {
	return be.AppendUint64(append(make([]byte, 0, 9), pOutbox), uint64(r))
}
func kMeta(name string) []byte { return append([]byte{pMeta}, name...) }

// after is the first key behind all that begin with prefix.
func after(prefix []byte) []byte {
	out := append([]byte(nil), prefix...)
	for i := len(out) - 1; i >= 0; i-- {
		if out[i]++; out[i] != 0 {
			return out[:i+1]
		}
	}
	return nil
}
