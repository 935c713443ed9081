package stage

import (
	"fmt"
	"sync/atomic"
	"syscall"
)

// DefaultReserve is the Reserve of Options that set none, on large disks.
const DefaultReserve = 256 << 20

// room watches the free space of the disk, so that contents leave some of it to names, attributes and the journal: a full drive must still be able to
// remove files, evict, and note what was stored.
type room struct {
	dir     string
	reserve int64
	left    atomic.Int64 // bytes that may be written before the disk is asked again
}

// roomStep is how many bytes are written between two looks at the disk at most.
const roomStep = 8 << 20

// take notes that n bytes are about to be written, or says ENOSPC.
func (r *room) take(n int64) error {
	if n <= 0 || r.left.Add(-n) >= 0 {
		return nil
	}
	free, size, err := diskRoom(r.dir)
	if err != nil {
		return fmt.Errorf("free space of %s: %w", r.dir, err)
	}
	reserve := r.reserve
	if reserve == 0 {
		reserve = min(DefaultReserve, size/16)
	}
	if free-n < reserve {
		r.left.Store(0)
		return fmt.Errorf("%d bytes are free on the disk, %d of them are kept for names and the journal: %w", free, reserve, syscall.ENOSPC)
	}
	r.left.Store(min(roomStep, (free-reserve-n)/2))
	return nil
}
