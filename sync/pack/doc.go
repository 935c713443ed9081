// Package pack gathers chunks into age files.
package pack
