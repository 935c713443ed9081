//go:build unix && !linux

package localnet

import "syscall"

// childAttr keeps the terminal's signals from a child: we stop it ourselves. It ends with us because its standard input does.
func childAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
