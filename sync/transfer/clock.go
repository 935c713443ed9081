package transfer

import "time"

// Clock is the time that the pool works by. SystemClock is the real one.
type Clock interface {
	Now() time.Time
	// Timer fires once after d; stop frees it.
	Timer(d time.Duration) (fires <-chan time.Time, stop func())
}

// SystemClock is the clock of the machine.
type SystemClock struct{}

// Now is time.Now.
func (SystemClock) Now() time.Time { return time.Now() }

// Timer is time.NewTimer.
func (SystemClock) Timer(d time.Duration) (<-chan time.Time, func()) {
	t := time.NewTimer(d)
	return t.C, func() { t.Stop() }
}
