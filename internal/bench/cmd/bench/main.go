// Command bench prints the tables of docs/performance.md: what the whole program does beside its limits and peers, in one run.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"github.com/cloudcoin/cloudcoin/internal/bench/far"
	"github.com/cloudcoin/cloudcoin/internal/bench/local"
	"github.com/cloudcoin/cloudcoin/internal/bench/pipeline"
	"github.com/cloudcoin/cloudcoin/internal/bench/rent"
	"github.com/cloudcoin/cloudcoin/internal/bench/scale"
	"github.com/cloudcoin/cloudcoin/internal/bench/session"
	"github.com/cloudcoin/cloudcoin/internal/bench/table"
)

type bench struct {
	bin, dir string
	runs     int
	size     int64
	files    int
	only     *regexp.Regexp
}

func main() {
	var b bench
	flag.StringVar(&b.bin, "bin", "bin", "folder of ccdrive and ccprovider")
	flag.StringVar(&b.dir, "dir", "", "folder on the disk to measure (default: a temporary one)")
	flag.IntVar(&b.runs, "runs", 3, "runs of each row; the median is printed")
	size := flag.Int64("size", 1024, "MiB of the big file")
	flag.IntVar(&b.files, "files", 1_000_000, "files of the table scale")
	only := flag.String("only", "", "regular expression of the rows of the local table to run")
	flag.Parse()
	if *only != "" {
		var err error
		b.only, err = regexp.Compile(*only)
		fail(err)
	}
	b.size = *size << 20
	if flag.Arg(0) == "serve-six" {
		fail(pipeline.ServeSix(os.Stdout, flag.Arg(1)))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	fail(b.run(ctx, flag.Arg(0)))
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (b *bench) run(ctx context.Context, what string) error {
	dir, err := os.MkdirTemp(b.dir, "ccbench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	switch what {
	case "local":
		return b.local(ctx, dir)
	case "far":
		return b.far(ctx, dir)
	case "provider":
		return b.provider(ctx, dir)
	case "scale":
		return b.scale(ctx, dir)
	case "all", "":
		for _, table := range []func(context.Context, string) error{b.local, b.far, b.provider} {
			if err := table(ctx, dir); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("unknown table %q: local, far, provider, scale or all", what)
}

func logf(format string, a ...any) { fmt.Fprintf(os.Stderr, format+"\n", a...) }

// local runs the rows of the local path on ext4 (or what the disk has), on gocryptfs where it is installed, and on the mount.
func (b *bench) local(ctx context.Context, dir string) error {
	plain := filepath.Join(dir, "plain")
	if err := os.Mkdir(plain, 0o755); err != nil {
		return err
	}
	subjects := []local.Subject{{Name: "local disk", Dir: plain}}
	gocrypt, unmount, err := mountGocryptfs(dir)
	if err != nil {
		return err
	}
	if gocrypt != "" {
		defer unmount()
		subjects = append(subjects, local.Subject{Name: "gocryptfs", Dir: gocrypt})
	}
	d := session.New(b.bin, dir)
	if err := d.Start(ctx); err != nil {
		return err
	}
	defer func() {
		if err := d.Stop(); err != nil {
			logf("%v", err)
		}
	}()
	subjects = append(subjects, local.Subject{Name: "ccdrive", Dir: d.Mount, Settle: d.Settle})
	archive := filepath.Join(dir, "small.tar")
	if err := local.Archive(archive); err != nil {
		return err
	}
	rows, err := local.Run(ctx, subjects, archive, local.Options{Runs: b.runs, Size: b.size, Only: b.only, Log: logf})
	if err != nil {
		return err
	}
	names := make([]string, len(subjects))
	for i, s := range subjects {
		names[i] = s.Name
	}
	if err := table.Print(os.Stdout, "The local path: the mount beside local filesystems", names, rows); err != nil {
		return err
	}
	peak, err := d.PeakMemory()
	fmt.Printf("peak resident memory of the drive: %d MiB\n", peak>>20)
	return err
}

func mountGocryptfs(dir string) (mount string, unmount func(), err error) {
	if _, err := exec.LookPath("gocryptfs"); err != nil {
		return "", nil, nil
	}
	cipher, mount := filepath.Join(dir, "cipher"), filepath.Join(dir, "gocryptfs")
	for _, d := range []string{cipher, mount} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return "", nil, err
		}
	}
	for _, args := range [][]string{{"-q", "-init", "-extpass", "echo benchmark", cipher}, {"-q", "-extpass", "echo benchmark", cipher, mount}} {
		if out, err := exec.Command("gocryptfs", args...).CombinedOutput(); err != nil {
			return "", nil, fmt.Errorf("gocryptfs: %w: %s", err, out)
		}
	}
	return mount, func() {
		if out, err := exec.Command("fusermount3", "-u", mount).CombinedOutput(); err != nil {
			logf("unmount gocryptfs: %v: %s", err, out)
		}
	}, nil
}

func (b *bench) far(ctx context.Context, dir string) error {
	urls, stop, err := serveSix(filepath.Join(dir, "six"))
	if err != nil {
		return err
	}
	defer stop()
	limit, err := pipeline.New(urls)
	if err != nil {
		return err
	}
	rows, err := far.Run(ctx, far.Options{Dir: dir, Bin: b.bin, Limit: limit, Size: b.size, Runs: b.runs, Log: logf})
	if err != nil {
		return err
	}
	if err := table.Print(os.Stdout, "The far path: file to six providers and back, 4+2, HTTP on loopback", []string{far.Limit, far.Ours}, rows.Paired); err != nil {
		return err
	}
	return table.Print(os.Stdout, "The far path: fixed bounds", []string{far.Ours}, rows.Alone)
}

// provider measures a whole ccprovider beside one of the bare servers.
func (b *bench) provider(ctx context.Context, dir string) error {
	urls, stop, err := serveSix(filepath.Join(dir, "bare"))
	if err != nil {
		return err
	}
	defer stop()
	network := session.New(b.bin, filepath.Join(dir, "network"))
	if err := network.StartNetwork(ctx); err != nil {
		return err
	}
	defer func() { _ = network.Kill() }() // its data goes with the folder
	client, err := network.Rent(ctx)
	if err != nil {
		return err
	}
	rows, err := rent.Run(ctx, rent.Options{Bare: urls[0], Lease: client, Runs: b.runs, Log: logf})
	if err != nil {
		return err
	}
	return table.Print(os.Stdout, "A provider: the whole program with a lease, beside a bare durable handler; HTTP on loopback", []string{rent.Bare, rent.Ours}, rows)
}

// scale measures a drive of many files.
func (b *bench) scale(ctx context.Context, dir string) error {
	rows, err := scale.Run(ctx, scale.Options{Dir: dir, Bin: b.bin, Files: b.files, Log: logf})
	if err != nil {
		return err
	}
	return table.Print(os.Stdout, fmt.Sprintf("A drive of %d files", b.files), []string{scale.Ours}, rows)
}

// serveSix runs the six bare file servers as a process of their own, as the providers are.
func serveSix(dir string) (urls []string, stop func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	cmd := exec.Command(self, "serve-six", dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	stop = func() {
		_ = cmd.Process.Kill() // it has nothing to end in order
		_ = cmd.Wait()
	}
	for sc := bufio.NewScanner(out); len(urls) < 6 && sc.Scan(); {
		urls = append(urls, strings.TrimSpace(sc.Text()))
	}
	if len(urls) < 6 {
		stop()
		return nil, nil, fmt.Errorf("only %d of six bare servers came up", len(urls))
	}
	return urls, stop, nil
}
