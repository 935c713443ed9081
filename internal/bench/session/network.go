package session

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/cloudcoin/cloudcoin/crypto/leasecode"
	"github.com/cloudcoin/cloudcoin/drive/lease"
	"github.com/cloudcoin/cloudcoin/sync/model"
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

// Rent takes a granted lease of the first provider of a running network, for a client without a drive.
func (d *Drive) Rent(ctx context.Context) (*lease.Client, error) {
	providers, err := d.Providers()
	if err != nil {
		return nil, err
	}
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	grant := exec.CommandContext(ctx, filepath.Join(d.Bin, "ccprovider"), "grant", "--home", providers[0].Home, "--size", "100GiB",
		"--for", leasecode.FormatKey(public), "--until", "1y")
	out, err := grant.Output()
	if err != nil {
		return nil, fmt.Errorf("ccprovider grant: %w", err)
	}
	code, err := leasecode.Parse(string(out))
	if err != nil {
		return nil, err
	}
	return lease.New(lease.Config{
		URL: providers[0].URL, Provider: code.Provider, Lease: model.LeaseID(code.ID), Key: key, Network: code.Network,
	})
}
