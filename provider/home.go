package provider

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/cloudcoin/cloudcoin/crypto/phrase"
	"github.com/cloudcoin/cloudcoin/provider/internal/durable"
	"github.com/cloudcoin/cloudcoin/provider/ledger"
	"github.com/cloudcoin/cloudcoin/provider/shardstore"
)

// Home is the folder of one provider.
//
//	ccprovider.toml   Config, for people to edit
//	phrase            the 24 words of the provider's keys on one line (0600)
//	ledger/           leases and usage
//	shards/           the shard store, unless `storage` says otherwise
//	lock, admin.sock  of the running process
type Home struct{ Dir string }

const (
	configFile = "ccprovider.toml"
	phraseFile = "phrase"
	ledgerDir  = "ledger"
	storeDir   = "shards"
)

var (
	// ErrNoProvider is returned when a HOME holds no provider.
	ErrNoProvider = errors.New("there is no provider here")
	// ErrHasProvider is returned by Init when a HOME holds a provider already.
	ErrHasProvider = errors.New("there is a provider here already")
)

// DefaultHome is the platform's data folder for the provider, unless $CCPROVIDER_HOME names another.
func DefaultHome() (string, error) {
	if dir := os.Getenv("CCPROVIDER_HOME"); dir != "" {
		return filepath.Abs(dir)
	}
	if runtime.GOOS == "linux" || runtime.GOOS == "freebsd" {
		if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
			return filepath.Join(dir, "ccprovider"), nil
		}
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("no home folder: %w; name one with --home", err)
		}
		return filepath.Join(home, ".local", "share", "ccprovider"), nil
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("no data folder: %w; name one with --home", err)
	}
	return filepath.Join(dir, "ccprovider"), nil
}

func (h Home) path(name string) string { return filepath.Join(h.Dir, name) }

// ConfigPath is where the configuration lies.
func (h Home) ConfigPath() string { return h.path(configFile) }

// storage is where the shards lie.
func (h Home) storage(c *Config) string {
	switch {
	case c.Storage == "":
		return h.path(storeDir)
	case filepath.IsAbs(c.Storage):
		return c.Storage
	}
	return h.path(c.Storage)
}

// Init makes a provider in a HOME: keys, configuration, an empty ledger and store. The configuration comes last, so an interrupted Init can be repeated; a phrase
// that is there is kept. ErrHasProvider is returned when the HOME has a configuration.
func Init(h Home, c Config, random io.Reader) error {
	if err := c.validate(); err != nil {
		return err
	}
	if err := os.MkdirAll(h.Dir, 0o700); err != nil {
		return fmt.Errorf("make HOME: %w", err)
	}
	if _, err := os.Lstat(h.ConfigPath()); err == nil {
		return fmt.Errorf("%w: %s exists; it is left as it is", ErrHasProvider, h.ConfigPath())
	}
	if err := h.initPhrase(random); err != nil {
		return err
	}
	if err := ledger.Create(h.path(ledgerDir)); err != nil {
		return err
	}
	if err := shardstore.CreateFolder(h.storage(&c)); err != nil {
		return err
	}
	return writeNew(h.ConfigPath(), c.text(), 0o600)
}

func (h Home) initPhrase(random io.Reader) error {
	if _, err := os.Lstat(h.path(phraseFile)); err == nil {
		return nil
	}
	p, err := phrase.New(random)
	if err != nil {
		return fmt.Errorf("draw phrase: %w", err)
	}
	return writeNew(h.path(phraseFile), p.Words()+"\n", 0o600)
}

// writeNew writes a file that must not exist, whole or not at all.
func writeNew(path, text string, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.new")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close(), os.Chmod(f.Name(), mode)); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, errors.Join(err, os.Remove(f.Name())))
	}
	return durable.Dir(filepath.Dir(path))
}
