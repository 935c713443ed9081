package vfs

import (
	"errors"
	"sync"
	"syscall"
	"time"

	"github.com/cloudcoin/cloudcoin/fs/stage"
	"github.com/cloudcoin/cloudcoin/sync/index"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// live is the state in memory of an inode in use: while an operation changes it, or a handle is open. Lock order: io before mu; of
// several folders see FS.ns; a folder's mu before a file's.
type live struct {
	ino  model.Ino
	refs int // guarded by table.mu

	// io is held by what changes the content: write, truncate, freeze. It may be held while waiting for the network, so nothing
	// takes it that holds the lock of a folder (but by TryLock).
	io sync.Mutex

	// mu guards the inode record in the index (whoever changes the record holds it) and what follows. It is never held while waiting
	// for the network. Of a folder it is the folder's lock: names in it change under it.
	mu      sync.RWMutex
	file    *stage.File // content, opened when first needed, closed with the last handle
	opens   int         // handles
	writers int         // handles that may write
	rested  bool        // the content was at rest before the present writers came; it is frozen before it changes
	suid    bool        // the mode has suid or sgid, or there may be a security.capability: a write has to look
	orphan  bool        // no name is left; forgotten with the last handle
	tmpfile bool        // never had a name (O_TMPFILE): may get one

	// Attributes that are newer than the index record.
	ahead    bool
	explicit bool // set by utimensat since the last write: the stage doesn't carry them
	size     int64
	atime    int64
	mtime    int64
	ctime    int64
	recorded time.Time // when the record was written last
	synced   time.Time // last fsync, to find moments to freeze a file that never rests

	dirty  bool          // the engine was told
	wanted chan struct{} // somebody waits for an fsync to freeze after; closed by it
	stuck  bool          // the record couldn't be written (full disk) though no handle is left: kept until it can be

	// The content was replaced behind those who hold this one open: they read the old content, and stat tells the old attributes.
	kept   *model.Inode
	reader *Reader
}

// overlay puts the attributes that are ahead of the index into a record read from it. Holds mu.
func (l *live) overlay(rec *model.Inode) {
	if l.kept != nil {
		*rec = *l.kept
	}
	if l.ahead {
		rec.Size, rec.Atime, rec.Mtime, rec.Ctime = l.size, l.atime, l.mtime, l.ctime
	}
}

// table finds the live inodes.
type table struct {
	mu sync.Mutex
	m  map[model.Ino]*live
}

// get returns the state of ino, making it when there is none. The caller must put it back.
func (t *table) get(ino model.Ino) *live {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.m[ino]
	if l == nil {
		l = &live{ino: ino}
		t.m[ino] = l
	}
	l.refs++
	return l
}

// find returns the state of ino if there is one; the caller must put it back.
func (t *table) find(ino model.Ino) *live {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.m[ino]
	if l != nil {
		l.refs++
	}
	return l
}

func (t *table) put(l *live) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if l.refs--; l.refs == 0 && t.m[l.ino] == l {
		delete(t.m, l.ino)
	}
}

// detach makes the next get of ino start anew, while those who hold l go on with it.
func (t *table) detach(l *live) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.m[l.ino] == l {
		delete(t.m, l.ino)
	}
}

// all returns every live inode, each with a reference.
func (t *table) all() []*live {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := make([]*live, 0, len(t.m))
	for _, l := range t.m {
		l.refs++
		list = append(list, l)
	}
	return list
}

// lock gives the state of ino with mu held: that of the present content, when one was replaced this moment.
func (fs *FS) lock(ino model.Ino) *live {
	for {
		l := fs.live.get(ino)
		l.mu.Lock()
		if l.kept == nil {
			return l
		}
		fs.unlock(l)
	}
}

// keeps tells whether the content was replaced behind l.
func (l *live) keeps() bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.kept != nil
}

func (fs *FS) unlock(l *live) {
	l.mu.Unlock()
	fs.live.put(l)
}

// stat reads the newest record of ino, with what is ahead of it in memory.
func (fs *FS) stat(ino model.Ino) (model.Inode, syscall.Errno) {
	l := fs.live.find(ino)
	if l == nil {
		return fs.record(ino)
	}
	defer fs.live.put(l)
	l.mu.RLock()
	defer l.mu.RUnlock()
	return fs.statLive(l)
}

// statLive is stat of an inode whose mu the caller holds.
func (fs *FS) statLive(l *live) (model.Inode, syscall.Errno) {
	rec, errno := fs.record(l.ino)
	if errno == 0 || l.kept != nil {
		l.overlay(&rec)
		errno = 0
	}
	return rec, errno
}

// record reads the newest record of ino from the index. ESTALE when there is none: the kernel looks the name up again.
func (fs *FS) record(ino model.Ino) (model.Inode, syscall.Errno) {
	rec, err := fs.x.Now().Inode(ino)
	if errors.Is(err, index.ErrNotFound) {
		return rec, syscall.ESTALE
	}
	return rec, fs.errno("read inode", err)
}

// put adds the record of l to a batch, completed by what is ahead of it in memory and by where its content is. After the batch
// was committed the caller calls written. Holds l.mu.
func (fs *FS) put(b *index.Batch, l *live, rec *model.Inode) {
	if l.file != nil && l.file.Dirty() && !l.orphan {
		if v := l.file.Version(); rec.Content.Kind != model.ContentStaged || rec.Content.Version != v {
			fs.settleFile(l) // a crash must not leave a record with a version that no record of the stage speaks of
			rec.Content = model.Content{Kind: model.ContentStaged, Version: v, Rev: rec.Content.Rev}
		}
	}
	b.PutInode(rec)
}

// written notes that the record in the index is as new as the memory. Holds l.mu.
func (fs *FS) written(l *live) {
	l.ahead, l.explicit = false, false
	l.recorded = fs.now()
	if l.stuck {
		l.stuck = false
		fs.live.put(l)
	}
}

// flushRecord writes the record of l when memory is ahead of it; of a file without names the newest attributes stay in memory.
// Holds l.mu.
func (fs *FS) flushRecord(l *live) syscall.Errno {
	if !l.ahead || l.kept != nil || l.orphan {
		return 0
	}
	rec, errno := fs.record(l.ino)
	if errno != 0 {
		return errno
	}
	l.overlay(&rec)
	b := fs.x.Begin()
	fs.put(b, l, &rec)
	if errno := fs.commit(b); errno != 0 {
		return errno
	}
	fs.written(l)
	return 0
}

// content opens the local content of l. Holds l.mu; the file stays open until the last handle or, without handles, until closeIdle.
func (fs *FS) content(l *live) (*stage.File, syscall.Errno) {
	switch {
	case l.file != nil:
		return l.file, 0
	case l.kept != nil:
		return nil, syscall.ESTALE
	}
	rec, errno := fs.record(l.ino)
	if errno != 0 {
		return nil, errno
	}
	f, err := fs.st.Open(l.ino, &base{fs: fs, ino: l.ino}, rec.Size)
	if err != nil {
		return nil, fs.errno("open content", err)
	}
	f.SetPath(fs.pathOf(&rec))
	l.file = f
	return f, 0
}

// closeIdle closes the content when no handle needs it. Holds l.mu.
func (fs *FS) closeIdle(l *live) {
	if l.opens > 0 || l.file == nil {
		return
	}
	if err := l.file.Close(); err != nil {
		fs.log.Error("close content", "ino", l.ino, "err", err)
	}
	l.file = nil
}

// pathOf is the last known path of a record, for messages and for `recover --from`.
func (fs *FS) pathOf(rec *model.Inode) string {
	p, err := fs.x.Now().Path(rec.Ino)
	if err != nil {
		return rec.Name
	}
	return p
}

// forgettable tells whether no trace of an inode has to be left: nobody else has seen it, and it never was at rest. Folders
// always leave one: there may be a history below them.
func (fs *FS) forgettable(rec *model.Inode) bool {
	if rec.IsDir() {
		return false
	}
	unseen, err := fs.x.Unseen(rec.Ino)
	if err != nil {
		fs.log.Error("look whether an inode can be forgotten", "ino", rec.Ino, "err", err)
	}
	return unseen && err == nil
}

// Busy tells whether an inode is in use, so that nothing of it may be pruned. It serves index.Options.Busy.
func (fs *FS) Busy(ino model.Ino) bool {
	l := fs.live.find(ino)
	if l == nil {
		return false
	}
	defer fs.live.put(l)
	return l.openNow()
}
