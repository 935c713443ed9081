package drive

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/cloudcoin/cloudcoin/crypto/keychain"
	"github.com/cloudcoin/cloudcoin/crypto/phrase"
	"github.com/cloudcoin/cloudcoin/internal/homelock"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// Networks are the names that --network takes.
var Networks = []string{"local", "cloudcoin", "signet", "testnet", "bitcoin"}

// Errors that tell a command how to end.
var (
	// ErrNoDrive is returned when a HOME holds no drive.
	ErrNoDrive = errors.New("there is no drive here")
	// ErrHasDrive is returned when a drive would be made where one is.
	ErrHasDrive = errors.New("there is a drive here already")
	// ErrNetwork is returned when a HOME belongs to another network than the one asked for.
	ErrNetwork = errors.New("this HOME belongs to another network")
)

// Home is the folder that holds the local state of one drive on one device.
//
//	drive.json   Config: network and device (0600)
//	phrase       the 24 words on one line (0600)
//	leases.json  the leases held (0600)
//	lock         held by the process that works here
//	api.sock     the local API of that process (0600)
//	journal/ index/ stage/
//	local/       the providers of `ccdrive local`
type Home struct{ Dir string }

// Config is what drive.json holds.
type Config struct {
	Format     int       `json:"format"` // 1
	Network    string    `json:"network"`
	Device     string    `json:"device"` // model.DeviceID in hex
	DevicePart uint32    `json:"device_part"`
	Created    time.Time `json:"created"`
	// Continues names the heads that a recovered device goes on from, by device.
	Continues []string `json:"continues,omitempty"`
}

// DeviceID is the device's identifier as the log carries it.
func (c *Config) DeviceID() (model.DeviceID, error) { return model.ParseDeviceID(c.Device) }

// DefaultHome is the platform's data folder for the drive, unless $CCDRIVE_HOME names another.
func DefaultHome() (string, error) {
	if dir := os.Getenv("CCDRIVE_HOME"); dir != "" {
		return filepath.Abs(dir)
	}
	if runtime.GOOS == "linux" || runtime.GOOS == "freebsd" {
		if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
			return filepath.Join(dir, "ccdrive"), nil
		}
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("no home folder: %w; name one with --home", err)
		}
		return filepath.Join(home, ".local", "share", "ccdrive"), nil
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("no data folder: %w; name one with --home", err)
	}
	return filepath.Join(dir, "ccdrive"), nil
}

func (h Home) path(name string) string { return filepath.Join(h.Dir, name) }

// Socket is the path of the local API.
func (h Home) Socket() string { return h.path("api.sock") }

// networkSocket is the path of the API of the local network that is kept in the HOME.
func (h Home) networkSocket() string { return filepath.Join(h.networkDir(), "api.sock") }

// networkDir is where `ccdrive local` keeps its providers.
func (h Home) networkDir() string { return h.path("local") }

// busy tells whether a process works in the HOME.
func (h Home) busy() bool { return homelock.Holder(h.Dir) != 0 }

// Exists tells whether the HOME holds a drive, also a damaged one.
func (h Home) Exists() bool {
	for _, name := range []string{"drive.json", "phrase", "journal", "index"} {
		if _, err := os.Lstat(h.path(name)); err == nil {
			return true
		}
	}
	return false
}

// Create makes the HOME of a new device. It refuses a HOME that holds a drive.
func (h Home) Create(network string, p phrase.Phrase, now time.Time) (*Config, error) {
	if !slices.Contains(Networks, network) {
		return nil, fmt.Errorf("network %q is unknown; choose one of %v: %w", network, Networks, ErrUsage)
	}
	if h.Exists() {
		return nil, fmt.Errorf("%s: %w; choose another --home", h.Dir, ErrHasDrive)
	}
	if err := os.MkdirAll(h.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make HOME: %w", err)
	}
	cfg := &Config{Format: 1, Network: network, Created: now.UTC()}
	if err := cfg.newDevice(); err != nil {
		return nil, err
	}
	if err := writeFile(h.path("phrase"), []byte(p.Words()+"\n")); err != nil {
		return nil, err
	}
	return cfg, h.saveConfig(cfg)
}

// newDevice gives the configuration a device identity that was never used before.
func (c *Config) newDevice() error {
	var b [12]byte
	if _, err := rand.Read(b[:]); err != nil {
		return fmt.Errorf("new device: %w", err)
	}
	var id model.DeviceID
	copy(id[:], b[:8])
	c.Device = id.String()
	const parts = 1<<23 - 1 // 0 is the root's
	c.DevicePart = binary.BigEndian.Uint32(b[8:])%parts + 1
	return nil
}

// Config reads drive.json. ErrNoDrive when the HOME holds no drive.
func (h Home) Config() (*Config, error) {
	b, err := os.ReadFile(h.path("drive.json"))
	if errors.Is(err, os.ErrNotExist) && !h.Exists() {
		return nil, fmt.Errorf("%s: %w; make one with `ccdrive init`, or bring one back with `ccdrive recover`", h.Dir, ErrNoDrive)
	}
	if err != nil {
		return nil, h.damaged("drive.json", err)
	}
	var cfg Config
	if err := json.Unmarshal(b, &cfg); err != nil {
		return nil, h.damaged("drive.json", err)
	}
	if cfg.Format != 1 {
		return nil, fmt.Errorf("%s has format %d; this program knows format 1: use a newer one", h.path("drive.json"), cfg.Format)
	}
	if _, err := cfg.DeviceID(); err != nil || cfg.DevicePart == 0 || cfg.DevicePart >= 1<<23 || !slices.Contains(Networks, cfg.Network) {
		return nil, h.damaged("drive.json", errors.New("its values are out of range"))
	}
	return &cfg, nil
}

// Phrase reads the 24 words.
func (h Home) Phrase() (phrase.Phrase, error) {
	b, err := os.ReadFile(h.path("phrase"))
	if err != nil {
		return phrase.Phrase{}, h.damaged("phrase", err)
	}
	p, err := phrase.Parse(string(b))
	if err != nil {
		return phrase.Phrase{}, h.damaged("phrase", err)
	}
	return p, nil
}

func (h Home) saveConfig(cfg *Config) error {
	b, err := json.MarshalIndent(cfg, "", "\t")
	if err != nil {
		return fmt.Errorf("write drive.json: %w", err)
	}
	return writeFile(h.path("drive.json"), append(b, '\n'))
}

// DamageError is returned when a local file is missing or doesn't hold what it must. Nothing was changed.
type DamageError struct {
	Home string
	File string
	Err  error
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("local state is damaged: %s: %v\nNothing was changed. What is stored with your providers is safe. Bring everything back, with what was not sent yet, into a new HOME:\n  ccdrive recover --home NEWHOME --phrase-file FILE --from %s", e.File, e.Err, e.Home)
}

func (e *DamageError) Unwrap() error { return e.Err }

func (h Home) damaged(file string, err error) error {
	return &DamageError{Home: h.Dir, File: h.path(file), Err: err}
}

// writeFile commits a small secret file: temporary, fsync, rename, fsync of the folder; mode 0600.
func writeFile(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// CheckNetwork refuses a network that isn't the one of the HOME ("" is always right, and so is any on an empty HOME).
func (h Home) CheckNetwork(network string) error {
	if network == "" {
		return nil
	}
	if !slices.Contains(Networks, network) {
		return fmt.Errorf("--network %q: want one of %v: %w", network, Networks, ErrUsage)
	}
	cfg, err := h.Config()
	if err != nil {
		return nil // an empty or damaged HOME is told by whoever opens it
	}
	if cfg.Network != network {
		return fmt.Errorf("%s belongs to the network %q, not %q: %w; leave --network out, or choose another --home", h.Dir, cfg.Network, network, ErrNetwork)
	}
	return nil
}

// Words are the 24 words on one line, as --phrase-file reads them.
func (h Home) Words() (string, error) {
	if _, err := h.Config(); err != nil {
		return "", err
	}
	p, err := h.Phrase()
	if err != nil {
		return "", err
	}
	return p.Words(), nil
}

// Identity is the age identity that opens the drive's packs, as `age -i` reads it.
func (h Home) Identity() (string, error) {
	keys, _, err := h.keys()
	if err != nil {
		return "", err
	}
	return keys.Identity().String(), nil
}

// keys are the keys of the drive, with its configuration.
func (h Home) keys() (*keychain.Keychain, *Config, error) {
	cfg, err := h.Config()
	if err != nil {
		return nil, nil, err
	}
	p, err := h.Phrase()
	if err != nil {
		return nil, nil, err
	}
	return keychain.New(p.Seed(), cfg.Network), cfg, nil
}
