package posixtest

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	Main()
	os.Exit(m.Run())
}

// TestPosixLocal proves the cases right on a local filesystem. What is pinned depends on which one it is.
func TestPosixLocal(t *testing.T) {
	dir := OpenDir(t)
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		t.Fatal(err)
	}
	if s.Type != unix.EXT4_SUPER_MAGIC && s.Type != unix.XFS_SUPER_MAGIC {
		t.Skipf("no ext4 or XFS at %s (type %#x): other filesystems may differ from the cases", dir, s.Type)
	}
	Run(t, dir, Options{})
}
