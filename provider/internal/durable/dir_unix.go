//go:build unix

package durable

import (
	"errors"
	"os"
)

// Dir makes the entries of a folder durable.
func Dir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
