//go:build linux || darwin || freebsd

package mount

// splitTime takes nanoseconds since 1970 apart. Times before 1970 have negative seconds and, as POSIX wants, positive nanoseconds.
func splitTime(ns int64) (sec uint64, nsec uint32) {
	s, n := ns/1e9, ns%1e9
	if n < 0 {
		s, n = s-1, n+1e9
	}
	return uint64(s), uint32(n)
}

// joinTime is the reverse. Times that 64 bits of nanoseconds can't hold (before 1678, after 2262) become the nearest one.
func joinTime(sec uint64, nsec uint32) int64 {
	const limit = int64(1<<63-1)/1e9 - 1
	return min(max(int64(sec), -limit), limit)*1e9 + int64(nsec)
}
