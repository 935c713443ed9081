package drive

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"time"
)

// wrongFor is how long a wrong answer is told.
const wrongFor = 10 * time.Minute

// leaseWarning is how long before its end a lease is spoken of.
const leaseWarning = 14 * 24 * time.Hour

// Status tells how the drive is. It never waits for the network.
func (d *Drive) Status() *Status {
	e := d.engine.Status()
	use := d.stage.Usage()
	d.mu.Lock()
	s := &Status{Mountpoint: d.mountDir, Warnings: slices.Clone(d.warnings)}
	d.mu.Unlock()
	s.State = "running"
	if s.Mountpoint != "" {
		s.State = "mounted"
	}
	if why := d.fs.ReadOnly(); why != "" {
		s.State = "read-only"
		s.Warnings = append(s.Warnings, "the drive is read-only: "+why)
	}
	s.Network, s.Home, s.Device, s.PID = d.cfg.Network, d.opt.Home.Dir, d.cfg.Device, os.Getpid()
	s.Revision = uint64(d.index.LastRev())
	s.PendingFiles, s.PendingBytes = e.PendingFiles, e.PendingBytes
	s.StoredFiles, s.StoredBytes = e.StoredFiles, e.StoredBytes
	s.CachedBytes, s.CacheLimit = use.Cached+use.Dirty, use.Limit
	s.Health = Health{Packs: int(e.Health.Packs), AtRisk: int(e.Health.AtRisk), Lost: int(e.Health.Lost)}
	s.Leases = d.LeaseStatus()
	s.Chain.Network = d.cfg.Network
	s.Wallet = WalletStatus{Confirmed: "0", Unconfirmed: "0", InChannels: "0"}
	if e.Waiting != "" {
		s.Warnings = append(s.Warnings, "uploads wait: "+e.Waiting)
	}
	for _, w := range e.Warnings {
		s.Warnings = append(s.Warnings, fmt.Sprintf("%s (%s)", w.Text, w.Last.Local().Format("2006-01-02 15:04:05")))
	}
	s.Warnings = append(s.Warnings, d.damageWarnings()...)
	s.Warnings = append(s.Warnings, d.leaseWarnings(s.Leases)...)
	if s.Warnings == nil {
		s.Warnings = []string{}
	}
	return s
}

// mostDamage bounds the files that status names.
const mostDamage = 20

// damageWarnings name the files whose content on this disk was found damaged and isn't stored anywhere else.
func (d *Drive) damageWarnings() (out []string) {
	damaged := d.stage.Damaged()
	view := d.index.Now()
	for _, ino := range slices.Sorted(maps.Keys(damaged)) {
		if len(out) == mostDamage {
			return append(out, fmt.Sprintf("and %d more files are damaged on this disk", len(damaged)-mostDamage))
		}
		path, err := view.Path(ino)
		if err != nil {
			path = fmt.Sprintf("inode %d", ino)
		}
		out = append(out, fmt.Sprintf("%s is damaged on this disk: %v; write it again, revert it, or save the rest of it with `ccdrive recover --from %s`", path, damaged[ino], d.opt.Home.Dir))
	}
	return out
}

// leaseWarnings are about leases that are silent, nearly full, or end soon.
func (d *Drive) leaseWarnings(leases []LeaseStatus) (out []string) {
	if len(leases) == 0 {
		return []string{"there are no leases: what is written stays on this disk only; take some with `ccdrive lease add`"}
	}
	now := d.opt.Clock()
	for _, s := range d.pool.Leases() {
		if s.Wrong != "" && now.Sub(s.WrongAt) < wrongFor {
			out = append(out, fmt.Sprintf("provider %s at %s answered wrongly at %s, others stood in: %s", s.Info.Name, s.Info.URL, s.WrongAt.Local().Format(time.TimeOnly), s.Wrong))
		}
	}
	for _, l := range leases {
		switch {
		case l.State == "down" || l.State == "ended":
			out = append(out, fmt.Sprintf("provider %s at %s: %s: %s", l.Provider, l.URL, l.State, l.Error))
		case l.Until.Before(now):
			out = append(out, fmt.Sprintf("the lease with %s has ended; its data can be lost at any time", l.Provider))
		case l.Until.Before(now.Add(leaseWarning)):
			out = append(out, fmt.Sprintf("the lease with %s ends on %s; renew it, or add another lease before", l.Provider, l.Until.Format(time.DateOnly)))
		}
		if l.Size > 0 && l.Used > l.Size/20*19 {
			out = append(out, fmt.Sprintf("the lease with %s is over 95 %% full", l.Provider))
		}
	}
	return out
}
