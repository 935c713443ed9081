package fileserver

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// byteRange is a part of a shard, never empty.
type byteRange struct {
	off, n  int64
	partial bool // it was asked for; otherwise it is the whole shard
}

func (b byteRange) header(size int64) string {
	return fmt.Sprintf("bytes %d-%d/%d", b.off, b.off+b.n-1, size)
}

// parseRange reads a Range header of one range for a shard of size bytes. Several ranges are refused: each would cost a seek and the client gains nothing.
func parseRange(s string, size int64) (byteRange, error) {
	if s == "" {
		return byteRange{0, size, false}, nil
	}
	bad := problem(http.StatusRequestedRangeNotSatisfiable, "bad-range", "ask for one range: bytes=A-B, bytes=A- or bytes=-N")
	spec, ok := strings.CutPrefix(s, "bytes=")
	first, last, dash := strings.Cut(strings.TrimSpace(spec), "-")
	if !ok || !dash {
		return byteRange{}, bad
	}
	if first == "" {
		n, err := parseOffset(last)
		if err != nil || n == 0 || size == 0 {
			return byteRange{}, bad
		}
		n = min(n, size)
		return byteRange{size - n, n, true}, nil
	}
	from, err := parseOffset(first)
	if err != nil || from >= size {
		return byteRange{}, bad
	}
	to := size - 1
	if last != "" {
		if to, err = parseOffset(last); err != nil || to < from {
			return byteRange{}, bad
		}
		to = min(to, size-1)
	}
	return byteRange{from, to - from + 1, true}, nil
}

// parseOffset reads digits only, no sign.
func parseOffset(s string) (int64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	return int64(n), err
}
