//go:build darwin || freebsd

package mount

// wantsEnd is true: without /proc, whoever is interrupted wants to end.
func wantsEnd(uint32) bool { return true }
