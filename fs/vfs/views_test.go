package vfs_test

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cloudcoin/cloudcoin/fs/stage"
	"github.com/cloudcoin/cloudcoin/fs/vfs"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// stuck is a network that never answers.
type stuck struct{}

func (stuck) Base(model.Ino, model.Rev) stage.Base { return stuck{} }
func (stuck) ReadAt(ctx context.Context, _ []byte, _ int64) error {
	<-ctx.Done()
	return ctx.Err()
}
func (stuck) NextData(off int64) (int64, error) { return off, nil }
func (stuck) NextHole(int64) (int64, error)     { return vfs.MaxFileSize, nil }

func TestTimeViews(t *testing.T) {
	d := newDrive(t, nil)
	run(t, d, "mkdir /d\nwrite /d/f old\nsymlink /d/l f\nsetx /d/f user.a then\nwait")
	then := fmt.Sprint(uint64(d.x.LastRev()))
	at := "/.ccdrive/at/" + then
	run(t, d, strings.ReplaceAll(`
		write /d/f new
		setx /d/f user.a now
		create /d/g
		ls / = d
		ls /.ccdrive = at
		ls /.ccdrive/at
		ls AT = d
		ls AT/d = f l
		read AT/d/f = old
		size AT/d/f = 3
		readlink AT/d/l = f
		getx AT/d/f user.a = then
		read /d/f = new
		getx /d/f user.a = now
		write AT/d/f no = EROFS
		mkdir AT/x = EROFS
		unlink AT/d/f = EROFS
		rename AT/d/f AT/d/g = EROFS
		rename AT/d/f /f = EROFS
		chmod AT/d/f 777 = EROFS
		access AT/d/f 2 = EROFS
		access AT/d/f 4
		truncate AT/d/f 0 = EROFS
		mkdir /.ccdrive/x = EROFS
		mkdir /.ccdrive/at/x = EROFS
		rmdir /.ccdrive = EPERM
		ls /.ccdrive/at/nonsense = ENOENT
		ls /.ccdrive/at/1999-01-01 = ENOENT
		ls /.ccdrive/at/2s/d = f l
		ls /.ccdrive/at/now/d = f g l`, "AT", at))
	if a, b := d.stat("/d/f").Ino, d.stat(at+"/d/f").Ino; a == b || b < 1<<63 {
		t.Fatalf("st_ino %d and %d", a, b)
	}
	rfc := "/.ccdrive/at/" + d.clock.Now().UTC().Format(time.RFC3339Nano)
	run(t, d, "ls "+rfc+"/d = f g l")
}

func TestTimeViewNodesAreFreed(t *testing.T) {
	d := newDrive(t, nil)
	run(t, d, "mkdir /d\nwrite /d/f x\nwait")
	p, errno := d.node("/.ccdrive/at/now")
	ok(t, errno)
	e, errno := d.fs.Lookup(bg, vfs.Caller{}, p, "d")
	ok(t, errno)
	again, errno := d.fs.Lookup(bg, vfs.Caller{}, p, "d")
	ok(t, errno)
	if e.Node != again.Node || e.Node < 1<<63 {
		t.Fatalf("nodes %x and %x", e.Node, again.Node)
	}
	d.fs.Forget(e.Node, 1)
	_, errno = d.fs.GetAttr(bg, vfs.Caller{}, e.Node, 0)
	ok(t, errno)
	d.fs.Forget(e.Node, 1)
	if _, errno := d.fs.GetAttr(bg, vfs.Caller{}, e.Node, 0); errno != syscall.ESTALE {
		t.Fatalf("a forgotten node answers %v", errno)
	}
}

func TestMountAt(t *testing.T) {
	d := newDrive(t, nil)
	run(t, d, "write /f old\nwait")
	then := d.x.LastRev()
	run(t, d, "write /f new\ncreate /g")
	d.setup = func(c *vfs.Config) { c.At = then }
	d.reopen()
	run(t, d, `
		ls / = f
		read /f = old
		write /f no = EROFS
		create /h = EROFS
		ls /.ccdrive = ENOENT`)
	if d.fs.ReadOnly() == "" {
		t.Fatal("no reason why it is read-only")
	}
}

func TestReadOnly(t *testing.T) {
	d := newDrive(t, nil)
	run(t, d, "write /f x\nopen h /f rw")
	d.fs.SetReadOnly("another device was here")
	run(t, d, "write /f y = EROFS\nmkdir /d = EROFS\nread /f = x\nchmod /f 600 = EROFS\nsetx /f user.a b = EROFS\nlink /f /g = EROFS")
	d.fs.SetReadOnly("")
	run(t, d, "write /f y\nread /f = y")
}

func TestOwner(t *testing.T) {
	d := newDrive(t, nil)
	run(t, d, "create /f\nchown /f 5 6")
	d.setup = func(c *vfs.Config) { c.Owner = &vfs.Owner{UID: 1000, GID: 1001} }
	d.reopen()
	run(t, d, `
		owner /f = 1000:1001
		chown /f 1000 1001
		chown /f 7 8 = EPERM
		as 1000 1001
		create /g
		owner /g = 1000:1001`)
	d.setup = nil
	d.reopen()
	run(t, d, "owner /f = 5:6\nowner /g = 1000:1001")
}

func TestParseTime(t *testing.T) {
	zone := time.FixedZone("x", 3600)
	now := time.Date(2030, 5, 6, 7, 8, 9, 0, zone)
	for s, want := range map[string]time.Time{
		"now": now, "yesterday": now.AddDate(0, 0, -1), "2h": now.Add(-2 * time.Hour), "90s": now.Add(-90 * time.Second),
		"3d": now.Add(-72 * time.Hour), "1w": now.Add(-7 * 24 * time.Hour), "1h30m": now.Add(-90 * time.Minute),
		"2030-01-02": time.Date(2030, 1, 2, 0, 0, 0, 0, zone), "2030-01-02T03:04:05Z": time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC),
		"2030-01-02 03:04": time.Date(2030, 1, 2, 3, 4, 0, 0, zone), "2030-01-02T03:04:05.5+02:00": time.Date(2030, 1, 2, 1, 4, 5, 5e8, time.UTC),
		"1893456000000000": time.UnixMicro(1893456000000000),
	} {
		rev, err := vfs.ParseTime(s, now)
		check(t, err)
		if !rev.Time().Equal(want) {
			t.Errorf("%s is %s, want %s", s, rev.Time(), want)
		}
	}
	for _, s := range []string{"", "0", "h", "-2h", "2030-13-01", "tomorrow", "d", "9999999999999999999999"} {
		if rev, err := vfs.ParseTime(s, now); err == nil {
			t.Errorf("%q is %d", s, rev)
		}
	}
}

// The past has the permissions of its time, so the way to it is only for who owns the drive.
func TestPastIsForTheOwner(t *testing.T) {
	d := newDrive(t, nil)
	for _, path := range []string{"/.ccdrive", "/.ccdrive/at"} {
		node, errno := d.node(path)
		if errno != 0 {
			t.Fatal(errno)
		}
		if a, errno := d.fs.GetAttr(t.Context(), vfs.Caller{}, node, 0); errno != 0 || a.Mode != model.TypeDir|0o500 {
			t.Errorf("%s: mode %o, %v", path, a.Mode, errno)
		}
	}
}
