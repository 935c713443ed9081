// Package seal makes and opens age files.
package seal
