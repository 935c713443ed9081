package mount_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cloudcoin/cloudcoin/fs/mount"
	"github.com/cloudcoin/cloudcoin/fs/mount/posixtest"
	"github.com/cloudcoin/cloudcoin/fs/stage"
	"github.com/cloudcoin/cloudcoin/fs/vfs"
	"github.com/cloudcoin/cloudcoin/internal/treecmp"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// adapters runs a test for each adapter.
func adapters(t *testing.T, test func(t *testing.T, a mount.Adapter)) {
	for _, a := range []mount.Adapter{mount.GoFuse, mount.Bazil} {
		t.Run(string(a), func(t *testing.T) { test(t, a) })
	}
}

func writeFile(t testing.TB, path, content string) {
	t.Helper()
	check(t, os.WriteFile(path, []byte(content), 0o644))
}

func wantFile(t testing.TB, path, want string) {
	t.Helper()
	b, err := os.ReadFile(path)
	check(t, err)
	if string(b) != want {
		t.Errorf("%s has %d bytes %.60q, want %.60q", filepath.Base(path), len(b), b, want)
	}
}

// A tree that was copied in is the same after another mount: the second adapter reads what the first wrote.
func TestMountAgain(t *testing.T) {
	other := map[mount.Adapter]mount.Adapter{mount.GoFuse: mount.Bazil, mount.Bazil: mount.GoFuse}
	adapters(t, func(t *testing.T, a mount.Adapter) {
		src, home, dir := t.TempDir(), t.TempDir(), posixtest.OpenDir(t)
		makeTree(t, src)
		d := openDrive(t, home)
		m := mountDrive(t, d, dir, mount.Options{Adapter: a})
		if out, err := exec.Command("cp", "-a", src, filepath.Join(dir, "copy")).CombinedOutput(); err != nil {
			t.Fatalf("cp: %v: %s", err, out)
		}
		check(t, m.Unmount(context.Background()))
		check(t, m.Wait())
		d.close()
		d = openDrive(t, home)
		m = mountDrive(t, d, dir, mount.Options{Adapter: other[a]})
		defer d.close()
		defer func() { check(t, m.Unmount(context.Background())) }()
		diffs, err := treecmp.Diff(src, filepath.Join(dir, "copy"), treecmp.Options{})
		check(t, err)
		if len(diffs) > 0 {
			t.Errorf("differences: %s", strings.Join(diffs, "\n"))
		}
	})
}

// makeTree makes one of everything.
func makeTree(t *testing.T, dir string) {
	for i := range 50 {
		sub := filepath.Join(dir, fmt.Sprint("d", i%7))
		check(t, os.MkdirAll(sub, 0o755))
		f := filepath.Join(sub, fmt.Sprint(i))
		writeFile(t, f, strings.Repeat(fmt.Sprint(i, " "), i*i*40))
		check(t, os.Chmod(f, os.FileMode(0o400+i)))
		check(t, os.Chtimes(f, time.Unix(int64(i)*1e7, 17), time.Unix(int64(i)*1e7, 123456789)))
	}
	check(t, os.Link(filepath.Join(dir, "d0", "0"), filepath.Join(dir, "d1", "link")))
	check(t, os.Symlink("d0/0", filepath.Join(dir, "symlink")))
	check(t, unix.Mkfifo(filepath.Join(dir, "fifo"), 0o644))
	check(t, unix.Setxattr(filepath.Join(dir, "d2"), "user.note", []byte("value"), 0))
	check(t, os.Chmod(filepath.Join(dir, "d3"), 0o750|os.ModeSetgid))
	check(t, os.Chown(filepath.Join(dir, "d4"), 1234, 5678))
}

// The child process of startChild: mounts the drive of a folder, and serves until it is killed or its input ends.
const killedEnv = "CCDRIVE_MOUNT_CHILD"

func serveChild(job string) {
	home, rest, _ := strings.Cut(job, "\x01")
	dir, adapter, _ := strings.Cut(rest, "\x01")
	t := childTB{}
	d := openDrive(t, home)
	m := mountDrive(t, d, dir, mount.Options{Adapter: mount.Adapter(adapter), AllowOther: true})
	fmt.Println("mounted")
	_, _ = io.Copy(io.Discard, os.Stdin)
	check(t, m.Unmount(context.Background()))
	d.close()
}

// childTB ends the child when something fails.
type childTB struct{ testing.TB }

func (childTB) Helper()                     {}
func (childTB) Logf(f string, a ...any)     { fmt.Fprintf(os.Stderr, f+"\n", a...) }
func (c childTB) Errorf(f string, a ...any) { c.Fatal(fmt.Sprintf(f, a...)) }
func (childTB) Fatal(a ...any) {
	fmt.Fprintln(os.Stderr, a...)
	os.Exit(1)
}

// startChild mounts in a process of its own.
func startChild(t *testing.T, home, dir string, a mount.Adapter) (cmd *exec.Cmd, stdin io.Closer) {
	exe, err := os.Executable()
	check(t, err)
	cmd = exec.Command(exe)
	cmd.Env = append(os.Environ(), killedEnv+"="+home+"\x01"+dir+"\x01"+string(a))
	cmd.Stderr = os.Stderr
	stdin, err = cmd.StdinPipe()
	check(t, err)
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "mounted\n" {
		t.Fatalf("child says %q (%v)", line, err)
	}
	return cmd, stdin
}

// mountedApart mounts a new drive for the time of a test by another process: a process that is killed while it waits for itself stays for ever.
func mountedApart(t *testing.T, a mount.Adapter) (dir string) {
	dir = posixtest.OpenDir(t)
	cmd, stdin := startChild(t, t.TempDir(), dir, a)
	t.Cleanup(func() {
		check(t, stdin.Close())
		check(t, cmd.Wait())
	})
	return dir
}

// The mount of a killed process is dead; the next mount takes it over and has all that was fsynced.
func TestKilled(t *testing.T) {
	adapters(t, func(t *testing.T, a mount.Adapter) {
		home, dir := t.TempDir(), posixtest.OpenDir(t)
		cmd, _ := startChild(t, home, dir, a)
		fd, err := unix.Open(filepath.Join(dir, "f"), unix.O_CREAT|unix.O_WRONLY, 0o644)
		check(t, err)
		_, err = unix.Write(fd, []byte("fsynced"))
		check(t, err)
		check(t, unix.Fsync(fd))
		check(t, cmd.Process.Kill())
		_ = cmd.Wait()
		unix.Close(fd)
		if _, err := os.Stat(filepath.Join(dir, "f")); !errors.Is(err, unix.ENOTCONN) {
			t.Errorf("stat in the dead mount: %v, want ENOTCONN", err)
		}
		if !mount.IsMounted(dir) {
			t.Error("the dead mount isn't seen")
		}
		d := openDrive(t, home)
		defer d.close()
		m := mountDrive(t, d, dir, mount.Options{Adapter: a})
		defer func() { check(t, m.Unmount(context.Background())) }()
		wantFile(t, filepath.Join(dir, "f"), "fsynced")
	})
}

// UnmountDir takes dead and living mounts of others away, and nothing else.
func TestUnmountDir(t *testing.T) {
	ctx := context.Background()
	home, dir := t.TempDir(), posixtest.OpenDir(t)
	if err := mount.UnmountDir(ctx, dir); !errors.Is(err, mount.ErrNotMounted) {
		t.Errorf("unmount of a plain folder: %v", err)
	}
	for _, kill := range []bool{true, false} {
		cmd, _ := startChild(t, home, dir, mount.GoFuse)
		if kill {
			check(t, cmd.Process.Kill())
			_ = cmd.Wait()
		}
		check(t, mount.UnmountDir(ctx, dir))
		if mount.IsMounted(dir) {
			t.Error("still mounted")
		}
		if !kill {
			check(t, cmd.Process.Kill())
			_ = cmd.Wait()
		}
	}
	check(t, unix.Mount("none", dir, "tmpfs", 0, ""))
	defer func() { check(t, unix.Unmount(dir, 0)) }()
	if err := mount.UnmountDir(ctx, dir); !errors.Is(err, mount.ErrNotMounted) {
		t.Errorf("unmount of a tmpfs: %v", err)
	}
	d := openDrive(t, t.TempDir())
	defer d.close()
	if _, err := mount.Mount(ctx, dir, d.fs, mount.Options{}); !errors.Is(err, mount.ErrMounted) {
		t.Errorf("mount over a tmpfs: %v", err)
	}
}

// A second mount at one folder is refused, and the first lives on.
func TestMountedAlready(t *testing.T) {
	d, m := mounted(t, mount.GoFuse)
	writeFile(t, filepath.Join(m.Dir(), "f"), "x")
	if _, err := mount.Mount(context.Background(), m.Dir(), d.fs, mount.Options{}); !errors.Is(err, mount.ErrMounted) {
		t.Errorf("second mount: %v", err)
	}
	wantFile(t, filepath.Join(m.Dir(), "f"), "x")
	missing := filepath.Join(t.TempDir(), "missing")
	if _, err := mount.Mount(context.Background(), missing, d.fs, mount.Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("mount at a missing folder: %v", err)
	}
}

// A busy mount is detached in the end, with all that was written.
func TestUnmountBusy(t *testing.T) {
	adapters(t, func(t *testing.T, a mount.Adapter) {
		home, dir := t.TempDir(), posixtest.OpenDir(t)
		d := openDrive(t, home)
		m := mountDrive(t, d, dir, mount.Options{Adapter: a})
		f, err := os.Create(filepath.Join(dir, "f"))
		check(t, err)
		defer f.Close()
		_, err = f.WriteString("written, not synced")
		check(t, err)
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		defer cancel()
		check(t, m.Unmount(ctx))
		if _, err := f.WriteString("more"); err == nil {
			err = f.Sync()
			if err == nil {
				t.Error("a write after the unmount was taken")
			}
		}
		d.close()
		d = openDrive(t, home)
		defer d.close()
		m = mountDrive(t, d, dir, mount.Options{Adapter: a})
		defer func() { check(t, m.Unmount(context.Background())) }()
		wantFile(t, filepath.Join(dir, "f"), "written, not synced")
	})
}

// umount(8) by somebody else ends the mount in order.
func TestUnmountByOthers(t *testing.T) {
	adapters(t, func(t *testing.T, a mount.Adapter) {
		_, m := mounted(t, a)
		check(t, unix.Unmount(m.Dir(), 0))
		check(t, m.Wait())
	})
}

// What is reverted behind the kernel is seen at once, though the kernel had it in its caches.
func TestChangesBehindTheKernel(t *testing.T) {
	adapters(t, func(t *testing.T, a mount.Adapter) {
		d, m := mounted(t, a)
		ctx, f, gone := context.Background(), filepath.Join(m.Dir(), "f"), filepath.Join(m.Dir(), "gone")
		writeFile(t, f, "first")
		writeFile(t, gone, "deleted later")
		check(t, d.fs.SyncAll(ctx))
		for _, name := range []string{"f", "gone"} {
			rec, err := d.fs.Resolve(name, model.MaxRev)
			check(t, err)
			if _, err := d.fs.Freeze(ctx, rec.Ino, true); err != nil {
				t.Fatal(err)
			}
			b := d.x.Begin()
			b.Settle(rec.Ino)
			_, err = b.Commit()
			check(t, err)
		}
		rev := d.x.LastRev()
		held, err := os.Open(f)
		check(t, err)
		defer held.Close()
		writeFile(t, f, "second, and longer")
		wantFile(t, f, "second, and longer")
		check(t, os.Remove(gone))
		if _, err := os.Stat(gone); !errors.Is(err, os.ErrNotExist) { // the kernel remembers that it is absent
			t.Fatal(err)
		}
		check(t, d.fs.Revert(ctx, "f", rev))
		check(t, d.fs.Revert(ctx, "gone", rev))
		wantFile(t, f, "first")
		wantFile(t, gone, "deleted later")
		b, err := io.ReadAll(held)
		check(t, err)
		if string(b) != "second, and longer" {
			t.Errorf("an open handle reads %q, want what it had", b)
		}
	})
}

// A read-only mount refuses changes.
func TestReadOnly(t *testing.T) {
	adapters(t, func(t *testing.T, a mount.Adapter) {
		home, dir := t.TempDir(), posixtest.OpenDir(t)
		d := openDrive(t, home)
		defer d.close()
		m := mountDrive(t, d, dir, mount.Options{Adapter: a, ReadOnly: true})
		defer func() { check(t, m.Unmount(context.Background())) }()
		if err := os.Mkdir(filepath.Join(dir, "d"), 0o755); !errors.Is(err, unix.EROFS) {
			t.Errorf("mkdir: %v, want EROFS", err)
		}
	})
}

// stuck is a remote that never answers by itself.
type stuck struct{ asked chan struct{} }

func (s stuck) Base(model.Ino, model.Rev) stage.Base { return s }

func (s stuck) ReadAt(ctx context.Context, _ []byte, _ int64) error {
	select {
	case s.asked <- struct{}{}:
	default:
	}
	<-ctx.Done()
	return ctx.Err()
}
func (stuck) NextData(off int64) (int64, error) { return off, nil }
func (stuck) NextHole(int64) (int64, error)     { return vfs.MaxFileSize, nil }

// A program that waits for the network can be killed, and the mount serves others meanwhile.
func TestKillAReader(t *testing.T) {
	adapters(t, func(t *testing.T, a mount.Adapter) {
		remote := stuck{make(chan struct{}, 1)}
		d := openDriveOn(t, t.TempDir(), remote)
		defer d.close()
		m := mountDrive(t, d, posixtest.OpenDir(t), mount.Options{Adapter: a})
		defer func() { check(t, m.Unmount(context.Background())) }()
		f := filepath.Join(m.Dir(), "far")
		writeFile(t, f, "")
		check(t, d.fs.SyncAll(context.Background()))
		rec, err := d.fs.Resolve("/far", model.MaxRev)
		check(t, err)
		b := d.x.Begin()
		rec.Size, rec.Content = 1<<20, model.Content{Kind: model.ContentStored, Rev: d.x.LastRev()}
		b.PutInode(&rec)
		_, err = b.Commit()
		check(t, err)
		check(t, d.st.Drop(rec.Ino))
		check(t, os.WriteFile("/proc/sys/vm/drop_caches", []byte("2"), 0))
		check(t, m.Unmount(context.Background())) // the kernel forgets the old size
		m = mountDrive(t, d, m.Dir(), mount.Options{Adapter: a})
		cat := exec.Command("cat", f)
		cat.Stdout = io.Discard
		check(t, cat.Start())
		<-remote.asked
		writeFile(t, filepath.Join(m.Dir(), "near"), "served meanwhile")
		check(t, cat.Process.Kill())
		if err := cat.Wait(); err == nil {
			t.Error("cat ended well")
		}
		wantFile(t, filepath.Join(m.Dir(), "near"), "served meanwhile")
	})
}
