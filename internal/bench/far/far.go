// Package far measures the way between files and six providers, on the whole program, beside the bare libraries in the same run.
package far

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/cloudcoin/cloudcoin/internal/bench/local"
	"github.com/cloudcoin/cloudcoin/internal/bench/pipeline"
	"github.com/cloudcoin/cloudcoin/internal/bench/session"
	"github.com/cloudcoin/cloudcoin/internal/bench/table"
)

// Options of Run.
type Options struct {
	Dir   string // for everything
	Bin   string // folder of the programs
	Limit *pipeline.Limit
	Size  int64 // of the big file
	Runs  int
	Log   func(format string, a ...any)
}

// Names of the subjects.
const (
	Limit = "bare libraries"
	Ours  = "ccdrive"
)

// Rows holds the tables of the far path.
type Rows struct {
	Paired []*table.Row // with the limit
	Alone  []*table.Row // against a fixed bound
}

type runner struct {
	ctx                                           context.Context
	opt                                           Options
	d                                             *session.Drive
	upload, download, gone                        *table.Row
	small, grep, firstByte, ratio, patch, copyRow *table.Row
	ratioSmall, memory                            *table.Row
	source                                        string
}

// Run measures all rows.
func Run(ctx context.Context, opt Options) (*Rows, error) {
	r := &runner{
		ctx: ctx, opt: opt,
		upload:     &table.Row{Name: "upload of a big file till stored", Unit: table.MBps, Target: 0.8},
		download:   &table.Row{Name: "cold download through the mount", Unit: table.MBps, Target: 0.7},
		gone:       &table.Row{Name: "the same with two providers gone", Unit: table.MBps, Target: 0.7},
		small:      &table.Row{Name: "10,000 small files: last close till stored", Unit: table.Seconds, Target: 3},
		grep:       &table.Row{Name: "cold grep -r over them ÷ warm", Unit: table.Ratio, Target: 1.5},
		firstByte:  &table.Row{Name: "cold 4 KiB read in the big file", Unit: table.Millis, Target: 10},
		ratio:      &table.Row{Name: "bytes on providers ÷ bytes, big file", Unit: table.Ratio, Target: 1.55},
		ratioSmall: &table.Row{Name: "bytes on providers ÷ bytes, small files", Unit: table.Ratio, Target: 1.7},
		patch:      &table.Row{Name: "100 random 4 KiB writes sent again ÷ 100 MiB of chunks", Unit: table.Ratio, Target: 1.6},
		copyRow:    &table.Row{Name: "second copy of the same tree ÷ the first", Unit: table.Ratio, Target: 0.01},
		memory:     &table.Row{Name: "peak resident memory of the drive", Unit: table.MiB, Target: 150},
	}
	r.source = filepath.Join(opt.Dir, "source")
	for run := range opt.Runs {
		if err := r.once(run); err != nil {
			return nil, err
		}
	}
	return &Rows{
		Paired: []*table.Row{r.upload, r.download, r.gone},
		Alone:  []*table.Row{r.small, r.grep, r.firstByte, r.ratio, r.ratioSmall, r.patch, r.copyRow, r.memory},
	}, nil
}

// once runs every row on a fresh drive.
func (r *runner) once(run int) (err error) {
	dir, err := os.MkdirTemp(r.opt.Dir, "far-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := writeRandom(r.source, r.opt.Size); err != nil {
		return err
	}
	r.d = session.New(r.opt.Bin, dir)
	if err := r.d.Start(r.ctx); err != nil {
		return err
	}
	steps := []func() error{r.uploads, r.downloads, r.coldRead, r.patches, r.smallFiles, r.downloadsGone}
	for _, step := range steps {
		if err := step(); err != nil {
			_ = r.d.Kill() // the error of the step is the one to tell
			return err
		}
		r.opt.Log("run %d: step done", run+1)
	}
	peak, err := r.d.PeakMemory()
	if err != nil {
		return err
	}
	r.memory.Add(Ours, float64(peak)/(1<<20))
	return r.d.Stop()
}

func writeRandom(path string, n int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.CopyN(f, rand.Reader, n); err != nil {
		return err
	}
	return f.Sync()
}

func (r *runner) mbps(d time.Duration) float64 { return float64(r.opt.Size) / 1e6 / d.Seconds() }

func (r *runner) uploads() error {
	took, err := session.Timed(func() error {
		f, err := os.Open(r.source)
		if err != nil {
			return err
		}
		defer f.Close()
		return r.opt.Limit.Upload(r.ctx, f)
	})
	if err != nil {
		return fmt.Errorf("bare upload: %w", err)
	}
	r.upload.Add(Limit, r.mbps(took))
	before, err := r.d.Used(r.ctx)
	if err != nil {
		return err
	}
	took, err = session.Timed(func() error {
		if err := r.run("cp", r.source, filepath.Join(r.d.Mount, "big")); err != nil {
			return err
		}
		return r.sync()
	})
	if err != nil {
		return err
	}
	r.upload.Add(Ours, r.mbps(took))
	after, err := r.d.Used(r.ctx)
	r.ratio.Add(Ours, float64(after-before)/float64(r.opt.Size))
	return err
}

// cold makes sure that the next read comes from the providers.
func (r *runner) cold() error {
	if _, err := r.d.Run(r.ctx, "evict"); err != nil {
		return err
	}
	return session.DropCaches()
}

func (r *runner) downloads() error { return r.download1(r.download, 0) }

func (r *runner) downloadsGone() error {
	for _, n := range []string{"1", "2"} {
		if _, err := r.d.Run(r.ctx, "local", "provider", "stop", n); err != nil {
			return err
		}
	}
	return r.download1(r.gone, 2)
}

func (r *runner) download1(row *table.Row, gone int) error {
	if err := session.DropCaches(); err != nil {
		return err
	}
	took, err := session.Timed(func() error { return r.opt.Limit.Download(r.ctx, gone, io.Discard) })
	if err != nil {
		return fmt.Errorf("bare download: %w", err)
	}
	row.Add(Limit, r.mbps(took))
	if err := r.cold(); err != nil {
		return err
	}
	took, err = session.Timed(func() error {
		return r.run("dd", "if="+filepath.Join(r.d.Mount, "big"), "of=/dev/null", "bs=1M", "status=none")
	})
	row.Add(Ours, r.mbps(took))
	return err
}

func (r *runner) coldRead() error {
	if err := r.cold(); err != nil {
		return err
	}
	buf := make([]byte, 4096)
	took, err := session.Timed(func() error {
		f, err := os.Open(filepath.Join(r.d.Mount, "big"))
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = f.ReadAt(buf, r.opt.Size/2)
		return err
	})
	r.firstByte.Add(Ours, float64(took)/float64(time.Millisecond))
	return err
}

// patches writes 4 KiB at 100 random places and looks at what was sent.
func (r *runner) patches() error {
	before, err := r.d.Used(r.ctx)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(r.d.Mount, "big"), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	buf := make([]byte, 4096)
	for range 100 {
		if _, err := io.ReadFull(rand.Reader, buf); err != nil {
			return err
		}
		if _, err := f.WriteAt(buf, mrand.Int64N(r.opt.Size/4096)*4096); err != nil {
			return err
		}
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := r.sync(); err != nil {
		return err
	}
	after, err := r.d.Used(r.ctx)
	r.patch.Add(Ours, float64(after-before)/1.5/float64(100<<20))
	return err
}

func (r *runner) smallFiles() error {
	archive := filepath.Join(r.opt.Dir, "small.tar")
	if err := local.Archive(archive); err != nil {
		return err
	}
	before, err := r.d.Used(r.ctx)
	if err != nil {
		return err
	}
	if err := r.run("tar", "xf", archive, "-C", r.d.Mount); err != nil {
		return err
	}
	took, err := session.Timed(r.sync)
	if err != nil {
		return err
	}
	r.small.Add(Ours, took.Seconds())
	after, err := r.d.Used(r.ctx)
	if err != nil {
		return err
	}
	const bytes = 40e6
	r.ratioSmall.Add(Ours, float64(after-before)/bytes)
	if err := r.greps(); err != nil {
		return err
	}
	if err := r.run("cp", "-a", filepath.Join(r.d.Mount, "tree"), filepath.Join(r.d.Mount, "tree2")); err != nil {
		return err
	}
	if err := r.sync(); err != nil {
		return err
	}
	again, err := r.d.Used(r.ctx)
	r.copyRow.Add(Ours, float64(again-after)/float64(after-before))
	return err
}

// greps compares a grep that has everything on local disk with one that has nothing.
func (r *runner) greps() error {
	grep := func() error {
		return exec.CommandContext(r.ctx, "sh", "-c", `grep -r "no such words" "$0"; [ $? = 1 ]`, filepath.Join(r.d.Mount, "tree")).Run()
	}
	if err := session.DropCaches(); err != nil {
		return err
	}
	warm, err := session.Timed(grep)
	if err != nil {
		return fmt.Errorf("warm grep: %w", err)
	}
	if err := r.cold(); err != nil {
		return err
	}
	cold, err := session.Timed(grep)
	if err != nil {
		return fmt.Errorf("cold grep: %w", err)
	}
	r.grep.Add(Ours, cold.Seconds()/warm.Seconds())
	return nil
}

func (r *runner) sync() error {
	_, err := r.d.Run(r.ctx, "sync", "--timeout", "5m")
	return err
}

func (r *runner) run(name string, arg ...string) error {
	if out, err := exec.CommandContext(r.ctx, name, arg...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, out)
	}
	return nil
}
