package localnet

import "syscall"

// childAttr makes a child end with the thread that started it, and keeps the terminal's signals from it: we stop it ourselves.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
