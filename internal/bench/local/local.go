// Package local measures the mount beside local filesystems: every row runs on each subject in turn, in one run.
package local

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/cloudcoin/cloudcoin/internal/bench/table"
)

// Subject is a folder on some filesystem.
type Subject struct {
	Name string
	Dir  string
	// Settle returns when the work that the last row left in the background is done, so that it isn't counted to the next row of
	// whichever subject. nil when there is none.
	Settle func(context.Context) error
}

// Options of Run.
type Options struct {
	Runs int            // of each row on each subject; at least 3 for a median
	Size int64          // of the big file
	Only *regexp.Regexp // nil, or the names of the rows to run, with those whose files they use
	Log  func(format string, a ...any)
}

// row is a measure: prepare isn't timed; run returns the figure.
type row struct {
	name   string
	unit   table.Unit
	target float64
	run    func(*bench) (float64, error)
	needs  string // another row, whose files this one uses
}

// rows run in this order on each subject; later ones use what earlier ones left.
var rows = []row{
	{"write 1 GiB + fsync", table.MBps, 0.8, writeBig, ""},
	{"read 1 GiB, page cache dropped", table.MBps, 0.8, readBig, "write 1 GiB + fsync"},
	{"random 4 KiB reads, one job", table.IOPS, 0.9, randomReads, "write 1 GiB + fsync"},
	{"random 4 KiB writes, fsync at the end", table.IOPS, 0.1, randomWrites, "write 1 GiB + fsync"},
	{"4 KiB write + fsync", table.IOPS, 0.6, writeSync, ""},
	{"untar 10k", table.Seconds, 2, untar, ""},
	{"find with stat over 10k, cold", table.Seconds, 3, find, "untar 10k"},
	{"grep -r over 10k, page cache dropped", table.Seconds, 1.5, grep, "untar 10k"},
	{"git add + commit of 10k", table.Seconds, 2, gitCommit, "untar 10k"},
	{"git status", table.Seconds, 3, gitStatus, "git add + commit of 10k"},
	{"rm -r 10k", table.Seconds, 2, remove, "untar 10k"},
	{"create 10k empty files in one folder", table.Seconds, 2, create, ""},
	{"ls -l of 10k in one folder", table.Seconds, 2.5, list, "create 10k empty files in one folder"},
	{"SQLite, 1,000 transactions, DELETE", table.Seconds, 2, sqlite("DELETE"), ""},
	{"SQLite, 1,000 transactions, WAL", table.Seconds, 1.5, sqlite("WAL"), ""},
}

// bench is one pass over one subject.
type bench struct {
	ctx     context.Context
	dir     string // empty at the start
	archive string // a tar of 10,000 files in 200 folders, 40 MB
	size    int64
	seed    uint64
}

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

// Run measures all rows on all subjects and returns them with the subjects' names in order.
func Run(ctx context.Context, subjects []Subject, archive string, opt Options) ([]*table.Row, error) {
	rows := chosen(opt.Only)
	out := make([]*table.Row, len(rows))
	for i, r := range rows {
		out[i] = &table.Row{Name: r.name, Unit: r.unit, Target: r.target}
	}
	for run := range opt.Runs {
		benches := make([]*bench, len(subjects))
		for i, s := range subjects {
			dir, err := os.MkdirTemp(s.Dir, "bench-")
			if err != nil {
				return nil, fmt.Errorf("%s: %w", s.Name, err)
			}
			defer os.RemoveAll(dir)
			benches[i] = &bench{ctx: ctx, dir: dir, archive: archive, size: opt.Size, seed: uint64(run)}
		}
		for i, r := range rows {
			for j, s := range subjects {
				v, err := r.run(benches[j])
				if err != nil {
					return nil, fmt.Errorf("%s on %s: %w", r.name, s.Name, err)
				}
				out[i].Add(s.Name, v)
				if s.Settle != nil {
					if err := s.Settle(ctx); err != nil {
						return nil, fmt.Errorf("after %s on %s: %w", r.name, s.Name, err)
					}
				}
				opt.Log("run %d: %s on %s: %.*f %s", run+1, r.name, s.Name, r.unit.Digits, v, r.unit.Name)
			}
		}
		for _, b := range benches {
			if err := os.RemoveAll(b.dir); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// chosen are the rows that only names, and those that they need.
func chosen(only *regexp.Regexp) (out []row) {
	if only == nil {
		return rows
	}
	need := map[string]bool{}
	for i := len(rows) - 1; i >= 0; i-- {
		if r := rows[i]; need[r.name] || only.MatchString(r.name) {
			need[r.name], need[r.needs] = true, true
		}
	}
	for _, r := range rows {
		if need[r.name] {
			out = append(out, r)
		}
	}
	return out
}

// timed runs fn and returns the seconds it took.
func timed(fn func() error) (float64, error) {
	start := time.Now()
	err := fn()
	return time.Since(start).Seconds(), err
}

// dropCaches makes the kernel forget clean pages, names and attributes, so that what follows is read again.
func dropCaches() error {
	if err := syncAll(); err != nil {
		return err
	}
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3\n"), 0o200); err != nil {
		return fmt.Errorf("drop the page cache (needs root): %w", err)
	}
	return nil
}
