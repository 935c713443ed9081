package main

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/cloudcoin/cloudcoin/internal/version"
	"github.com/cloudcoin/cloudcoin/provider"
	"github.com/spf13/cobra"
)

// app is what the commands share: the flags that all take, and where they print.
type app struct {
	out, errs io.Writer

	homeFlag, network, logLevel string
	json                        bool

	home   provider.Home
	logger *slog.Logger
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use: "ccprovider", Short: "Rent out disk space", SilenceErrors: true, SilenceUsage: true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return a.prepare() },
		Args:              noArgs,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	f := root.PersistentFlags()
	f.StringVar(&a.homeFlag, "home", "", "the provider's folder (default: $CCPROVIDER_HOME, or the platform's data folder)")
	f.StringVar(&a.network, "network", "", "local, cloudcoin, signet, testnet or bitcoin (default: the HOME's; cloudcoin for init)")
	f.StringVar(&a.logLevel, "log-level", "info", "debug, info, warn or error")
	f.BoolVar(&a.json, "json", false, "print JSON")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.SetOut(a.out)
	root.SetErr(a.errs)
	root.AddCommand(a.initCommand(), a.runCommand(), a.statusCommand(), a.leasesCommand(), a.grantCommand(), a.scrubCommand(), a.wipeCommand(), a.configCommand(), a.versionCommand())
	return root
}

// noArgs is cobra.NoArgs with the exit code of wrong usage.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage("%s takes no %q; see `%s --help`", cmd.CommandPath(), args[0], cmd.CommandPath())
	}
	return nil
}

// prepare resolves the common flags.
func (a *app) prepare() error {
	var level slog.Level
	if err := level.UnmarshalText([]byte(a.logLevel)); err != nil {
		return usage("--log-level: %q is none of debug, info, warn, error", a.logLevel)
	}
	a.logger = slog.New(slog.NewTextHandler(a.errs, &slog.HandlerOptions{Level: level}))
	dir := a.homeFlag
	if dir == "" {
		var err error
		if dir, err = provider.DefaultHome(); err != nil {
			return err
		}
	}
	abs, err := filepath.Abs(dir)
	a.home = provider.Home{Dir: abs}
	return err
}

// env is what a provider gets from this process.
func (a *app) env() provider.Env {
	return provider.Env{Now: time.Now, Random: rand.Reader, Logger: a.logger}
}

// checkNetwork refuses a --network that isn't the HOME's, and a HOME without a provider.
func (a *app) checkNetwork() error {
	c, err := a.home.Config()
	if err != nil {
		return err
	}
	if a.network != "" && a.network != c.Network {
		return usage("this HOME belongs to the network %s, not %s; choose another --home for that", c.Network, a.network)
	}
	return nil
}

// operate runs fn on the provider of the HOME, running or not.
func (a *app) operate(cmd *cobra.Command, fn func(provider.Operator) error) error {
	if err := a.checkNetwork(); err != nil {
		return err
	}
	return provider.Operate(cmd.Context(), a.home, a.env(), fn)
}

// print writes v as JSON when --json is given, else calls people.
func (a *app) print(v any, people func(w io.Writer)) error {
	if a.json {
		e := json.NewEncoder(a.out)
		e.SetIndent("", "  ")
		return e.Encode(v)
	}
	var b strings.Builder
	people(&b)
	_, err := io.WriteString(a.out, b.String())
	return err
}

// warn tells people on stderr.
func (a *app) warn(warnings []string) {
	for _, w := range warnings {
		fmt.Fprintln(a.errs, "warning:", w)
	}
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			v := map[string]string{"version": version.Version, "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH}
			return a.print(v, func(w io.Writer) {
				fmt.Fprintf(w, "ccprovider %s (%s, %s/%s)\n", version.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			})
		},
	}
}

func (a *app) configCommand() *cobra.Command {
	c := &cobra.Command{Use: "config", Short: "The configuration", Args: noArgs, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	c.AddCommand(&cobra.Command{
		Use: "check", Short: "Check the configuration file without touching a running provider", Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := a.checkNetwork(); err != nil {
				return err
			}
			return a.print(map[string]any{"ok": true, "file": a.home.ConfigPath()}, func(w io.Writer) {
				fmt.Fprintf(w, "%s is well-formed\n", a.home.ConfigPath())
			})
		},
	})
	return c
}

// pid is this process, for people who look for it.
func pid() int { return os.Getpid() }
