package stage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"

	"github.com/cloudcoin/cloudcoin/sync/journal"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// A sidecar lies beside a layer file with dirty content and says, for Salvage, whose it is and which blocks it holds. It is as of the last
// time that the node was saved; nothing else reads it.
const (
	sidecarSuffix = ".map"
	sidecarMagic  = "ccstage1"
)

// writeSidecars writes the sidecars of dirty layers and removes those of clean ones.
func (n *node) writeSidecars() error {
	for _, l := range n.layers {
		if l.inline || l.version == 0 {
			continue
		}
		name := l.path + sidecarSuffix
		if l.clean {
			if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
				return fmt.Errorf("remove sidecar: %w", err)
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			return fmt.Errorf("write sidecar: %w", err)
		}
		if err := os.WriteFile(name+".tmp", n.sidecar(l), 0o600); err != nil {
			return errors.Join(fmt.Errorf("write sidecar: %w", err), os.Remove(name+".tmp"))
		}
		if err := os.Rename(name+".tmp", name); err != nil {
			return fmt.Errorf("write sidecar: %w", err)
		}
	}
	return nil
}

// sidecar is magic, position, a record's header with the path, the runs of blocks in the file, the runs of holes, and a CRC-32C.
func (n *node) sidecar(l *layer) []byte {
	h := n.header(l)
	h.path = n.path
	if l.frozen {
		h.size, h.mtime, h.ctime = l.size, l.mtime, l.ctime
	}
	b := binary.LittleEndian.AppendUint64([]byte(sidecarMagic), uint64(n.lsn))
	b = h.append(b)
	var data, holes []run
	l.dataRuns(&l.present, func(a, e int64) bool { data = append(data, run{a, e - a}); return true })
	l.hole.runs(0, l.hole.last()+1, func(a, e int64) bool { holes = append(holes, run{a, e - a}); return true })
	b = appendRuns(appendRuns(b, data), holes)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// parseSidecar reads what sidecar wrote.
func parseSidecar(b []byte) (lsn journal.LSN, h header, data, holes []run, err error) {
	if len(b) < 20 || string(b[:8]) != sidecarMagic || crc32.Checksum(b[:len(b)-4], castagnoli) != binary.LittleEndian.Uint32(b[len(b)-4:]) {
		return 0, h, nil, nil, fmt.Errorf("%w: sidecar", errRecord)
	}
	lsn = journal.LSN(binary.LittleEndian.Uint64(b[8:]))
	rest := b[16 : len(b)-4]
	if h, rest, err = parseHeader(rest); err != nil {
		return 0, h, nil, nil, err
	}
	if data, rest, err = parseRunsN(rest, maxBlock, maxSidecarRuns); err != nil {
		return 0, h, nil, nil, err
	}
	if holes, rest, err = parseRunsN(rest, maxBlock, maxSidecarRuns); err == nil && len(rest) > 0 {
		err = fmt.Errorf("%w: %d bytes too many", errRecord, len(rest))
	}
	return lsn, h, data, holes, err
}

const maxSidecarRuns = 1 << 26

// loadSidecar makes the layer that a sidecar describes.
func (s *Stage) loadSidecar(path string) (l *layer, lsn journal.LSN, h header, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, 0, h, err
	}
	lsn, h, data, holes, err := parseSidecar(b)
	if err != nil {
		return nil, 0, h, &journal.DamageError{File: path, Why: err.Error()}
	}
	l = s.newLayer(h.ino, h.version, false, h.floor)
	l.size, l.mtime, l.ctime = h.size, h.mtime, h.ctime
	for _, r := range data {
		l.addData(r.off, r.off+r.n)
	}
	for _, r := range holes {
		l.addHole(r.off, r.off+r.n)
	}
	return l, lsn, h, nil
}

// layerName reads the inode and the id out of the name of a layer file.
func layerName(name string) (ino model.Ino, version uint64, ok bool) {
	var i, v uint64
	if n, err := fmt.Sscanf(name, "%16x.%16x", &i, &v); n != 2 || err != nil || len(name) != 33 {
		return 0, 0, false
	}
	return model.Ino(i), v, true
}
