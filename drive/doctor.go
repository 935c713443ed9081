package drive

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/cloudcoin/cloudcoin/sync/engine"
	"github.com/cloudcoin/cloudcoin/sync/model"
	"github.com/cloudcoin/cloudcoin/sync/transfer"
)

// Doctor checks local state, every lease and every shard, and says what is wrong and what to do. With readData every shard is read and
// verified, not only asked for. What it finds missing is handed to the engine, which rebuilds it.
func (d *Drive) Doctor(ctx context.Context, readData bool) []Finding {
	out := d.checkHome()
	out = append(out, d.checkLeases(ctx)...)
	if err := d.engine.Audit(ctx); err != nil {
		out = append(out, Finding{What: "shards", Detail: fmt.Sprintf("could not ask for all of them: %v", err), Advice: "look at the leases above; ask again when they answer"})
	}
	if readData {
		out = append(out, d.readPacks(ctx))
	}
	return append(out, d.checkHealth()...)
}

func (d *Drive) checkHome() (out []Finding) {
	for _, name := range []string{"phrase", "drive.json", "leases.json"} {
		st, err := os.Stat(d.opt.Home.path(name))
		switch {
		case os.IsNotExist(err) && name == "leases.json":
		case err != nil:
			out = append(out, Finding{What: name, Detail: err.Error(), Advice: "this file is needed: recover into a new HOME with --from this one"})
		case st.Mode().Perm()&0o077 != 0:
			out = append(out, Finding{What: name, Detail: fmt.Sprintf("others can read it (mode %#o)", st.Mode().Perm()), Advice: "chmod 600 " + d.opt.Home.path(name)})
		default:
			out = append(out, Finding{What: name, OK: true, Detail: "there, for nobody else to read"})
		}
	}
	if err := d.checkpoint(); err != nil {
		return append(out, Finding{What: "local state", Detail: err.Error(), Advice: "free disk space, or look at the disk's health"})
	}
	return append(out, Finding{What: "local state", OK: true, Detail: "journal, index and stage agree and are durable"})
}

func (d *Drive) checkLeases(ctx context.Context) (out []Finding) {
	states := d.pool.Leases()
	if len(states) == 0 {
		return []Finding{{What: "leases", Detail: "there are none: what is written stays on this disk only", Advice: "take some with `ccdrive lease add`"}}
	}
	for _, s := range states {
		f := Finding{What: "lease with " + s.Info.Name, OK: true, Detail: "answers at " + s.Info.URL}
		if err := d.pool.Probe(ctx, s.Info.ID); err != nil {
			f.OK, f.Detail = false, err.Error()
			f.Advice = "ask its operator; what it held is rebuilt elsewhere when it stays silent"
		}
		out = append(out, f)
	}
	return out
}

// readPacks reads every shard of every pack; a bad one is reported to the engine.
func (d *Drive) readPacks(ctx context.Context) Finding {
	packs, shards, bad, silent := 0, 0, 0, 0
	err := d.index.Packs(model.PackID{}, func(p model.Pack) bool {
		packs++
		for i := range p.Shards {
			shards++
			switch err := d.pool.CheckShard(ctx, &p, i); {
			case errors.Is(err, transfer.ErrNotFound), errors.Is(err, transfer.ErrDamaged):
				bad++
				d.engine.Bad(p.ID, i, err)
			case err != nil:
				silent++
			}
		}
		return ctx.Err() == nil
	})
	if err == nil && ctx.Err() == nil {
		var log engine.LogRead
		log, err = d.engine.ReadLog(ctx)
		shards, bad, silent = shards+log.Shards, bad+log.Bad, silent+log.Silent
	}
	switch {
	case err != nil:
		return Finding{What: "reading every shard", Detail: err.Error()}
	case ctx.Err() != nil:
		return Finding{What: "reading every shard", Detail: ctx.Err().Error()}
	case bad > 0:
		return Finding{
			What: "reading every shard", Detail: fmt.Sprintf("%d of %d shards of %d packs and the log are missing or damaged", bad, shards, packs),
			Advice: "they are being rebuilt; `ccdrive status` tells when all are whole again",
		}
	case silent > 0:
		return Finding{
			What: "reading every shard", Detail: fmt.Sprintf("%d of %d shards could not be asked for", silent, shards),
			Advice: "look at the leases above; ask again when they answer",
		}
	}
	return Finding{What: "reading every shard", OK: true, Detail: fmt.Sprintf("%d shards of %d packs and the log are right", shards, packs)}
}

func (d *Drive) checkHealth() []Finding {
	s := d.engine.Status()
	f := Finding{What: "packs", OK: true, Detail: fmt.Sprintf("all %d are whole", s.Health.Packs)}
	switch {
	case s.Health.Lost > 0:
		f.OK, f.Detail = false, fmt.Sprintf("%d of %d can't be read now", s.Health.Lost, s.Health.Packs)
		f.Advice = "they can be read again when their providers return"
	case s.Health.AtRisk > 0:
		f.OK, f.Detail = false, fmt.Sprintf("%d of %d miss shards; everything can be read", s.Health.AtRisk, s.Health.Packs)
		f.Advice = "they are being rebuilt"
	}
	return []Finding{f}
}
