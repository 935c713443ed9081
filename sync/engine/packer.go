package engine

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cloudcoin/cloudcoin/sync/chunk"
	"github.com/cloudcoin/cloudcoin/sync/model"
	"github.com/cloudcoin/cloudcoin/sync/pack"
)

const (
	// packsUnderWay is how many packs are being put at once, beside the one that is being filled.
	packsUnderWay = 2
	// idleFlush is how long a pack that isn't full waits for more.
	idleFlush = 500 * time.Millisecond
)

// packer gathers the chunks of all files that are being cut into packs. Safe for concurrent use.
type packer struct {
	e     *Engine
	retry signal // providers may answer again
	added signal // there is a pack to flush some time
	full  chan *packBatch

	adding sync.Mutex // held by who adds and while a full pack waits for a worker; before mu
	cur    *packBatch // nil: none
	last   time.Time  // when a chunk was added to cur

	mu     sync.Mutex                   // before packUse.mu and fileJob.mu; guards ids and jobs of batches too
	flying map[model.ChunkID]*packBatch // chunks of packs that aren't catalogued yet

	use packUse
}

// packBatch is a pack from its first chunk until it is catalogued.
type packBatch struct {
	b    *pack.Builder
	ids  []model.ChunkID
	jobs map[*fileJob]struct{}
}

func newPacker(e *Engine) *packer {
	return &packer{
		e: e, retry: newSignal(), added: newSignal(), full: make(chan *packBatch), flying: map[model.ChunkID]*packBatch{},
		use: packUse{uses: map[model.PackID]int{}, usable: map[model.PackID]bool{}, doomed: map[model.PackID]bool{}},
	}
}

// run puts full packs, and flushes the one that isn't when nothing was added for a while.
func (p *packer) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for range packsUnderWay {
		g.Go(func() error { return p.work(ctx) })
	}
	g.Go(func() error { return p.flushIdle(ctx) })
	return g.Wait()
}

func (p *packer) work(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case batch := <-p.full:
			if err := p.store(ctx, batch); err != nil {
				return err
			}
		}
	}
}

func (p *packer) flushIdle(ctx context.Context) error {
	for {
		if err := p.e.wait(ctx, -1, p.added); err != nil {
			return err
		}
		for {
			p.adding.Lock()
			open, idle := p.cur != nil, p.e.now().Sub(p.last)
			p.adding.Unlock()
			if !open {
				break
			}
			if idle >= idleFlush {
				if err := p.flush(ctx); err != nil {
					return err
				}
				break
			}
			if err := p.e.wait(ctx, idleFlush-idle); err != nil {
				return err
			}
		}
	}
}

// add finds or makes a place for a chunk of a file. data isn't kept. It waits while enough packs are under way.
func (p *packer) add(ctx context.Context, job *fileJob, data []byte) (model.ChunkID, error) {
	id := chunk.ID(p.e.chunkKey, data)
	p.adding.Lock()
	defer p.adding.Unlock()
	if p.joinFlying(job, id) {
		return id, nil
	}
	if have, err := p.use.claim(p.e.cfg.Index, id, job); have || err != nil {
		return id, err
	}
	if p.cur != nil && !p.cur.b.Fits(len(data)) {
		if err := p.send(ctx); err != nil {
			return id, err
		}
	}
	if p.cur == nil {
		b, err := pack.NewBuilder(p.e.cfg.Keys.Recipient(), model.PackData)
		if err != nil {
			return id, fmt.Errorf("begin a pack: %w", err)
		}
		p.cur = &packBatch{b: b, jobs: map[*fileJob]struct{}{}}
		p.added.set()
	}
	if _, err := p.cur.b.Add(id, data); err != nil {
		return id, fmt.Errorf("add chunk %s to a pack: %w", id, err)
	}
	p.last = p.e.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cur.ids = append(p.cur.ids, id)
	p.flying[id] = p.cur
	job.join(p.cur)
	return id, nil
}

// joinFlying makes the job wait for a chunk that is under way already.
func (p *packer) joinFlying(job *fileJob, id model.ChunkID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	batch := p.flying[id]
	if batch == nil {
		return false
	}
	job.join(batch)
	return true
}

// flush sends the pack that is being filled on its way.
func (p *packer) flush(ctx context.Context) error {
	p.adding.Lock()
	defer p.adding.Unlock()
	if p.cur == nil {
		return nil
	}
	return p.send(ctx)
}

// send gives cur to a worker. adding is held meanwhile: who adds has to wait anyway.
func (p *packer) send(ctx context.Context) error {
	select {
	case p.full <- p.cur:
		p.cur = nil
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// store puts a pack, catalogues it, and commits the files that waited for nothing else.
func (p *packer) store(ctx context.Context, batch *packBatch) error {
	pk, entries, err := p.e.storePack(ctx, batch.b, model.PackData, nil, p.retry)
	if err != nil {
		return fmt.Errorf("store a pack: %w", err)
	}
	p.use.hold(pk.ID) // until the files that wait are committed: nothing names these chunks yet
	defer p.use.release(pk.ID)
	err = p.e.insist(ctx, "A pack", func() error {
		b := p.e.cfg.Index.Begin()
		b.PutPack(&pk)
		for _, en := range entries {
			b.PutChunk(model.Chunk{ID: en.ID, Len: en.Len, Pack: pk.ID, Off: en.Off})
		}
		_, err := b.Commit()
		return err
	})
	if err != nil {
		return err // the sweep finds its shards
	}
	p.e.noteHealth(&pk, goodShards(&pk))
	p.mu.Lock()
	for _, id := range batch.ids {
		delete(p.flying, id)
	}
	// Files that aren't done count on the pack until they are committed.
	var done []*fileJob
	for job := range batch.jobs {
		p.use.hold(pk.ID)
		if job.leave(batch, pk.ID) {
			done = append(done, job)
		}
	}
	p.mu.Unlock()
	for _, job := range done {
		if err := p.e.commitFile(ctx, job); err != nil {
			return err
		}
	}
	p.e.wakePublish.set()
	return nil
}
