// Package localnet runs a whole network on loopback: real provider processes (the program ccprovider), each with a HOME of its own under
// one folder. `ccdrive local` and tests use it.
//
//	DIR/network.json        {"peer": "", "providers": [{"name", "url", "home"}]}: how others join; replaced whole
//	DIR/provider-N/         HOME of provider N, counted from 1
//	DIR/provider-N/ccprovider.log   what it said since its last start
//	DIR/lock                who runs this network
//
// Providers keep their ports over restarts when these are free. Their processes are direct children and end with this process, however
// that ends: on Linux by a parent-death signal, elsewhere because their standard input ends. What a predecessor left running (it can be dying still) is ended
// before a provider starts.
//
// All methods of Net are safe for concurrent use; those on one provider wait for each other.
package localnet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cloudcoin/cloudcoin/internal/homelock"
)

// maxProviders bounds a network.
const maxProviders = 100

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

// file is network.json.
type file struct {
	Peer      string     `json:"peer"` // of the chain; "" until there is one
	Providers []Provider `json:"providers"`
}

// Net is a network kept under one folder.
type Net struct {
	dir    string
	binary string
	logger *slog.Logger
	lock   *homelock.Lock
	parent *parent

	mu    sync.Mutex
	nodes []*node
}

// Open makes or opens the network under dir and locks it. Nothing runs yet. A *homelock.HeldError says which process runs it already.
func Open(dir string, opt Options) (*Net, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	binary, err := find(opt.Binary)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of the local network: %w", err)
	}
	lock, err := homelock.Acquire(dir)
	if err != nil {
		return nil, err
	}
	n := &Net{dir: dir, binary: binary, logger: opt.Logger, lock: lock, parent: newParent()}
	if n.logger == nil {
		n.logger = slog.New(slog.DiscardHandler)
	}
	if err := n.load(); err != nil {
		n.parent.close()
		return nil, errors.Join(err, lock.Release())
	}
	return n, nil
}

// find looks for the program.
func find(binary string) (string, error) {
	if binary != "" {
		return filepath.Abs(binary)
	}
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), "ccprovider")
		if st, err := os.Stat(beside); err == nil && st.Mode().IsRegular() {
			return beside, nil
		}
	}
	path, err := exec.LookPath("ccprovider")
	if err != nil {
		return "", fmt.Errorf("the program ccprovider is neither beside this one nor in PATH: %w", err)
	}
	return filepath.Abs(path)
}

// load finds the providers that exist.
func (n *Net) load() error {
	b, err := os.ReadFile(filepath.Join(n.dir, "network.json"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("read the local network: %w", err)
	}
	urls := map[string]string{}
	var f file
	if err == nil && json.Unmarshal(b, &f) == nil { // it only tells the ports; without it others are taken
		for _, p := range f.Providers {
			urls[p.Name] = p.URL
		}
	}
	for i := 1; i <= maxProviders; i++ {
		name := "provider-" + strconv.Itoa(i)
		if _, err := os.Stat(filepath.Join(n.dir, name)); err != nil {
			break
		}
		n.nodes = append(n.nodes, n.newNode(name, urls[name]))
	}
	return nil
}

func (n *Net) newNode(name, url string) *node {
	return &node{net: n, name: name, home: filepath.Join(n.dir, name), url: url}
}

// save writes network.json.
func (n *Net) save() error {
	b, err := json.MarshalIndent(file{Providers: n.Providers()}, "", "  ")
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	path := filepath.Join(n.dir, "network.json")
	tmp := path + ".new"
	if err := os.WriteFile(tmp, append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("write network.json: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("write network.json: %w", err)
	}
	return nil
}

// Start brings up count providers (more when the folder has more) and returns when all serve.
func (n *Net) Start(ctx context.Context, count int) error {
	if count < 0 || count > maxProviders {
		return fmt.Errorf("%d providers: a local network has at most %d", count, maxProviders)
	}
	n.mu.Lock()
	for len(n.nodes) < count {
		n.nodes = append(n.nodes, n.newNode("provider-"+strconv.Itoa(len(n.nodes)+1), ""))
	}
	nodes := n.nodes
	n.mu.Unlock()
	g, gctx := errgroup.WithContext(ctx)
	for _, p := range nodes {
		g.Go(func() error { return p.start(gctx) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return n.save()
}

// Providers lists them in order: provider-1 is the first.
func (n *Net) Providers() []Provider {
	n.mu.Lock()
	nodes := n.nodes
	n.mu.Unlock()
	out := make([]Provider, len(nodes))
	for i, p := range nodes {
		out[i] = Provider{Name: p.name, URL: p.address(), Home: p.home}
	}
	return out
}

func (n *Net) node(i int) (*node, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if i < 1 || i > len(n.nodes) {
		return nil, fmt.Errorf("there is no provider %d: the local network has 1 to %d", i, len(n.nodes))
	}
	return n.nodes[i-1], nil
}

// Running tells whether provider i has a process.
func (n *Net) Running(i int) bool {
	p, err := n.node(i)
	return err == nil && p.running()
}

// Stop ends provider i (1 is the first) in order and returns when its process is gone. Stopping a stopped one is no error.
func (n *Net) Stop(ctx context.Context, i int) error {
	p, err := n.node(i)
	if err != nil {
		return err
	}
	return p.stop(ctx)
}

// Kill ends provider i by SIGKILL and returns when its process is gone.
func (n *Net) Kill(i int) error {
	p, err := n.node(i)
	if err != nil {
		return err
	}
	return p.kill()
}

// StartOne brings provider i up and returns when it serves. Starting a running one is no error.
func (n *Net) StartOne(ctx context.Context, i int) error {
	p, err := n.node(i)
	if err != nil {
		return err
	}
	if err := p.start(ctx); err != nil {
		return err
	}
	return n.save()
}

// Wipe loses all shards and slots of provider i, running or not; identity, leases and quotas stay.
func (n *Net) Wipe(ctx context.Context, i int) error {
	p, err := n.node(i)
	if err != nil {
		return err
	}
	_, err = p.command(ctx, "wipe", "--yes")
	return err
}

// Grant makes a lease at provider i for a key (as `ccdrive lease key` prints it) and returns its code.
func (n *Net) Grant(ctx context.Context, i int, key string, size int64, until time.Time) (string, error) {
	p, err := n.node(i)
	if err != nil {
		return "", err
	}
	code, err := p.command(ctx, "grant", "--size", strconv.FormatInt(size, 10), "--for", key, "--until", until.UTC().Format(time.RFC3339))
	return strings.TrimSpace(code), err
}

// Close stops all providers and gives the folder free.
func (n *Net) Close() error {
	n.mu.Lock()
	nodes := n.nodes
	n.mu.Unlock()
	errs := make([]error, len(nodes))
	var wg sync.WaitGroup
	for i, p := range nodes {
		wg.Go(func() { errs[i] = p.stop(context.Background()) })
	}
	wg.Wait()
	n.parent.close()
	return errors.Join(errors.Join(errs...), n.lock.Release())
}
