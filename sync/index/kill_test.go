package index

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

const killEnv = "CLOUDCOIN_TEST_INDEX_DIR"

// killedWriter commits batch after batch until it is killed, and prints the number of each once it is synced. Batch i makes inode 1000+i and
// writes i into the name "last", so that what is there tells how far it came.
func killedWriter(dir string) error {
	j, x, err := openAt(dir, time.Now)
	if err != nil {
		return err
	}
	i := 0
	if d, err := x.Now().Lookup(1, "last"); err == nil {
		i = int(d.Ino) - 1000 + 1
	}
	for ; ; i++ {
		ino := model.Ino(1000 + i)
		b := x.Begin()
		b.PutInode(staged(file(ino, strconv.Itoa(i), int64(i)), 1))
		b.PutDirent(1, strconv.Itoa(i), ino, model.TypeRegular)
		b.PutDirent(1, "last", ino, model.TypeRegular)
		b.PutMeta("pad", make([]byte, i*37%3000))
		if _, err := b.Commit(); err != nil {
			return err
		}
		if i%8 == 0 {
			if err := x.Sync(context.Background()); err != nil {
				return err
			}
			fmt.Println(i)
		}
		if i%500 == 499 {
			lsn, err := x.Checkpoint()
			if err == nil {
				err = j.Checkpoint(lsn)
			}
			if err != nil {
				return err
			}
		}
	}
}

func runTests(m *testing.M) {
	if dir := os.Getenv(killEnv); dir != "" {
		fmt.Fprintln(os.Stderr, killedWriter(dir))
		os.Exit(1)
	}
	verify(m)
}

// What Sync acknowledged is there after SIGKILL at a random moment, and what is there is a prefix of what was committed.
func TestSIGKILL(t *testing.T) {
	rounds := 6
	if testing.Short() {
		rounds = 2
	}
	dir := t.TempDir()
	for range rounds {
		acked := killOnce(t, dir)
		j, x, err := openAt(dir, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		d, err := x.Now().Lookup(1, "last")
		if err != nil {
			t.Fatal(err)
		}
		last := int(d.Ino) - 1000
		if last < acked {
			t.Fatalf("batch %d was synced, but the index ends at %d", acked, last)
		}
		for i := range last + 1 {
			n, err := x.Now().Inode(model.Ino(1000 + i))
			if err != nil || n.Size != int64(i) {
				t.Fatalf("batch %d of %d: %+v %v", i, last, n, err)
			}
		}
		if s := x.Stats(); s.Files != int64(last+1) {
			t.Fatalf("%d files, want %d", s.Files, last+1)
		}
		if _, err := x.Now().Inode(model.Ino(1000 + last + 1)); err == nil {
			t.Fatal("an inode of a batch that isn't there")
		}
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// killOnce runs the writer for a moment and returns the last number that it printed.
func killOnce(t *testing.T, dir string) (acked int) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), killEnv+"="+dir)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	acked = -1
	stop := 20 + rand.IntN(150) // acknowledgements until the kill
	in := bufio.NewScanner(out)
	for n := 0; in.Scan(); n++ {
		if v, err := strconv.Atoi(in.Text()); err == nil {
			acked = v
		}
		if n == stop {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil || stderr.Len() > 0 {
		t.Fatal("the writer ended by itself:", stderr.String())
	}
	return acked
}
