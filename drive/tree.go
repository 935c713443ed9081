package drive

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/cloudcoin/cloudcoin/fs/vfs"
	"github.com/cloudcoin/cloudcoin/sync/engine"
	"github.com/cloudcoin/cloudcoin/sync/fetch"
	"github.com/cloudcoin/cloudcoin/sync/index"
	"github.com/cloudcoin/cloudcoin/sync/model"
	"github.com/cloudcoin/cloudcoin/sync/placement"
)

// openFor opens the drive as a mount wants it.
func openFor(ctx context.Context, opt Options, mo MountOptions) (*Drive, error) {
	opt.tree = mo
	return Open(ctx, opt)
}

// rest is how long a closed file is left alone before it counts as finished and is sent.
const rest = 2 * time.Second

// openTree joins reader, engine and tree.
func (d *Drive) openTree() (err error) {
	d.fetch = d.reader()
	cfg := vfs.Config{
		Index: d.index, Stage: d.stage, Remote: remote{d.fetch}, Notify: (*notify)(d), Clock: d.opt.FileClock, Logger: d.opt.Logger, Report: d.warn,
		ReadOnly: d.opt.tree.ReadOnly, Space: d.space, RestAfter: rest,
	}
	if os.Geteuid() != 0 {
		cfg.Owner = &vfs.Owner{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}
	}
	if d.opt.tree.At != "" {
		if cfg.At, err = d.when(d.opt.tree.At); err != nil {
			return fmt.Errorf("--at: %w", err)
		}
		if _, err := d.index.At(cfg.At).Inode(model.RootIno); errors.Is(err, index.ErrNotFound) {
			return fmt.Errorf("--at %s: the drive did not exist then: %w", d.opt.tree.At, ErrNotFound)
		}
	}
	if d.opt.tree.FsyncStored {
		cfg.FsyncStored = func(ctx context.Context, _ model.Ino) error { return d.engine.Sync(ctx) }
	}
	if d.fs, err = vfs.New(cfg); err != nil {
		return d.opt.Home.wrap("stage", err)
	}
	device, err := d.cfg.DeviceID()
	if err != nil {
		return err
	}
	d.engine, err = engine.New(engine.Config{
		Index: d.index, Pool: d.pool, Keys: d.keys, Device: device, Files: d.fs, Contents: contents{d}, Logger: d.opt.Logger,
		Book: d.bookLeases, ReadOnly: d.fs.SetReadOnly, NewDevice: d.becomeNewDevice, Resting: rest,
	})
	if err != nil {
		return fmt.Errorf("start the engine: %w", err)
	}
	d.pool.Bad(d.engine.Bad)
	return nil
}

// notify hands the tree's news to the engine, which is made after the tree.
type notify Drive

func (n *notify) Dirty(ino model.Ino) {
	if n.engine != nil {
		n.engine.Dirty(ino)
	}
}

func (n *notify) Metadata() {
	if n.engine != nil {
		n.engine.Metadata()
	}
}

// space is what statfs tells: the room in the leases at the coding that is in use.
func (d *Drive) space() vfs.Space {
	var size, used int64
	live := 0
	for _, l := range d.pool.Leases() {
		size += l.Info.Size - engine.Reserve(l.Info.Size)
		used += l.Info.Used
		if l.State.Live() {
			live++
		}
	}
	use := d.stage.Usage()
	k, m, ok := placement.Coding(len(d.pool.Leases()), live)
	if !ok {
		return vfs.Space{Total: use.Limit, Free: max(0, use.Limit-use.Dirty)}
	}
	factor := func(n int64) int64 { return n / int64(k+m) * int64(k) }
	return vfs.Space{Total: factor(size), Free: max(0, factor(size-used)-use.Dirty)}
}

// becomeNewDevice gives this HOME a device identity of its own: it turned out to be a copy of another, or to be restored.
func (d *Drive) becomeNewDevice(context.Context) (model.DeviceID, error) {
	cfg := *d.cfg
	if err := cfg.newDevice(); err != nil {
		return model.DeviceID{}, err
	}
	if err := d.opt.Home.saveConfig(&cfg); err != nil {
		return model.DeviceID{}, fmt.Errorf("become a new device: %w", err)
	}
	d.index.SetDevicePart(cfg.DevicePart)
	*d.cfg = cfg
	d.warn("this HOME is a copy of another, or was restored: it is a device of its own from now on")
	return cfg.DeviceID()
}

func (d *Drive) reader() *fetch.Reader {
	return fetch.New(d.index, d.pool, fetch.Options{Identity: d.keys.Identity(), ChunkKey: d.keys.ChunkKey(), Logger: d.opt.Logger, Report: d.warn})
}
