package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/cloudcoin/cloudcoin/drive"
	"github.com/cloudcoin/cloudcoin/internal/humanize"
)

// mountFlags are the flags of mount and local that say how to mount.
type mountFlags struct {
	fuse, at, cacheSize, fsync string
	readOnly, allowOther       bool
}

func (m *mountFlags) add(f *pflag.FlagSet) {
	f.StringVar(&m.fuse, "fuse", "auto", "FUSE adapter: auto, gofuse or bazil")
	f.StringVar(&m.at, "at", "", "mount the drive as of a time, read-only (RFC 3339, 2h, yesterday)")
	f.BoolVar(&m.readOnly, "read-only", false, "refuse all changes")
	f.BoolVar(&m.allowOther, "allow-other", false, "let other users in, by the files' permissions")
	f.StringVar(&m.cacheSize, "cache-size", "10GiB", "local disk that contents may take")
	f.StringVar(&m.fsync, "fsync", "local", "what fsync waits for: local (this disk) or stored (the providers)")
}

func (m *mountFlags) options(dir string) (drive.MountOptions, error) {
	o := drive.MountOptions{Adapter: m.fuse, At: m.at, ReadOnly: m.readOnly, AllowOther: m.allowOther, FsyncStored: m.fsync == "stored"}
	if !slices.Contains([]string{"auto", "gofuse", "bazil"}, m.fuse) {
		return o, usageError{fmt.Errorf("--fuse %q: want auto, gofuse or bazil", m.fuse)}
	}
	if m.fsync != "local" && m.fsync != "stored" {
		return o, usageError{fmt.Errorf("--fsync %q: want local or stored", m.fsync)}
	}
	var err error
	if o.CacheLimit, err = humanize.ParseSize(m.cacheSize); err != nil || o.CacheLimit < drive.MinCacheLimit {
		return o, usageError{fmt.Errorf("--cache-size %q: want a size of at least %s", m.cacheSize, humanize.FormatSize(drive.MinCacheLimit))}
	}
	if o.Dir, err = filepath.Abs(dir); err != nil {
		return o, fmt.Errorf("mountpoint: %w", err)
	}
	return o, nil
}

func (a *app) mountCmd() *cobra.Command {
	var m mountFlags
	var background bool
	c := &cobra.Command{Use: "mount DIR", Short: "Mount the drive", Args: args(cobra.ExactArgs(1))}
	m.add(c.Flags())
	c.Flags().BoolVar(&background, "background", false, "return when the mount answers, and go on in the background")
	c.RunE = func(c *cobra.Command, arg []string) error { return a.mount(c, m, arg[0], background) }
	return c
}

func (a *app) mount(c *cobra.Command, m mountFlags, dir string, background bool) error {
	opt, err := a.options()
	if err != nil {
		return err
	}
	mo, err := m.options(dir)
	if err != nil {
		return err
	}
	if background && !drive.IsBackground() {
		return drive.StartBackground(c.Context(), opt, mo)
	}
	return drive.Serve(c.Context(), opt, mo, func() { fmt.Fprintf(c.OutOrStdout(), "ready: %s\n", dir) })
}

func (a *app) unmountCmd() *cobra.Command {
	c := &cobra.Command{Use: "unmount DIR", Aliases: []string{"umount"}, Short: "Flush to local disk and unmount", Args: args(cobra.ExactArgs(1))}
	c.RunE = func(c *cobra.Command, arg []string) error {
		dir, err := filepath.Abs(arg[0])
		if err != nil {
			return fmt.Errorf("mountpoint: %w", err)
		}
		opt, err := a.options()
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(c.Context(), 20*time.Second)
		defer cancel()
		return drive.Unmount(ctx, opt.Home, dir)
	}
	return c
}

func (a *app) localCmd() *cobra.Command {
	var m mountFlags
	var providers int
	var noDrive bool
	c := &cobra.Command{Use: "local DIR", Short: "Run a whole network on this machine and mount a drive on it", Args: args(cobra.MaximumNArgs(1))}
	m.add(c.Flags())
	c.Flags().IntVar(&providers, "providers", 6, "how many providers a new network gets")
	c.Flags().BoolVar(&noDrive, "no-drive", false, "run only the network")
	c.RunE = func(c *cobra.Command, arg []string) error {
		opt, err := a.options()
		if err != nil {
			return err
		}
		switch {
		case noDrive && len(arg) > 0:
			return usageError{errors.New("--no-drive mounts nothing: leave DIR out")}
		case noDrive:
			return drive.ServeNetwork(c.Context(), opt, providers, func() { fmt.Fprintln(c.OutOrStdout(), "ready: network") })
		case len(arg) == 0:
			return usageError{errors.New("name the folder to mount at: ccdrive local DIR")}
		}
		mo, err := m.options(arg[0])
		if err != nil {
			return err
		}
		return drive.ServeLocal(c.Context(), opt, mo, providers, func() { fmt.Fprintf(c.OutOrStdout(), "ready: %s\n", arg[0]) })
	}
	c.AddCommand(a.localProviderCmd())
	return c
}

func (a *app) localProviderCmd() *cobra.Command {
	c := &cobra.Command{Use: "provider", Short: "Stop, start or wipe a provider of the running local network", Args: args(cobra.NoArgs), RunE: needSub}
	for op, short := range map[string]string{
		"stop":  "Take provider N down; its data is kept",
		"start": "Bring provider N up again",
		"wipe":  "Lose the data of provider N: same identity, leases and quota, all shards and slots gone",
	} {
		c.AddCommand(&cobra.Command{Use: op + " N", Short: short, Args: args(cobra.ExactArgs(1)), RunE: func(c *cobra.Command, arg []string) error {
			var n int
			if _, err := fmt.Sscanf(arg[0], "%d", &n); err != nil || n < 1 {
				return usageError{fmt.Errorf("provider %q: want its number, from 1", arg[0])}
			}
			opt, err := a.options()
			if err != nil {
				return err
			}
			net, err := drive.DialNetwork(opt.Home)
			if err != nil {
				return err
			}
			return net.LocalProvider(c.Context(), op, n)
		}})
	}
	return c
}
