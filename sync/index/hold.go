package index

import "github.com/cloudcoin/cloudcoin/sync/model"

// Hold keeps the revisions up to rev from being folded away and from being forgotten without a trace, as if they were published already: the
// engine holds them while it publishes, since what it has read may be seen by others before Published is committed. Hold(0) ends it. A record whose content waits to be stored is not
// held: it and its names can't be published yet.
func (x *Index) Hold(rev model.Rev) {
	x.mu.Lock() // no batch is half committed
	defer x.mu.Unlock()
	x.hold.Store(uint64(rev))
}

func (x *Index) held(r model.Rev) bool { return uint64(r) <= x.hold.Load() }
