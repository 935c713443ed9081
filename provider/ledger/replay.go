package ledger

import (
	"encoding/binary"
	"fmt"

	"github.com/cloudcoin/cloudcoin/provider/ids"
)

// replay applies one record of the log.
func (l *Ledger) replay(body []byte) error {
	kind, b := body[0], body[1:]
	switch kind {
	case recLease:
		lease, err := decodeLease(b)
		if err != nil {
			return err
		}
		l.add(lease)
	case recIntent:
		ins, err := decodeIntents(b)
		if err != nil {
			return err
		}
		for _, in := range ins {
			if l.accounts[in.Lease] == nil {
				return fmt.Errorf("an intent for the unknown lease %s", in.Lease)
			}
			l.open[in.Seq] = in
			l.seq = max(l.seq, in.Seq)
		}
	case recFinish:
		return l.replayFinish(b)
	case recUsage, recForget:
		return l.replayAccount(kind, b)
	case recClock:
		c, err := decodeClock(b)
		if err != nil {
			return err
		}
		l.clock = c
	default:
		if kind%2 == 0 {
			return fmt.Errorf("a record of kind %d, which needs a newer version of this program", kind)
		}
	}
	return nil
}

func (l *Ledger) replayFinish(b []byte) error {
	if len(b)%8 != 1 {
		return errShort
	}
	for rest := b[1:]; len(rest) > 0; rest = rest[8:] {
		if err := l.finish(binary.BigEndian.Uint64(rest), b[0] == 1); err != nil {
			return err
		}
	}
	return nil
}

func (l *Ledger) replayAccount(kind byte, b []byte) error {
	var id ids.Lease
	if copy(id[:], b) < len(id) || kind == recUsage && len(b) != 32 {
		return errShort
	}
	a := l.accounts[id]
	if a == nil {
		return fmt.Errorf("a record for the unknown lease %s", id)
	}
	if kind == recForget {
		l.remove(id)
		return nil
	}
	a.usage = Usage{Bytes: int64(binary.BigEndian.Uint64(b[16:])), Shards: int64(binary.BigEndian.Uint64(b[24:]))}
	return nil
}

// compactAt is the size of a log that is worth writing anew.
const compactAt = 16 << 20

// maybeCompact writes the log anew when most of it is history; mu is held.
func (l *Ledger) maybeCompact() error {
	if l.log.end.Load() < compactAt || l.log.end.Load() < int64(8*(len(l.accounts)*256+len(l.open)*intentSize)) {
		return nil
	}
	return l.compact()
}

// compact replaces the log by one that holds only the present state; mu is held.
func (l *Ledger) compact() error {
	var bodies [][]byte
	for id, a := range l.accounts {
		lease, err := encodeLease(&a.lease)
		if err != nil {
			return err
		}
		bodies = append(bodies, lease, encodeUsage(id, a.usage))
	}
	if l.clock != (Clock{}) {
		bodies = append(bodies, encodeClock(l.clock))
	}
	for _, in := range l.open {
		bodies = append(bodies, encodeIntents([]Intent{in}))
	}
	if err := writeLog(l.path, bodies); err != nil {
		l.logger.Warn("the ledger can't be shortened now", "err", err)
		return nil // the old one goes on growing, which harms nobody
	}
	fresh, err := openLog(l.path, func([]byte) error { return nil })
	if err != nil {
		l.log.failed.Store(true)
		return fmt.Errorf("%w: %w", ErrFailed, err)
	}
	old := l.log
	l.log = fresh
	return old.retire()
}
