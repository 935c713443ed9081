package vfs

import (
	"slices"
	"sync"

	"github.com/cloudcoin/cloudcoin/sync/model"
)

// mostLinger is how many replaced files are kept for those who are about to open them.
const mostLinger = 64

// linger keeps files that a rename replaced until the kernel forgets them. Between the kernel's lookup of a name and its open another rename
// may take the file away; on a local disk the open succeeds all the same, since the kernel holds the inode. Without this it would
// fail with ESTALE (after one more try of the kernel's). Its mu comes after every live.mu.
type linger struct {
	mu    sync.Mutex
	files []*live // oldest first; each counts as one open handle
}

// keep keeps l, which is about to lose its last name. Holds l.mu.
func (fs *FS) keepReplaced(l *live) {
	fs.live.mu.Lock()
	l.refs++
	fs.live.mu.Unlock()
	l.opens++
	fs.lingering.mu.Lock()
	defer fs.lingering.mu.Unlock()
	fs.lingering.files = append(fs.lingering.files, l)
}

// dropReplaced ends the keeping of ino, when it is kept: the kernel forgot it.
func (fs *FS) dropReplaced(ino model.Ino) {
	fs.lingering.mu.Lock()
	i := slices.IndexFunc(fs.lingering.files, func(l *live) bool { return l.ino == ino })
	if i < 0 {
		fs.lingering.mu.Unlock()
		return
	}
	l := fs.lingering.files[i]
	fs.lingering.files = slices.Delete(fs.lingering.files, i, i+1)
	fs.lingering.mu.Unlock()
	fs.endReplaced(l)
}

// trimReplaced ends the keeping of the oldest until at most n are left. Holds no lock.
func (fs *FS) trimReplaced(n int) {
	for {
		fs.lingering.mu.Lock()
		if len(fs.lingering.files) <= n {
			fs.lingering.mu.Unlock()
			return
		}
		l := fs.lingering.files[0]
		fs.lingering.files = slices.Delete(fs.lingering.files, 0, 1)
		fs.lingering.mu.Unlock()
		fs.endReplaced(l)
	}
}

func (fs *FS) endReplaced(l *live) {
	defer fs.live.put(l)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.opens--
	fs.idle(l)
}
