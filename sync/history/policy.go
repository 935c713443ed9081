package history

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cloudcoin/cloudcoin/internal/humanize"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// DefaultKeep keeps every revision for 30 days, daily ones for 6 months, monthly ones for ever.
const DefaultKeep = "all:30d,daily:180d,monthly:forever"

// Policy is a retention policy. The zero value keeps nothing but what is current.
type Policy struct {
	rules []rule
	text  string
}

// rule keeps what was current at regular moments of the last time.
type rule struct {
	every string
	last  time.Duration // 0: for ever
}

// grids are the moments of each kind of rule, in UTC: the last one at or before t, and the one after a moment of the grid.
var grids = map[string]struct {
	floor func(t time.Time) time.Time
	next  func(t time.Time) time.Time
}{
	"hourly": {func(t time.Time) time.Time { return t.Truncate(time.Hour) }, func(t time.Time) time.Time { return t.Add(time.Hour) }},
	"daily":  {day, func(t time.Time) time.Time { return t.AddDate(0, 0, 1) }},
	"weekly": {
		func(t time.Time) time.Time { return day(t).AddDate(0, 0, -(int(t.Weekday())+6)%7) },
		func(t time.Time) time.Time { return t.AddDate(0, 0, 7) },
	},
	"monthly": {
		func(t time.Time) time.Time { return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC) },
		func(t time.Time) time.Time { return t.AddDate(0, 1, 0) },
	},
	"yearly": {
		func(t time.Time) time.Time { return time.Date(t.Year(), 1, 1, 0, 0, 0, 0, time.UTC) },
		func(t time.Time) time.Time { return t.AddDate(1, 0, 0) },
	},
}

func day(t time.Time) time.Time { return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC) }

// ParsePolicy reads what --keep takes: rules KIND:TIME with commas between them. KIND is all, hourly, daily, weekly, monthly or yearly; TIME
// is a duration (12h, 30d, 6mo) or forever.
func ParsePolicy(s string) (Policy, error) {
	p := Policy{text: s}
	for _, part := range strings.Split(s, ",") {
		kind, last, ok := strings.Cut(strings.TrimSpace(part), ":")
		if _, known := grids[kind]; !ok || (!known && kind != "all") {
			return Policy{}, fmt.Errorf("%q isn't a rule: want all, hourly, daily, weekly, monthly or yearly, a colon, and for how long (%s)", part, DefaultKeep)
		}
		r := rule{every: kind}
		if last != "forever" {
			d, err := humanize.ParseDuration(last)
			if err != nil || d <= 0 {
				return Policy{}, fmt.Errorf("%q isn't a time to keep revisions for: want a duration like 30d, or forever", last)
			}
			r.last = d
		}
		p.rules = append(p.rules, r)
	}
	return p, nil
}

// String is the policy as ParsePolicy reads it.
func (p Policy) String() string { return p.text }

// Keeps tells whether the policy wants a revision that was the current one from rev until next, as seen at now. It is pure.
func (p Policy) Keeps(rev, next model.Rev, now time.Time) bool {
	return slices.ContainsFunc(p.rules, func(r rule) bool { return r.keeps(rev, next, now) })
}

// keeps tells whether a moment of the rule's grid, within the rule's time and not after now, lies in [rev, next).
func (r rule) keeps(rev, next model.Rev, now time.Time) bool {
	from := rev.Time().UTC()
	if r.last != 0 {
		if begin := now.Add(-r.last).UTC(); from.Before(begin) {
			from = begin
		}
	}
	if r.every == "all" {
		return model.RevAt(from) < next
	}
	g := grids[r.every]
	at := g.floor(from)
	if at.Before(from) {
		at = g.next(at)
	}
	return !at.After(now) && model.RevAt(at) < next
}
