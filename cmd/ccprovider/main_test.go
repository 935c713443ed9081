package main

import (
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"ccprovider": main,
		// ignoring runs ccprovider as a shell's background job does: with SIGINT ignored.
		"ccprovider-ignoring": func() {
			signal.Ignore(os.Interrupt)
			path, err := os.Executable()
			if err == nil {
				err = syscall.Exec(filepath.Join(filepath.Dir(path), "ccprovider"), append([]string{"ccprovider"}, os.Args[1:]...), os.Environ())
			}
			panic(err)
		},
	})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("CCPROVIDER_HOME", filepath.Join(e.WorkDir, "home"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"await": await, "exits": exits},
	})
}

// await FILE TEXT waits until a file holds a text.
func await(ts *testscript.TestScript, _ bool, args []string) {
	deadline := time.Now().Add(30 * time.Second)
	for {
		b, err := os.ReadFile(ts.MkAbs(args[0]))
		if err == nil && strings.Contains(string(b), args[1]) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s never held %q: %s", args[0], args[1], b)
		}
		time.Sleep(5 * time.Millisecond) // polling a file has no event to wait for
	}
}

// exits CODE COMMAND… runs a command and compares its exit code.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	code := "0"
	if err != nil {
		code = strings.TrimPrefix(err.Error(), "exit status ")
	}
	if code != args[0] {
		ts.Fatalf("%v: exit code %s, want %s", args[1:], code, args[0])
	}
}
