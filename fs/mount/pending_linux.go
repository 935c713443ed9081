package mount

import (
	"bytes"
	"os"
	"strconv"
	"syscall"
)

// endingSignals are the signals whose being pending cancels a request.
const endingSignals = 1<<(syscall.SIGKILL-1) | 1<<(syscall.SIGTERM-1) | 1<<(syscall.SIGINT-1) | 1<<(syscall.SIGHUP-1) | 1<<(syscall.SIGQUIT-1)

// wantsEnd tells whether a thread has a signal pending that ends programs, or is not to be seen.
func wantsEnd(tid uint32) bool {
	if tid == 0 {
		return true
	}
	status, err := os.ReadFile("/proc/" + strconv.FormatUint(uint64(tid), 10) + "/status")
	if err != nil {
		return true
	}
	return pendingSignals(status)&endingSignals != 0
}

// pendingSignals reads the signals that are pending for a thread or its process and not blocked, out of /proc/TID/status.
func pendingSignals(status []byte) uint64 {
	var pending, blocked uint64
	for line := range bytes.Lines(status) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch string(name) {
		case "SigPnd", "ShdPnd", "SigBlk":
		default:
			continue
		}
		n, err := strconv.ParseUint(string(bytes.TrimSpace(value)), 16, 64)
		switch {
		case err != nil:
		case string(name) == "SigBlk":
			blocked = n
		default:
			pending |= n
		}
	}
	return pending &^ blocked
}
