// Package scale measures a drive that holds very many files: how long it takes to start, what it needs in memory and on disk, and what it does
// when nobody asks for anything.
package scale

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/cloudcoin/cloudcoin/internal/bench/session"
	"github.com/cloudcoin/cloudcoin/internal/bench/table"
)

// Options of Run.
type Options struct {
	Dir, Bin string
	Files    int
	Log      func(format string, a ...any)
}

// Ours is the name of the only subject.
const Ours = "ccdrive"

const (
	perFolder = 1000
	nameLen   = 11 // "file-000000": bytes of a name, which don't count
	idleTime  = 10 * time.Second
	hertz     = 100 // of utime and stime in /proc/PID/stat
)

type runner struct {
	opt  Options
	d    *session.Drive
	rows []*table.Row
}

func (r *runner) add(name string, unit table.Unit, target, v float64) {
	row := &table.Row{Name: name, Unit: unit, Target: target}
	row.Add(Ours, v)
	r.rows = append(r.rows, row)
	r.opt.Log("%s: %.*f %s", name, unit.Digits, v, unit.Name)
}

// Run makes the files through the mount of a new drive, and measures it.
func Run(ctx context.Context, opt Options) ([]*table.Row, error) {
	network := session.New(opt.Bin, filepath.Join(opt.Dir, "network"))
	if err := network.StartNetwork(ctx); err != nil {
		return nil, err
	}
	defer func() { _ = network.Kill() }() // its data goes with the folder
	providers, err := network.Providers()
	if err != nil {
		return nil, err
	}
	r := &runner{opt: opt, d: session.New(opt.Bin, filepath.Join(opt.Dir, "drive"))}
	if err := os.MkdirAll(filepath.Dir(r.d.Home), 0o755); err != nil {
		return nil, err
	}
	if err := r.d.TakeLeases(ctx, filepath.Join(opt.Dir, "phrase"), providers); err != nil {
		return nil, err
	}
	if err := r.d.StartMount(ctx); err != nil {
		return nil, err
	}
	for _, step := range []func(context.Context) error{r.fill, r.disk, r.idle, r.restart, r.killed} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(err, r.d.Kill())
		}
	}
	return r.rows, r.d.Stop()
}

func (r *runner) fill(ctx context.Context) error {
	took, err := session.Timed(func() error {
		for i := range r.opt.Files {
			dir := filepath.Join(r.d.Mount, fmt.Sprintf("folder-%04d", i/perFolder))
			if i%perFolder == 0 {
				if err := os.Mkdir(dir, 0o755); err != nil {
					return err
				}
			}
			f, err := os.Create(filepath.Join(dir, fmt.Sprintf("file-%06d", i%perFolder)))
			if err != nil {
				return err
			}
			if err := f.Close(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	r.add("create a file", table.Millis, 0, took.Seconds()*1000/float64(r.opt.Files))
	took, err = session.Timed(func() error {
		_, err := r.d.Run(ctx, "sync", "--timeout", "30m")
		return err
	})
	r.add("all stored after the last one", table.Seconds, 0, took.Seconds())
	return err
}

// disk looks at what the index takes once the drive has rested.
func (r *runner) disk(context.Context) error {
	peak, err := r.d.PeakMemory()
	if err != nil {
		return err
	}
	r.add("peak resident memory", table.MiB, 150, float64(peak)/(1<<20))
	var sum int64
	err = filepath.WalkDir(filepath.Join(r.d.Home, "index"), func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil // compacted away
		}
		if err == nil {
			sum += info.Size()
		}
		return err
	})
	r.add("index on disk for each file, beside its name", bytes, 300, float64(sum)/float64(r.opt.Files)-nameLen)
	return err
}

var (
	bytes   = table.Unit{Name: "bytes", Smaller: true}
	percent = table.Unit{Name: "% of a core", Smaller: true, Digits: 2}
	perSec  = table.Unit{Name: "per s", Smaller: true, Digits: 1}
)

func (r *runner) idle(ctx context.Context) error {
	wait := func() error {
		select {
		case <-time.After(idleTime):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := wait(); err != nil { // the last work of the drive ends
		return err
	}
	cpu, wakes, err := usage(r.d.PID())
	if err != nil {
		return err
	}
	if err := wait(); err != nil {
		return err
	}
	cpu2, wakes2, err := usage(r.d.PID())
	if err != nil {
		return err
	}
	r.add("idle drive: processor", percent, 0.5, float64(cpu2-cpu)/hertz/idleTime.Seconds()*100)
	r.add("idle drive: wake-ups", perSec, 5, float64(wakes2-wakes)/idleTime.Seconds())
	return nil
}

// usage is the processor time of a process, in ticks, and how often its threads went to sleep.
func usage(pid int) (ticks, sleeps int64, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, err
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, 0, errors.New("/proc/PID/stat is too short")
	}
	for _, f := range fields[11:13] { // utime, stime
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, 0, err
		}
		ticks += n
	}
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil {
		return 0, 0, err
	}
	for _, t := range threads {
		b, err := os.ReadFile(t)
		if err != nil {
			return 0, 0, err
		}
		for line := range strings.Lines(string(b)) {
			if v, ok := strings.CutPrefix(line, "voluntary_ctxt_switches:"); ok {
				n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
				if err != nil {
					return 0, 0, err
				}
				sleeps += n
			}
		}
	}
	return ticks, sleeps, nil
}

func (r *runner) restart(ctx context.Context) error {
	if err := r.d.Stop(); err != nil {
		return err
	}
	return r.first(ctx, "start to first ls", 1)
}

// killed writes some more before the drive is killed.
func (r *runner) killed(ctx context.Context) error {
	for i := range perFolder {
		if err := os.WriteFile(filepath.Join(r.d.Mount, fmt.Sprintf("late-%d", i)), []byte("late"), 0o600); err != nil {
			return err
		}
	}
	if err := r.d.Kill(); err != nil {
		return err
	}
	return r.first(ctx, "start to first ls after SIGKILL", 3)
}

func (r *runner) first(ctx context.Context, name string, target float64) error {
	if err := session.DropCaches(); err != nil {
		return err
	}
	took, err := session.Timed(func() error {
		if err := r.d.StartMount(ctx); err != nil {
			return err
		}
		_, err := os.ReadDir(r.d.Mount)
		return err
	})
	if err == nil {
		r.add(name, table.Seconds, target, took.Seconds())
	}
	return err
}
