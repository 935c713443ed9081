package fileserver

import (
	"strconv"

	"github.com/cloudcoin/cloudcoin/provider/ids"
)

const maxBatch = 1000

// batch is the body of shards:has and shards:delete.
type batch struct {
	IDs []string `json:"ids"`
}

func (b *batch) parse() ([]ids.Shard, error) {
	if len(b.IDs) > maxBatch {
		return nil, badRequest("at most %d ids at once", maxBatch)
	}
	out := make([]ids.Shard, len(b.IDs))
	for i, s := range b.IDs {
		var err error
		if out[i], err = ids.ParseShard(s); err != nil {
			return nil, badRequest("%v", err)
		}
	}
	return out, nil
}

func (r *request) readBatch() ([]ids.Shard, error) {
	var b batch
	if err := r.readJSON(&b); err != nil {
		return nil, err
	}
	return b.parse()
}

// hasShards answers POST …/shards:has.
func (r *request) hasShards() error {
	shards, err := r.readBatch()
	if err != nil {
		return err
	}
	has, err := r.s.cfg.Vault.Has(r.lease.ID, shards)
	if err != nil {
		return err
	}
	return r.json(map[string][]bool{"has": has})
}

// deleteShards answers POST …/shards:delete.
func (r *request) deleteShards() error {
	shards, err := r.readBatch()
	if err != nil {
		return err
	}
	n, err := r.s.cfg.Vault.Delete(r.lease.ID, shards)
	if err != nil {
		return err
	}
	return r.json(map[string]int{"deleted": n})
}

// listed is one shard in a listing.
type listed struct {
	ID   string `json:"id"`
	Size int64  `json:"size"`
}

// listShards answers GET …/shards.
func (r *request) listShards() error {
	q := r.URL.Query()
	limit := maxBatch
	if s := q.Get("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > maxBatch {
			return badRequest("limit is 1 to %d", maxBatch)
		}
		limit = n
	}
	var after *ids.Shard
	if s := q.Get("after"); s != "" {
		id, err := ids.ParseShard(s)
		if err != nil {
			return badRequest("after: %v", err)
		}
		after = &id
	}
	page, err := r.s.cfg.Vault.List(r.lease.ID, after, limit)
	if err != nil {
		return err
	}
	out, next := make([]listed, len(page)), ""
	for i, e := range page {
		out[i] = listed{e.ID.String(), e.Size}
	}
	if len(page) == limit {
		next = out[limit-1].ID
	}
	return r.json(map[string]any{"shards": out, "next": next})
}
