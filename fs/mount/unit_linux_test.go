package mount

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"
)

const mountinfo = `22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
40 22 0:35 / /home/u/Cloud\040Drive rw,nosuid,nodev,relatime - fuse.ccdrive ccdrive rw,user_id=0
41 40 0:36 / /home/u/Cloud\040Drive rw - tmpfs none rw
42 22 0:37 / /mnt/a rw master:2 shared:3 - fuse.ccdrive my\040drive rw
broken line
`

func TestFindMount(t *testing.T) {
	for _, c := range []struct {
		dir  string
		want *entry
	}{
		{"/home/u/Cloud Drive", &entry{"0:36", "/home/u/Cloud Drive", "tmpfs", "none"}}, // the last one lies on top
		{"/mnt/a", &entry{"0:37", "/mnt/a", "fuse.ccdrive", "my drive"}},
		{"/mnt", nil},
	} {
		got, err := findMount(strings.NewReader(mountinfo), c.dir)
		if err != nil {
			t.Fatal(err)
		}
		if (got == nil) != (c.want == nil) || got != nil && *got != *c.want {
			t.Errorf("%s: %+v, want %+v", c.dir, got, c.want)
		}
	}
}

func TestPendingSignals(t *testing.T) {
	status := []byte("Name:\tcat\nSigPnd:\t0000000000000100\nShdPnd:\t0000000000004002\nSigBlk:\t0000000000000002\n")
	got := pendingSignals(status)
	want := uint64(1<<(syscall.SIGKILL-1) | 1<<(syscall.SIGTERM-1)) // SIGINT is blocked
	if got != want {
		t.Errorf("pending %#x, want %#x", got, want)
	}
}

func TestSplitTime(t *testing.T) {
	for _, ns := range []int64{0, 1, -1, 1e9, -1e9, 1_700_000_000_123_456_789, -31_536_000_000_000_001} {
		if sec, nsec := splitTime(ns); joinTime(sec, nsec) != ns || nsec >= 1e9 {
			t.Errorf("%d becomes %d s %d ns", ns, int64(sec), nsec)
		}
	}
}

// An interrupt cancels when the thread is to end, and nothing is left behind when the request was answered.
func TestRequest(t *testing.T) {
	interrupt := make(chan struct{})
	r := newRequest(interrupt, 0)
	done := r.Done()
	if r.Err() != nil {
		t.Fatal("cancelled before the interrupt")
	}
	close(interrupt)
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("the interrupt didn't arrive")
	}
	if r.Err() != context.Canceled {
		t.Errorf("err %v", r.Err())
	}
	r.end()
	late := newRequest(make(chan struct{}), 0)
	late.end()
	select {
	case <-late.Done():
		t.Error("a request that was answered is cancelled")
	default:
	}
}
