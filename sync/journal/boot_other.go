//go:build !linux && !darwin

package journal

// bootID is unknown here: no two sessions are taken for the same boot.
func bootID() string { return "" }

func mountID(dir string) (uint64, error) { return deviceID(dir) }
