// Package version tells which build this is.
package version

// Version is set by the linker (see Makefile); "devel" otherwise.
var Version = "devel"
