// Package localnet runs a whole network on loopback: provider processes, each with a HOME of its own.
package localnet

import (
	"context"
	"log/slog"
	"time"
)

// Options of a Net.
type Options struct {
	Binary string       // ccprovider; "": beside this executable, then in PATH
	Logger *slog.Logger // nil: silent
}

// Provider is one provider of the network, as network.json lists it.
type Provider struct {
	Name string `json:"name"`
	URL  string `json:"url"`
	Home string `json:"home"`
}

// Net is a network kept under one folder. Safe for concurrent use.
type Net struct{}

// Open makes or opens the network under dir and locks it. Nothing runs yet.
func Open(dir string, opt Options) (*Net, error) { panic("being built") }

// Start brings up n providers (more when the folder has more) and returns when all serve.
func (n *Net) Start(ctx context.Context, count int) error { panic("being built") }

// Providers lists them in order: provider-1 is the first.
func (n *Net) Providers() []Provider { panic("being built") }

// Stop ends the processes of provider i (1 is the first) and returns when they are gone.
func (n *Net) Stop(ctx context.Context, i int) error { panic("being built") }

// Kill ends provider i by SIGKILL.
func (n *Net) Kill(i int) error { panic("being built") }

// StartOne brings provider i up and returns when it serves.
func (n *Net) StartOne(ctx context.Context, i int) error { panic("being built") }

// Wipe loses all shards and slots of provider i; identity, leases and quota stay. It runs again afterwards when it ran before.
func (n *Net) Wipe(ctx context.Context, i int) error { panic("being built") }

// Grant makes a lease at provider i for a key (as `ccdrive lease key` prints it) and returns its code.
func (n *Net) Grant(ctx context.Context, i int, key string, size int64, until time.Time) (string, error) {
	panic("being built")
}

// Close stops all providers.
func (n *Net) Close() error { panic("being built") }
