package index

import (
	"context"
	"errors"
	"fmt"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

// SetDevicePart changes the upper part of the inode numbers that NextIno gives from now on: the drive learns its own after Open, and a
// HOME that turns out to be a copy becomes a new device.
func (x *Index) SetDevicePart(part uint32) {
	x.inoMu.Lock()
	defer x.inoMu.Unlock()
	x.part, x.nextIno, x.inoLimit = part, 0, 0
}

// NextIno gives an inode number that was never given before, not even before a power cut.
func (x *Index) NextIno() (model.Ino, error) {
	x.inoMu.Lock()
	defer x.inoMu.Unlock()
	if x.part == 0 || x.part >= 1<<23 {
		return 0, fmt.Errorf("index: %d is not a device part of inode numbers", x.part)
	}
	if x.nextIno >= x.inoLimit {
		if err := x.reserveInos(); err != nil {
			return 0, err
		}
	}
	ino := model.MakeIno(x.part, x.nextIno)
	x.nextIno++
	x.inodes.set(ino, model.Inode{}) // nobody has to look on disk for it
	return ino, nil
}

const inoBlock = 1 << 16

// reserveInos notes durably that the next block of numbers is used.
func (x *Index) reserveInos() error {
	key := fmt.Sprintf(".ino.%d", x.part)
	limit := uint64(1)
	v, err := x.Meta(key)
	if err == nil && len(v) == 8 {
		limit = be.Uint64(v)
	} else if err == nil {
		err = x.damaged(key, errValue)
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	if limit+inoBlock >= 1<<model.InoCounterBits {
		return errors.New("index: this device has no inode numbers left")
	}
	b := x.Begin()
	b.Local()
	b.PutMeta(key, be.AppendUint64(nil, limit+inoBlock))
	if _, err := b.Commit(); err != nil {
		return err
	}
	if err := x.Sync(context.Background()); err != nil {
		return err
	}
	x.nextIno, x.inoLimit = limit, limit+inoBlock
	return nil
}
