//go:build linux

package acceptance

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

func TestToolsWorkInside(t *testing.T) {
	d := newDrive(t)
	t.Run("git", func(t *testing.T) {
		src := t.TempDir()
		run(t, src, "git", "init", "-q")
		for i := range 200 {
			write(t, filepath.Join(src, fmt.Sprintf("d%d/f%d", i%10, i)), strings.Repeat(fmt.Sprint(i), i*50))
		}
		run(t, src, "git", "add", "-A")
		run(t, src, "git", "commit", "-q", "-m", "all")
		clone := filepath.Join(d.Mount, "clone")
		run(t, "", "git", "clone", "-q", src, clone)
		run(t, clone, "git", "fsck", "--full", "--strict")
		run(t, clone, "git", "gc", "-q")
		write(t, filepath.Join(clone, "new"), "new")
		run(t, clone, "git", "add", "-A")
		run(t, clone, "git", "commit", "-q", "-m", "more")
		run(t, clone, "git", "fsck", "--full", "--strict")
		if out := run(t, clone, "git", "status", "--porcelain"); out != "" {
			t.Fatalf("git status: %s", out)
		}
	})
	t.Run("go build", func(t *testing.T) {
		dir := filepath.Join(d.Mount, "program")
		write(t, filepath.Join(dir, "go.mod"), "module example.org/program\n\ngo 1.24\n")
		write(t, filepath.Join(dir, "main.go"), "package main\n\nimport \"fmt\"\n\nfunc main() { fmt.Println(\"built inside\") }\n")
		run(t, dir, "go", "build", "-o", "program", ".")
		if out := run(t, dir, "./program"); out != "built inside\n" {
			t.Fatalf("the program printed %q", out)
		}
	})
	for _, mode := range []string{"wal", "delete"} {
		t.Run("sqlite "+mode, func(t *testing.T) {
			db := filepath.Join(d.Mount, mode+".db")
			run(t, "", "sqlite3", db, "PRAGMA journal_mode="+mode+"; CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT);")
			for i := range 30 {
				run(t, "", "sqlite3", db, fmt.Sprintf("INSERT INTO t VALUES (%d, hex(randomblob(2000)));", i))
			}
			if out := run(t, "", "sqlite3", db, "PRAGMA integrity_check; SELECT count(*) FROM t;"); out != "ok\n30\n" {
				t.Fatalf("sqlite says %q", out)
			}
		})
	}
	t.Run("rsync", func(t *testing.T) {
		src := source(t)
		dst := filepath.Join(d.Mount, "synced")
		run(t, "", "rsync", "-aHAX", src+"/", dst+"/")
		compare(t, src, dst)
		if out := run(t, "", "rsync", "-aHAXn", "--itemize-changes", "--checksum", src+"/", dst+"/"); out != "" {
			t.Fatalf("rsync would send again:\n%s", out)
		}
	})
}
