package localnet

import "syscall"

// childAttr: a child ends with us because its standard input does.
func childAttr() *syscall.SysProcAttr { return nil }
