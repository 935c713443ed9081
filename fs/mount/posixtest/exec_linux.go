package posixtest

import (
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"
)

// program copies a program of the system into the case's folder.
func (t *T) program(name string) string {
	from, err := exec.LookPath(name)
	t.ok(err)
	b, err := os.ReadFile(from)
	t.ok(err)
	to := t.path(name)
	t.ok(os.WriteFile(to, b, 0o755))
	return to
}

var execCases = []testCase{
	{"exec/binary", func(t *T) {
		cat := t.program("cat")
		cmd := exec.Command(cat)
		cmd.Stdin = strings.NewReader("through cat")
		out, err := cmd.Output()
		t.ok(err)
		equal(t, string(out), "through cat", "output")
	}},
	{"exec/script", func(t *T) {
		t.ok(os.WriteFile(t.path("s"), []byte("#!/bin/sh\necho from $0\n"), 0o755))
		out, err := exec.Command(t.path("s")).Output()
		t.ok(err)
		equal(t, string(out), "from "+t.path("s")+"\n", "output")
	}},
	{"exec/rights", func(t *T) {
		t.ok(os.WriteFile(t.path("s"), []byte("#!/bin/sh\n"), 0o644))
		t.errno(exec.Command(t.path("s")).Run(), unix.EACCES)
	}},
	{"exec/busy", func(t *T) {
		cat := t.program("cat")
		cmd := exec.Command(cat)
		in, err := cmd.StdinPipe()
		t.ok(err)
		t.ok(cmd.Start())
		t.refused(cat, unix.O_WRONLY, unix.ETXTBSY)
		t.ok(unix.Unlink(cat)) // it runs on
		t.ok(in.Close())
		t.ok(cmd.Wait())
	}},
}
