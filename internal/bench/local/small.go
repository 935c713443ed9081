package local

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	files   = 10_000
	folders = 200
	mean    = 4000 // bytes of a file: 40 MB in all
)

func syncAll() error {
	unix.Sync()
	return nil
}

// Archive writes the tar of 10,000 files of text in 200 folders, 40 MB, that the small-file rows use.
func Archive(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w := tar.NewWriter(f)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range files {
		name := fmt.Sprintf("tree/folder-%03d/file-%05d.txt", i%folders, i)
		body := text(r, mean/2+r.IntN(mean))
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(body)), Typeflag: tar.TypeReg}); err != nil {
			return err
		}
		if _, err := w.Write(body); err != nil {
			return err
		}
	}
	return errors.Join(w.Close(), f.Close())
}

func text(r *rand.Rand, n int) []byte {
	var b bytes.Buffer
	for b.Len() < n {
		fmt.Fprintf(&b, "%x ", r.Uint32())
		if r.IntN(10) == 0 {
			b.WriteByte('\n')
		}
	}
	return b.Bytes()[:n]
}

// command runs a program and returns its seconds. code is the exit status that counts as success beside 0.
func (b *bench) command(code int, name string, arg ...string) (float64, error) {
	cmd := exec.CommandContext(b.ctx, name, arg...)
	cmd.Dir = b.dir
	cmd.Env = append(os.Environ(), "GIT_AUTHOR_NAME=bench", "GIT_AUTHOR_EMAIL=bench@localhost", "GIT_COMMITTER_NAME=bench",
		"GIT_COMMITTER_EMAIL=bench@localhost", "GIT_CONFIG_NOSYSTEM=1", "HOME="+os.TempDir())
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	return timed(func() error {
		err := cmd.Run()
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.ExitCode() == code {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(stderr.String()))
		}
		return nil
	})
}

func untar(b *bench) (float64, error) { return b.command(0, "tar", "xf", b.archive) }

func find(b *bench) (float64, error) {
	if err := dropCaches(); err != nil {
		return 0, err
	}
	return b.command(0, "find", "tree", "-size", "+100M", "-newer", "tree")
}

func grep(b *bench) (float64, error) {
	if err := dropCaches(); err != nil {
		return 0, err
	}
	return b.command(1, "grep", "-r", "no such words", "tree")
}

func gitCommit(b *bench) (float64, error) {
	if _, err := b.command(0, "git", "init", "-q", "tree"); err != nil {
		return 0, err
	}
	return b.command(0, "sh", "-c", "cd tree && git add -A && git commit -q -m all")
}

func gitStatus(b *bench) (float64, error) {
	if _, err := b.command(0, "git", "-C", "tree", "status", "--porcelain"); err != nil {
		return 0, err
	}
	return b.command(0, "git", "-C", "tree", "status", "--porcelain")
}

func remove(b *bench) (float64, error) {
	if err := os.RemoveAll(b.path("tree/.git")); err != nil {
		return 0, err
	}
	return b.command(0, "rm", "-r", "tree")
}

func create(b *bench) (float64, error) {
	dir := b.path("one")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return 0, err
	}
	return timed(func() error {
		for i := range files {
			f, err := os.Create(filepath.Join(dir, fmt.Sprintf("file-%05d", i)))
			if err != nil {
				return err
			}
			if err := f.Close(); err != nil {
				return err
			}
		}
		return nil
	})
}

func list(b *bench) (float64, error) {
	if err := dropCaches(); err != nil {
		return 0, err
	}
	return b.command(0, "ls", "-l", "one")
}

// sqlite makes 1,000 transactions of one row each.
func sqlite(mode string) func(*bench) (float64, error) {
	return func(b *bench) (float64, error) {
		db := b.path("db-" + mode)
		var sql bytes.Buffer
		for i := range 1000 {
			fmt.Fprintf(&sql, "INSERT INTO t VALUES (%d, hex(randomblob(100)));\n", i)
		}
		if err := b.sql(db, "PRAGMA journal_mode="+mode+"; CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT);"); err != nil {
			return 0, err
		}
		return timed(func() error { return b.sql(db, sql.String()) })
	}
}

func (b *bench) sql(db, script string) error {
	cmd := exec.CommandContext(b.ctx, "sqlite3", db)
	cmd.Stdin = strings.NewReader(script)
	cmd.Stdout = io.Discard
	out := &bytes.Buffer{}
	cmd.Stderr = out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("sqlite3: %w: %s", err, out)
	}
	return nil
}
