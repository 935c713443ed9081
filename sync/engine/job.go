package engine

import (
	"sync"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

// fileJob is one version of a file's content on its way to the providers.
type fileJob struct {
	ino     model.Ino
	rev     model.Rev // of the inode record
	version uint64
	base    model.Rev
	size    int64 // of the content

	// changes are the extents that differ from the base, sorted; set by the lane that cuts.
	changes []model.Extent

	mu      sync.Mutex
	waits   map[*packBatch]struct{}
	relies  map[model.PackID]struct{} // packs that it counts on
	cut     bool                      // all chunks were given to the packer
	settled bool                      // commitFile was or will be called by who saw the end
}

// join makes the job wait for a pack.
func (j *fileJob) join(b *packBatch) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.waits == nil {
		j.waits = map[*packBatch]struct{}{}
	}
	j.waits[b] = struct{}{}
	b.jobs[j] = struct{}{}
}

func (j *fileJob) counts(id model.PackID) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	_, ok := j.relies[id]
	return ok
}

func (j *fileJob) count(id model.PackID) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.relies == nil {
		j.relies = map[model.PackID]struct{}{}
	}
	j.relies[id] = struct{}{}
}

// leave tells that a pack of the job is catalogued as id, which the job counts on from now on. True: it was the last, and the caller commits.
func (j *fileJob) leave(b *packBatch, id model.PackID) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.waits, b)
	if j.relies == nil {
		j.relies = map[model.PackID]struct{}{}
	}
	j.relies[id] = struct{}{}
	return j.end()
}

// cutDone tells that no more chunks come. True: the caller commits.
func (j *fileJob) cutDone() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.cut = true
	return j.end()
}

func (j *fileJob) end() bool {
	if !j.cut || len(j.waits) > 0 || j.settled {
		return false
	}
	j.settled = true
	return true
}

func (j *fileJob) packs() []model.PackID {
	j.mu.Lock()
	defer j.mu.Unlock()
	ids := make([]model.PackID, 0, len(j.relies))
	for id := range j.relies {
		ids = append(ids, id)
	}
	return ids
}
