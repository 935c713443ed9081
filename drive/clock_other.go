//go:build !linux

package drive

import "time"

// fileClock is the clock that files are stamped with.
func fileClock() time.Time { return time.Now() }
