package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/cloudcoin/cloudcoin/provider"
	"github.com/spf13/cobra"
)

func (a *app) initCommand() *cobra.Command {
	cfg := provider.DefaultConfig()
	c := &cobra.Command{
		Use: "init", Short: "Make a provider's keys and configuration", Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			if a.network != "" {
				cfg.Network = a.network
			}
			return a.init(cfg)
		},
	}
	f := c.Flags()
	f.StringVar(&cfg.Name, "name", cfg.Name, "what renters see")
	f.StringVar(&cfg.Operator, "operator", "", "who runs it, as renters see it")
	f.StringVar(&cfg.Country, "country", "", "where it stands: two capital letters")
	f.StringVar(&cfg.Listen, "listen", cfg.Listen, "ADDRESS:PORT to listen on")
	f.StringVar(&cfg.URL, "url", "", "how renters reach it from outside, https://HOST:PORT")
	f.StringVar(&cfg.Storage, "storage", "", "folder of the shards (default: HOME/shards)")
	return c
}

func (a *app) init(cfg provider.Config) error {
	err := provider.Init(a.home, cfg, rand.Reader)
	var wrong *provider.ConfigError
	if errors.As(err, &wrong) {
		return usageError{err}
	}
	if err != nil {
		return err
	}
	return a.print(map[string]string{"home": a.home.Dir, "config": a.home.ConfigPath()}, func(w io.Writer) {
		fmt.Fprintf(w, "A provider was made in %s.\nIts keys are in the file \"phrase\" there: keep a copy of it in a safe place.\nLook at %s, then start it by: ccprovider run\n", a.home.Dir, a.home.ConfigPath())
	})
}

func (a *app) runCommand() *cobra.Command {
	var listen string
	var endWithParent bool
	c := &cobra.Command{
		Use: "run", Short: "Serve renters until SIGINT or SIGTERM", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if err := a.checkNetwork(); err != nil {
				return err
			}
			env := a.env()
			env.Listen = listen
			p, err := provider.Open(a.home, env)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, p.Close()) }()
			ctx := cmd.Context()
			if endWithParent {
				ctx = untilEOF(ctx, os.Stdin)
			}
			var perr error
			err = p.Serve(ctx, func(url string) { perr = a.ready(url) })
			return errors.Join(err, perr)
		},
	}
	c.Flags().StringVar(&listen, "listen", "", "ADDRESS:PORT to listen on instead of the configured one")
	c.Flags().BoolVar(&endWithParent, "end-with-parent", false, "end when standard input does: whoever started this holds its other end")
	_ = c.Flags().MarkHidden("end-with-parent") // fails only for a flag that isn't there
	return c
}

// untilEOF ends the context when r ends: a local network's providers end with whoever started them, however that ends.
func untilEOF(ctx context.Context, r io.Reader) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		_, _ = io.Copy(io.Discard, r) // an error is an end, too
		cancel()
	}()
	return ctx
}

func (a *app) ready(url string) error {
	if a.json {
		return json.NewEncoder(a.out).Encode(map[string]any{"ready": url, "pid": pid()})
	}
	_, err := fmt.Fprintf(a.out, "ready: %s\n", url)
	return err
}

func (a *app) wipeCommand() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use: "wipe", Short: "Lose the shards and slots of all leases (identity, leases and quotas stay)", Args: noArgs, Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !yes {
				return usage("this destroys what renters stored here; say --yes if it is meant")
			}
			if err := a.checkNetwork(); err != nil {
				return err
			}
			return provider.Wipe(cmd.Context(), a.home, a.env())
		},
	}
	c.Flags().BoolVar(&yes, "yes", false, "it is meant")
	return c
}
