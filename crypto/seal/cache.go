package seal

import (
	"bytes"
	"container/list"
	"sync"

	"filippo.io/age"
)

// Cache keeps the openers of the files that were read last, at about 0.5 KiB each. Safe for concurrent use.
type Cache struct {
	id    age.Identity
	limit int

	mu    sync.Mutex
	byKey map[[16]byte]*list.Element
	order list.List // of *cached, the last used in front
}

type cached struct {
	key    [16]byte
	header []byte
	opener *Opener
}

// NewCache keeps up to limit openers (at least one) for one identity.
func NewCache(id age.Identity, limit int) *Cache {
	return &Cache{id: id, limit: max(1, limit), byKey: make(map[[16]byte]*list.Element)}
}

// Opener returns the opener of the file named key (a pack's id), and makes it of header and total when it isn't there or was made for another header or length.
// Errors as of NewOpener.
func (c *Cache) Opener(key [16]byte, header []byte, total int64) (*Opener, error) {
	if o := c.find(key, header, total); o != nil {
		return o, nil
	}
	o, err := NewOpener(header, total, c.id) // not under the lock: two callers may do it twice, which is harmless
	if err != nil {
		return nil, err
	}
	c.keep(&cached{key: key, header: bytes.Clone(header), opener: o})
	return o, nil
}

func (c *Cache) find(key [16]byte, header []byte, total int64) *Opener {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.byKey[key]
	if e == nil {
		return nil
	}
	f := e.Value.(*cached)
	if f.opener.total != total || !bytes.Equal(f.header, header) {
		return nil
	}
	c.order.MoveToFront(e)
	return f.opener
}

func (c *Cache) keep(f *cached) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.byKey[f.key]; e != nil {
		e.Value = f
		c.order.MoveToFront(e)
		return
	}
	c.byKey[f.key] = c.order.PushFront(f)
	if c.order.Len() > c.limit {
		oldest := c.order.Remove(c.order.Back()).(*cached)
		delete(c.byKey, oldest.key)
	}
}
