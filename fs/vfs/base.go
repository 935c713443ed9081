package vfs

import (
	"context"
	"sync"

	"github.com/cloudcoin/cloudcoin/fs/stage"
	"github.com/cloudcoin/cloudcoin/sync/index"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// base is what lies below the local layers of a file: its newest stored content. It follows the index: when the engine stores a version, its extents
// become the base, and the layers above may go.
type base struct {
	fs  *FS
	ino model.Ino

	mu  sync.Mutex
	rev model.Rev
	cur stage.Base
}

var _ stage.Base = (*base)(nil)

// now is the base by the newest record.
func (b *base) now() (stage.Base, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	rev, err := storedRev(b.fs.x, b.ino)
	if err != nil {
		return nil, err
	}
	if b.cur == nil || rev != b.rev {
		b.rev, b.cur = rev, BaseAt(b.fs.cfg.Remote, b.ino, rev)
	}
	return b.cur, nil
}

func (b *base) ReadAt(ctx context.Context, p []byte, off int64) error {
	cur, err := b.now()
	if err != nil {
		return err
	}
	return cur.ReadAt(ctx, p, off)
}

func (b *base) NextData(off int64) (int64, error) {
	cur, err := b.now()
	if err != nil {
		return 0, err
	}
	return cur.NextData(off)
}

func (b *base) NextHole(off int64) (int64, error) {
	cur, err := b.now()
	if err != nil {
		return 0, err
	}
	return cur.NextHole(off)
}

// StoredBase is the newest stored content of an inode by the index: what lies below all local layers. It serves stage.Options.Base.
func StoredBase(x *index.Index, remote Remote, ino model.Ino) (stage.Base, error) {
	rev, err := storedRev(x, ino)
	if err != nil {
		return nil, err
	}
	return BaseAt(remote, ino, rev), nil
}

// storedRev is the revision as of which the newest stored content of ino is read; 0 when nothing is stored. The contents of an
// inode are one line of extents, so it is the highest that any of its records names: a newer, staged record may
// still name the base that it was begun on, after an older version was stored.
func storedRev(x *index.Index, ino model.Ino) (model.Rev, error) {
	var rev model.Rev
	err := x.InodeRevs(ino, func(rec model.Inode) bool {
		rev = max(rev, rec.Content.Rev)
		return rec.Content.Kind == model.ContentStaged || rec.Nlink == 0
	})
	return rev, err
}

// BaseAt is the stored content of an inode as of a revision; all zeros for revision 0.
func BaseAt(remote Remote, ino model.Ino, rev model.Rev) stage.Base {
	if rev == 0 {
		return zeros{}
	}
	return remote.Base(ino, rev)
}

// zeros is the base of a file of which nothing is stored.
type zeros struct{}

func (zeros) ReadAt(_ context.Context, p []byte, _ int64) error {
	clear(p)
	return nil
}
func (zeros) NextData(int64) (int64, error)     { return MaxFileSize, nil }
func (zeros) NextHole(off int64) (int64, error) { return off, nil }
