package drive

import (
	"time"

	"golang.org/x/sys/unix"
)

// fileClock is the clock that files are stamped with: the kernel's coarse one, which it stamps pages of the writeback cache with too. With a finer
// one an mtime could step back by some milliseconds when the kernel's own stamp follows ours.
func fileClock() time.Time {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &ts); err != nil {
		return time.Now()
	}
	return time.Unix(ts.Unix())
}
