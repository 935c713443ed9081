package ledger

import "time"

// Look believes a reading of the system's clock that goes on from the last one believed. One that is more than MaxStep later, because the
// provider was off or the clock is wrong, is believed when a reading SureAfter later agrees and none in between said less.
const (
	MaxStep   = time.Hour
	SureAfter = 24 * time.Hour
)

// Clock is what the ledger remembers of readings of the system's clock; whole seconds.
type Clock struct {
	Known   time.Time // the newest reading that is believed; zero: none
	Doubted time.Time // the first reading after a jump; zero: none
	Last    time.Time // the last one, when there is a doubted one
}

// next takes a reading in. No single one, however wrong, gets beyond Doubted.
func (c Clock) next(now time.Time) Clock {
	now = now.UTC().Truncate(time.Second)
	goesOn := !now.After(c.Last.Add(MaxStep))
	switch {
	case !c.Known.IsZero() && !now.After(c.Known.Add(MaxStep)): // also when the clock was set back
		return Clock{Known: now}
	case c.Doubted.IsZero() || now.Before(c.Last):
		return Clock{Known: c.Known, Doubted: now, Last: now}
	case now.Before(c.Doubted.Add(SureAfter)):
		return Clock{Known: c.Known, Doubted: c.Doubted, Last: now}
	case goesOn:
		return Clock{Known: now}
	}
	return Clock{Known: c.Doubted, Doubted: now, Last: now} // another jump: only what lay before it is sure
}

// Look takes a reading of the system's clock and returns the latest time that is surely over; the zero time when nothing is known yet. Data that
// can't come back is dropped by this time alone. What it learns is durable on return.
func (l *Ledger) Look(now time.Time) (sure time.Time, err error) {
	l.mu.Lock()
	old := l.clock
	l.mu.Unlock()
	c := old.next(now)
	if c == old {
		return c.Known, nil
	}
	err = l.record(encodeClock(c), func() error { return nil }, func() { l.clock = c })
	if err != nil {
		return time.Time{}, err
	}
	return c.Known, nil
}
