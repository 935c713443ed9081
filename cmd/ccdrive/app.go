package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cloudcoin/cloudcoin/drive"
	"github.com/cloudcoin/cloudcoin/internal/humanize"
	"github.com/cloudcoin/cloudcoin/internal/version"
)

// app holds the flags that every command takes.
type app struct {
	home        string
	network     string
	peers       []string
	logLevel    string
	proxy       string
	uploadLimit string
	json        bool
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "ccdrive",
		Short:         "A cloud drive that belongs to its user",
		Version:       version.Version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			return c.Help()
		},
	}
	root.SetVersionTemplate("ccdrive {{.Version}}\n")
	a.flags(root)
	root.AddCommand(a.initCmd(), a.recoverCmd(), a.mountCmd(), a.unmountCmd(), a.localCmd(), a.statusCmd(), a.syncCmd(),
		a.historyCmd(), a.revertCmd(), a.catCmd(), a.evictCmd(), a.pruneCmd(), a.doctorCmd(), a.packCmd(), a.phraseCmd(),
		a.identityCmd(), a.leaseCmd(), a.leasesCmd(), versionCmd())
	return root
}

func (a *app) flags(root *cobra.Command) {
	f := root.PersistentFlags()
	f.StringVar(&a.home, "home", "", "folder of the drive's local state (default: the platform's data folder, or $CCDRIVE_HOME)")
	f.StringVar(&a.network, "network", "", "local, cloudcoin, signet, testnet or bitcoin; a HOME remembers its own")
	f.StringArrayVar(&a.peers, "peer", nil, "address of a node to start from (repeatable)")
	f.StringVar(&a.logLevel, "log-level", "warn", "debug, info, warn or error")
	f.StringVar(&a.proxy, "proxy", "", "SOCKS5 proxy (host:port) for all outgoing connections")
	f.StringVar(&a.uploadLimit, "upload-limit", "", "limit of all uploads together, per second (10MiB)")
	f.BoolVar(&a.json, "json", false, "print JSON")
}

func versionCmd() *cobra.Command {
	return &cobra.Command{Use: "version", Short: "Print the version", Args: args(cobra.NoArgs), Run: func(c *cobra.Command, _ []string) {
		fmt.Fprintln(c.OutOrStdout(), "ccdrive", version.Version)
	}}
}

// homeDir is the HOME that the flags name.
func (a *app) homeDir() (drive.Home, error) {
	if a.home == "" {
		dir, err := drive.DefaultHome()
		return drive.Home{Dir: dir}, err
	}
	dir, err := filepath.Abs(a.home)
	return drive.Home{Dir: dir}, err
}

func (a *app) logger() (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(a.logLevel)); err != nil {
		return nil, usageError{fmt.Errorf("--log-level %q: want debug, info, warn or error", a.logLevel)}
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})), nil
}

// options are the flags as package drive takes them.
func (a *app) options() (drive.Options, error) {
	home, err := a.homeDir()
	if err != nil {
		return drive.Options{}, err
	}
	logger, err := a.logger()
	if err != nil {
		return drive.Options{}, err
	}
	o := drive.Options{Home: home, Network: a.network, Proxy: a.proxy, Logger: logger}
	if a.uploadLimit != "" {
		if o.UploadLimit, err = humanize.ParseSize(strings.TrimSuffix(a.uploadLimit, "/s")); err != nil || o.UploadLimit <= 0 {
			return o, usageError{fmt.Errorf("--upload-limit %q: want a size per second like 10MiB", a.uploadLimit)}
		}
	}
	return o, nil
}

// withDrive runs fn with the running drive of the HOME, or with the drive opened here when none runs.
func (a *app) withDrive(ctx context.Context, fn func(*drive.Client) error) (err error) {
	opt, err := a.options()
	if err != nil {
		return err
	}
	if err := opt.Home.CheckNetwork(opt.Network); err != nil {
		return err
	}
	client, err := drive.Dial(opt.Home)
	if err == nil {
		return fn(client)
	}
	d, err := drive.Open(ctx, opt)
	if err != nil {
		if client, derr := drive.Dial(opt.Home); derr == nil {
			return fn(client) // it has come up meanwhile
		}
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	return fn(drive.ClientOf(d))
}

// withRunning runs fn with the running drive of the HOME; drive.ErrNotRunning when there is none.
func (a *app) withRunning(fn func(*drive.Client) error) error {
	opt, err := a.options()
	if err != nil {
		return err
	}
	if err := opt.Home.CheckNetwork(opt.Network); err != nil {
		return err
	}
	client, err := drive.Dial(opt.Home)
	if err != nil {
		return err
	}
	return fn(client)
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
