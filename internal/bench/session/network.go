package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Provider is one provider of a running local network.
type Provider struct{ Name, URL, Home string }

// Providers reads the network.json of a running network.
func (d *Drive) Providers() ([]Provider, error) {
	b, err := os.ReadFile(filepath.Join(d.Home, "local", "network.json"))
	if err != nil {
		return nil, err
	}
	var n struct{ Providers []Provider }
	if err := json.Unmarshal(b, &n); err != nil {
		return nil, err
	}
	if len(n.Providers) == 0 {
		return nil, errors.New("network.json lists no providers")
	}
	return n.Providers, nil
}

// TakeLeases makes a drive in d's HOME and takes a granted lease of every provider, as two people would: by key and code.
func (d *Drive) TakeLeases(ctx context.Context, phraseFile string, providers []Provider) error {
	if _, err := d.Run(ctx, "init", "--network", "local", "--phrase-file", phraseFile); err != nil {
		return err
	}
	for _, p := range providers {
		key, err := d.Run(ctx, "lease", "key", p.URL)
		if err != nil {
			return err
		}
		grant := exec.CommandContext(ctx, filepath.Join(d.Bin, "ccprovider"), "grant", "--home", p.Home, "--size", "20GiB",
			"--for", strings.TrimSpace(key), "--until", "1y")
		code, err := grant.Output()
		if err != nil {
			return fmt.Errorf("ccprovider grant: %w", err)
		}
		if _, err := d.Run(ctx, "lease", "add", strings.TrimSpace(string(code))); err != nil {
			return err
		}
	}
	return nil
}
