package provider

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"
	"unicode"

	"github.com/cloudcoin/cloudcoin/internal/humanize"
	"github.com/cloudcoin/cloudcoin/provider/fileserver"
	"github.com/pelletier/go-toml/v2"
)

// Networks are the names that --network takes.
var Networks = []string{"local", "cloudcoin", "signet", "testnet", "bitcoin"}

// DefaultListen is where a provider listens unless it is told otherwise.
const DefaultListen = "0.0.0.0:7420"

// DefaultGrace is how long after the end of a lease its data can still be fetched.
const DefaultGrace = 60 * 24 * time.Hour

// Size is a number of bytes that is written `50GiB` in the configuration.
type Size int64

// UnmarshalText reads a size as people write it.
func (s *Size) UnmarshalText(b []byte) error {
	n, err := humanize.ParseSize(string(b))
	*s = Size(n)
	return err
}

// Span is a duration that is written `60d` in the configuration.
type Span time.Duration

// UnmarshalText reads a duration as people write it.
func (s *Span) UnmarshalText(b []byte) error {
	d, err := humanize.ParseDuration(string(b))
	*s = Span(d)
	return err
}

// Config is what ccprovider.toml says.
type Config struct {
	Network  string `toml:"network"`
	Name     string `toml:"name"`
	Operator string `toml:"operator"`
	Country  string `toml:"country"` // ISO 3166-1 alpha-2, or ""
	Listen   string `toml:"listen"`
	URL      string `toml:"url"`
	Storage  string `toml:"storage"`
	TLS      string `toml:"tls"` // auto, on, off
	Grace    Span   `toml:"grace"`
	MaxShard Size   `toml:"max_shard"`
	Limits   struct {
		Connections           int `toml:"connections"`
		ConnectionsPerAddress int `toml:"connections_per_address"`
		RequestsPerAddress    int `toml:"requests_per_address"` // at once
		RequestsPerKey        int `toml:"requests_per_key"`     // at once
		RatePerAddress        int `toml:"rate_per_address"`     // a second
		RatePerKey            int `toml:"rate_per_key"`         // a second
	} `toml:"limits"`
}

// DefaultConfig is what Init writes unless told otherwise.
func DefaultConfig() Config {
	c := Config{
		Network: "cloudcoin", Name: "provider", Listen: DefaultListen, TLS: "auto", Grace: Span(DefaultGrace), MaxShard: fileserver.DefaultMaxShard,
	}
	c.Limits.Connections, c.Limits.ConnectionsPerAddress = 4096, 1024
	return c
}

// Config reads and checks the configuration. ErrNoProvider is returned when there is none.
func (h Home) Config() (Config, error) {
	b, err := os.ReadFile(h.ConfigPath())
	if errors.Is(err, fs.ErrNotExist) {
		return Config{}, fmt.Errorf("%w: %s doesn't exist; `ccprovider init` makes one", ErrNoProvider, h.ConfigPath())
	}
	if err != nil {
		return Config{}, fmt.Errorf("read configuration: %w", err)
	}
	c := DefaultConfig()
	dec := toml.NewDecoder(bytes.NewReader(b)).DisallowUnknownFields()
	if err := dec.Decode(&c); err != nil {
		return Config{}, fmt.Errorf("%s: %w", h.ConfigPath(), explain(err))
	}
	if err := c.validate(); err != nil {
		return Config{}, fmt.Errorf("%s: %w", h.ConfigPath(), err)
	}
	return c, nil
}

// explain says in which line the file is wrong.
func explain(err error) error {
	var strict *toml.StrictMissingError
	if errors.As(err, &strict) && len(strict.Errors) > 0 {
		line, _ := strict.Errors[0].Position()
		return fmt.Errorf("line %d: %q is not a setting", line, strings.Join(strict.Errors[0].Key(), "."))
	}
	var wrong *toml.DecodeError
	if errors.As(err, &wrong) {
		line, _ := wrong.Position()
		return fmt.Errorf("line %d: %w", line, err)
	}
	return err
}

// ConfigError is returned when a setting is wrong; it names the first.
type ConfigError struct{ Why error }

func (e *ConfigError) Error() string { return e.Why.Error() }

// Unwrap gives the reason.
func (e *ConfigError) Unwrap() error { return e.Why }

// validate checks every setting.
func (c *Config) validate() error {
	if err := c.check(); err != nil {
		return &ConfigError{err}
	}
	return nil
}

func (c *Config) check() error {
	if !slices.Contains(Networks, c.Network) {
		return fmt.Errorf("network: %q is none of %s", c.Network, strings.Join(Networks, ", "))
	}
	for what, s := range map[string]string{"name": c.Name, "operator": c.Operator} {
		if len(s) > 64 || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
			return fmt.Errorf("%s: at most 64 bytes of printable text, not %q", what, s)
		}
	}
	if c.Country != "" && (len(c.Country) != 2 || strings.Trim(c.Country, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "") {
		return fmt.Errorf("country: %q is not two capital letters such as DE", c.Country)
	}
	if _, port, err := net.SplitHostPort(c.Listen); err != nil {
		return fmt.Errorf("listen: %q is not ADDRESS:PORT", c.Listen)
	} else if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("listen: %q is not a port", port)
	}
	if c.TLS != "auto" && c.TLS != "on" && c.TLS != "off" {
		return fmt.Errorf("tls: %q is none of auto, on, off", c.TLS)
	}
	if c.Grace < 0 || c.MaxShard < 1<<20 || c.MaxShard > 1<<30 {
		return errors.New("grace can't be negative; max_shard is 1MiB to 1GiB")
	}
	if strings.ContainsFunc(c.Storage, unicode.IsControl) {
		return fmt.Errorf("storage: %q holds control characters", c.Storage)
	}
	return c.checkURL()
}

func (c *Config) checkURL() error {
	if c.URL == "" {
		return nil
	}
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.HasSuffix(c.URL, "/") || u.RawQuery != "" || u.User != nil {
		return fmt.Errorf("url: %q is not like https://HOST:PORT, without a slash at the end", c.URL)
	}
	if u.Scheme == "http" && !loopbackHost(u.Hostname()) {
		return fmt.Errorf("url: %q: plain http is for loopback only", c.URL)
	}
	return nil
}

func loopbackHost(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

var configText = template.Must(template.New("").Parse(`# ccprovider: the configuration of this provider. "ccprovider config check" checks it; a restart makes it count.
# Sizes are written 50GiB, spans 60d. What stands behind a # is a default.

# The network that this HOME belongs to. It can't be changed later: leases and keys are bound to it.
network = {{.Network | printf "%q"}}

# What renters are told about you. Country: two capital letters, or empty.
name = {{.Name | printf "%q"}}
operator = {{.Operator | printf "%q"}}
country = {{.Country | printf "%q"}}

# Where to listen, and under which address renters reach that from outside (needed when listening on all addresses):
# url = "https://storage.example.org:7420"
listen = {{.Listen | printf "%q"}}
url = {{.URL | printf "%q"}}

# TLS with a certificate made from the provider's own key: "auto" (always, but on loopback), "on", "off" (loopback only).
tls = {{.TLS | printf "%q"}}

# Where the shards lie: a folder of one filesystem. Empty: the folder "shards" beside this file.
storage = {{.Storage | printf "%q"}}

# How long after the end of a lease its data can still be fetched; for leases granted from now on.
grace = "60d"

# The longest shard that is taken.
# max_shard = "64MiB"

[limits]
# connections = 4096              # at once
# connections_per_address = 1024  # at once
# requests_per_address = 512      # at once
# requests_per_key = 128          # at once
# rate_per_address = 50000        # requests a second
# rate_per_key = 50000            # requests a second
`))

// text writes the configuration with its comments.
func (c *Config) text() string {
	var b strings.Builder
	if err := configText.Execute(&b, c); err != nil {
		panic(err) // a template of constants into memory
	}
	return b.String()
}
