//go:build linux

package acceptance

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/cloudcoin/cloudcoin/internal/bench/session"
)

// smallDisk mounts a filesystem of its own size, until the test ends.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("small", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("a small disk can't be made: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// TestFullDisk: the writer is told ENOSPC, nothing that was acknowledged is lost, files can be removed, and it goes on when there is room.
func TestFullDisk(t *testing.T) {
	n, providers := newNetwork(t)
	disk := smallDisk(t, "320m")
	d := session.New(bin, t.TempDir())
	d.Home = filepath.Join(disk, "home")
	if err := d.TakeLeases(testContext(t), filepath.Join(t.TempDir(), "phrase"), providers); err != nil {
		t.Fatal(err)
	}
	mountedDrive(t, d)
	for i := range providers {
		cc(t, n, "local", "provider", "stop", itoa(uint64(i+1)))
	}
	b := make([]byte, 8<<20)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	var err error
	wrote := 0
	for ; err == nil && wrote < 100; wrote++ {
		err = writeBig(filepath.Join(d.Mount, fmt.Sprint("file-", wrote)), b, byte(wrote))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("after %d files of 8 MiB on a disk of 320 MiB: %v", wrote, err)
	}
	wrote-- // the last one failed
	if wrote < 10 {
		t.Errorf("only %d files of 8 MiB found room on a disk of 320 MiB", wrote)
	}
	check := func(from int) {
		t.Helper()
		for i := from; i < wrote; i++ {
			got := read(t, filepath.Join(d.Mount, fmt.Sprint("file-", i)))
			b[0] = byte(i)
			if got != string(b) {
				t.Fatalf("file %d is another one", i)
			}
		}
	}
	check(0)
	// A full drive still takes names. What was left alone for two seconds and never sent stays as a revision, so this needn't make room.
	for i := range 2 {
		if err := os.Remove(filepath.Join(d.Mount, fmt.Sprint("file-", i))); err != nil {
			t.Fatal(err)
		}
	}
	_ = os.Remove(filepath.Join(d.Mount, fmt.Sprint("file-", wrote))) // what there is of the one that failed
	if err := d.Kill(); err != nil {                                  // a crash on a full disk
		t.Fatal(err)
	}
	startMount(t, d)
	check(2)
	if err := syscall.Mount("small", disk, "tmpfs", syscall.MS_REMOUNT, "size=352m"); err != nil {
		t.Fatal(err)
	}
	if err := writeBig(filepath.Join(d.Mount, "again"), b, 1); err != nil {
		t.Errorf("after room was made: %v", err)
	}
	// With providers, what is stored gives its room back by itself.
	for i := range providers {
		cc(t, n, "local", "provider", "start", itoa(uint64(i+1)))
	}
	cc(t, d, "sync", "--timeout", "2m")
	for i := range 20 {
		if err := writeBig(filepath.Join(d.Mount, fmt.Sprint("more-", i)), b, byte(i)); err != nil {
			t.Fatalf("file %d after everything was stored: %v", i, err)
		}
		cc(t, d, "sync", "--timeout", "2m")
	}
	check(2)
}

func writeBig(path string, b []byte, mark byte) error {
	b[0] = mark
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// TestFullProvider: a provider without room says so, the drive stores elsewhere or waits, and goes on when there is room.
func TestFullProvider(t *testing.T) {
	_, providers := newNetwork(t)
	disk := smallDisk(t, "24m")
	home := filepath.Join(disk, "home")
	ccprovider := filepath.Join(bin, "ccprovider")
	run(t, "", ccprovider, "init", "--home", home, "--network", "local", "--name", "tiny", "--listen", "127.0.0.1:0")
	cmd := exec.Command(ccprovider, "run", "--home", home)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended after a failure
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	tiny, ok := strings.CutPrefix(strings.TrimSpace(line), "ready: ")
	if err != nil || !ok {
		t.Fatalf("it printed %q: %v", line, err)
	}
	providers[5] = session.Provider{Name: "tiny", URL: tiny, Home: home}
	d, _ := newMounted(t, providers)
	src := t.TempDir()
	b := make([]byte, 16<<20)
	for i := range 10 { // 40 MiB for each of six providers
		if _, err := rand.Read(b); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(src, fmt.Sprint("file-", i)), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	inside := filepath.Join(d.Mount, "src")
	run(t, "", "cp", "-a", src, inside)
	compare(t, src, inside)
	await(t, d, "a warning, or everything stored elsewhere", func(s status) bool { return len(s.Warnings) > 0 || s.PendingFiles == 0 })
	if err := syscall.Mount("small", disk, "tmpfs", syscall.MS_REMOUNT, "size=256m"); err != nil {
		t.Fatal(err)
	}
	cc(t, d, "sync", "--timeout", "2m")
	forget(t, d)
	compare(t, src, inside)
}
