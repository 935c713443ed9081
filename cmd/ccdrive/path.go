package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/cloudcoin/cloudcoin/drive"
)

// drivePath turns what was typed into a path from the drive's root ("" is the root itself). With the drive mounted it is any path under the
// mountpoint, absolute or from the current folder, and need not exist any more; with nothing mounted it is a path from the drive's root.
func drivePath(ctx context.Context, d *drive.Client, typed string) (string, error) {
	s, err := d.Status(ctx)
	if err != nil {
		return "", err
	}
	if s.Mountpoint == "" {
		return clean(typed), nil
	}
	abs, err := filepath.Abs(typed)
	if err != nil {
		return "", fmt.Errorf("path %s: %w", typed, err)
	}
	mount := resolve(s.Mountpoint)
	for _, p := range []string{abs, resolve(abs)} {
		for _, m := range []string{s.Mountpoint, mount} {
			if p == m {
				return "", nil
			}
			if rest, ok := strings.CutPrefix(p, strings.TrimSuffix(m, "/")+"/"); ok {
				return clean(rest), nil
			}
		}
	}
	return "", usageError{fmt.Errorf("%s is not under the mountpoint %s of this drive", typed, s.Mountpoint)}
}

func clean(p string) string {
	return strings.TrimPrefix(filepath.Clean("/"+p), "/")
}

// resolve follows the symbolic links of the longest part of p's folder that exists; the last name is left as it is, since it may be a link that is meant itself.
func resolve(p string) string {
	dir, rest := filepath.Dir(p), filepath.Base(p)
	for {
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			return filepath.Join(real, rest)
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return p
		}
		rest = filepath.Join(filepath.Base(dir), rest)
		dir = parent
	}
}

// flushMount makes the kernel hand over what it still holds of the mount in its writeback cache. A file that is written by another process
// at the same time is flushed as of some moment during the call.
func flushMount(ctx context.Context, d *drive.Client) error {
	s, err := d.Status(ctx)
	if err != nil || s.Mountpoint == "" {
		return err
	}
	dir, err := os.Open(s.Mountpoint)
	if err != nil {
		return fmt.Errorf("flush the mount: %w", err)
	}
	defer dir.Close()
	if err := syncfs(dir); err != nil {
		return fmt.Errorf("flush the mount: %w", err)
	}
	return nil
}
