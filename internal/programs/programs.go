// Package programs builds ccdrive and ccprovider for the packages that test them as they are shipped.
package programs

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// Main is the TestMain of a package that runs the programs: it builds both once, as they are shipped, tells use the folder that they are in,
// and runs the tests. It returns the exit code.
func Main(m *testing.M, use func(bin string)) int {
	dir, err := os.MkdirTemp("", "ccbin-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	build := exec.Command("go", "build", "-o", dir, "github.com/cloudcoin/cloudcoin/cmd/ccdrive", "github.com/cloudcoin/cloudcoin/cmd/ccprovider")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the programs: %v\n%s", err, out)
		return 1
	}
	use(dir)
	return m.Run()
}
