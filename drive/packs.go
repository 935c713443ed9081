package drive

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

// Packs lists the packs with the state of their shards.
func (d *Drive) Packs() ([]PackStatus, error) {
	names := d.leaseNames()
	out := []PackStatus{}
	err := d.index.Packs(model.PackID{}, func(p model.Pack) bool {
		out = append(out, packStatus(&p, names))
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("list packs: %w", err)
	}
	return out, nil
}

var shardStates = map[model.ShardState]string{model.ShardGood: "good", model.ShardSuspect: "suspect", model.ShardBad: "bad"}

func packStatus(p *model.Pack, names map[model.LeaseID]string) PackStatus {
	s := PackStatus{Pack: p.ID.String(), Size: p.Size(), Shards: make([]ShardStatus, 0, len(p.Shards))}
	good := 0
	for i, sh := range p.Shards {
		kind := "data"
		if i >= p.K {
			kind = "parity"
		}
		if sh.State == model.ShardGood {
			good++
		}
		s.Shards = append(s.Shards, ShardStatus{Index: i, Kind: kind, Provider: names[sh.Lease], State: shardStates[sh.State]})
	}
	switch {
	case good < p.K:
		s.Health = "lost"
	case good < len(p.Shards):
		s.Health = "at risk"
	default:
		s.Health = "good"
	}
	return s
}

// ExportPack writes a pack as PACK.age, and its shards beside it, into dir, and names the files. A shard that can't be had is left out with
// an error at the end; the age file is written whenever k shards can be had.
func (d *Drive) ExportPack(ctx context.Context, pack, dir string) ([]string, error) {
	id, err := model.ParsePackID(pack)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUsage, err)
	}
	if !filepath.IsAbs(dir) {
		return nil, fmt.Errorf("folder %q is not absolute: %w", dir, ErrUsage)
	}
	p, err := d.index.Pack(id)
	if err != nil {
		return nil, fmt.Errorf("export pack %s: %w; `ccdrive pack list` names them", id, err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("export pack %s: %w", id, err)
	}
	age := filepath.Join(dir, id.String()+".age")
	if err := d.exportAge(ctx, &p, age); err != nil {
		return nil, fmt.Errorf("export pack %s: %w", id, err)
	}
	files := []string{age}
	var errs []error
	for i := range p.Shards {
		name, index := "data", i
		if i >= p.K {
			name, index = "parity", i-p.K
		}
		path := filepath.Join(dir, fmt.Sprintf("%s.%s-%d", id, name, index))
		b, err := d.pool.ReadShard(ctx, &p, i)
		if err == nil {
			err = os.WriteFile(path, b, 0o600)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("shard %s-%d: %w", name, index, err))
			continue
		}
		files = append(files, path)
	}
	return files, errors.Join(errs...)
}

func (d *Drive) exportAge(ctx context.Context, p *model.Pack, path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	for i := range p.K {
		b, err := d.pool.ReadShard(ctx, p, i)
		if err != nil {
			return err
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}
