package mount

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// ours tells whether a ccdrive was mounted there.
func (e *entry) ours() bool { return e.fstype == "fuse."+subtype }

// mountedAt is the topmost mount at dir, an absolute path without links; nil when there is none.
func mountedAt(dir string) (*entry, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("look for mounts: %w", err)
	}
	defer f.Close()
	return findMount(f, dir)
}

// findMount reads mountinfo. The last mount at a folder lies on top.
func findMount(r io.Reader, dir string) (*entry, error) {
	var found *entry
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if e, ok := parseEntry(lines.Text()); ok && e.dir == dir {
			found = &e
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read mounts: %w", err)
	}
	return found, nil
}

// parseEntry reads one line: ID PARENT MAJ:MIN ROOT MOUNTPOINT OPTIONS [FIELD…] - TYPE SOURCE SUPEROPTIONS.
func parseEntry(line string) (entry, bool) {
	before, after, ok := strings.Cut(line, " - ")
	f, g := strings.Fields(before), strings.Fields(after)
	if !ok || len(f) < 6 || len(g) < 2 {
		return entry{}, false
	}
	return entry{dev: f[2], dir: unescapeOctal(f[4]), fstype: unescapeOctal(g[0]), source: unescapeOctal(g[1])}, true
}

// unescapeOctal undoes \040 and the like.
func unescapeOctal(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
