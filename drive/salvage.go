package drive

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"syscall"

	"github.com/cloudcoin/cloudcoin/fs/stage"
	"github.com/cloudcoin/cloudcoin/fs/vfs"
	"github.com/cloudcoin/cloudcoin/sync/model"
)

// salvage brings the contents that a damaged HOME had not sent back under "Recovered TIME/" of the restored drive.
func salvage(ctx context.Context, opt Options, from string, report *RecoveryReport) (err error) {
	d, err := Open(ctx, opt)
	if err != nil {
		return fmt.Errorf("save what %s had not sent: %w", from, err)
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	s := &salvager{d: d, ctx: ctx, report: report, root: "Recovered " + opt.Clock().Local().Format("2006-01-02 15.04.05")}
	damage, err := stage.SalvageUnknown(from, s.known, s.saveOrTell)
	report.Problems = append(report.Problems, damage...)
	if err != nil {
		return fmt.Errorf("save what %s had not sent: %w", from, err)
	}
	if err := d.fs.SyncAll(ctx); err != nil {
		return err
	}
	if s.failed > 0 {
		return fmt.Errorf("save what %s had not sent: %d files could not be saved, the problems say why; keep that folder", from, s.failed)
	}
	return nil
}

// saveOrTell goes on after a file that can't be saved. Last known paths may contradict each other (a name that was a file and is a folder now): such
// a file is saved under its number.
func (s *salvager) saveOrTell(f stage.SalvagedFile) error {
	err := s.save(f)
	if err != nil && s.ctx.Err() == nil && f.Path != "" && !errors.Is(err, syscall.ENOSPC) {
		nameless := f
		nameless.Path, nameless.Damage = "", nil
		if again := s.save(nameless); again == nil {
			s.problem(&f, fmt.Sprintf("it is saved as %s: %v", inodeName(f.Ino), err))
			return nil
		}
	}
	switch {
	case err == nil:
		return nil
	case s.ctx.Err() != nil, errors.Is(err, syscall.ENOSPC):
		return err
	}
	s.failed++
	s.problem(&f, err.Error())
	return nil
}

func inodeName(ino model.Ino) string { return fmt.Sprintf("inode %d", ino) }

type salvager struct {
	d      *Drive
	ctx    context.Context
	report *RecoveryReport
	root   string
	made   map[string]vfs.NodeID // folders
	failed int

	lost      [2]int64 // the run of lost bytes of the present file that isn't told yet
	lostError error
}

// lose notes bytes that can't be read; runs that meet are told as one.
func (s *salvager) lose(f *stage.SalvagedFile, from, to int64, err error) {
	if s.lostError == nil || s.lost[1] != from {
		s.tellLost(f)
		s.lost, s.lostError = [2]int64{from, to}, err
		return
	}
	s.lost[1] = to
}

func (s *salvager) tellLost(f *stage.SalvagedFile) {
	if s.lostError != nil {
		s.problem(f, fmt.Sprintf("the bytes from %d to %d are lost: %v", s.lost[0], s.lost[1], s.lostError))
	}
	s.lostError = nil
}

// known tells whether the restored drive has a content, or a later one. What was sent in the last moments may not have been published.
func (s *salvager) known(ino model.Ino, ctime int64) bool {
	rec, err := s.d.index.Now().Inode(ino)
	return err == nil && rec.Ctime >= ctime
}

// save writes one file into the tree.
func (s *salvager) save(f stage.SalvagedFile) error {
	for _, m := range f.Damage {
		s.problem(&f, m)
	}
	defer s.tellLost(&f)
	name := strings.Trim(path.Clean("/"+f.Path), "/")
	if name == "" {
		name = inodeName(f.Ino)
	}
	parent, err := s.folder(path.Join(s.root, path.Dir(name)))
	if err != nil {
		return err
	}
	node, handle, err := s.create(parent, path.Base(name))
	if err != nil {
		return fmt.Errorf("save %s: %w", name, err)
	}
	err = s.copy(node, handle, &f)
	if err == nil && f.Mtime != 0 {
		set := vfs.SetAttr{Valid: vfs.SetMtime, Mtime: f.Mtime}
		_, errno := s.d.fs.SetAttr(s.ctx, vfs.Caller{}, node, handle, set)
		err = asError(errno)
	}
	if errno := s.d.fs.Flush(s.ctx, node, handle); err == nil {
		err = asError(errno)
	}
	s.d.fs.Release(node, handle)
	if err != nil {
		return fmt.Errorf("save %s: %w", name, err)
	}
	s.report.SavedFiles++
	s.report.SavedUnder = s.root
	return nil
}

// copy writes the content; parts that are as they were stored before come from the providers. What can't be read is left out and told.
func (s *salvager) copy(node vfs.NodeID, handle vfs.Handle, f *stage.SalvagedFile) error {
	var below stage.Base
	if f.NeedsBase {
		var err error
		if below, err = s.d.stored(f.Ino); err != nil {
			s.problem(f, fmt.Sprintf("parts of it were stored before, and can't be found: %v", err))
		}
	}
	buf := make([]byte, 1<<20)
	for off := int64(0); off < f.Size; off += int64(len(buf)) {
		b := buf[:min(int64(len(buf)), f.Size-off)]
		if err := s.copyPiece(node, handle, f, below, b, off); err != nil {
			return err
		}
	}
	_, errno := s.d.fs.SetAttr(s.ctx, vfs.Caller{}, node, handle, vfs.SetAttr{Valid: vfs.SetSize, Size: f.Size})
	return asError(errno)
}

// copyPiece writes one piece; when it can't be read as a whole, it goes block by block, so that one damaged block costs no more than itself.
func (s *salvager) copyPiece(node vfs.NodeID, handle vfs.Handle, f *stage.SalvagedFile, below stage.Base, b []byte, off int64) error {
	const block = 4096
	if _, err := f.ReadAt(s.ctx, below, b, off); err == nil {
		_, errno := s.d.fs.Write(s.ctx, vfs.Caller{}, node, handle, b, off, vfs.WriteFlags{})
		return asError(errno)
	} else if len(b) <= block {
		s.lose(f, off, off+int64(len(b)), err)
		return s.ctx.Err()
	}
	for at := 0; at < len(b); at += block {
		if err := s.copyPiece(node, handle, f, below, b[at:min(at+block, len(b))], off+int64(at)); err != nil {
			return err
		}
	}
	return nil
}

func (s *salvager) problem(f *stage.SalvagedFile, text string) {
	s.report.Problems = append(s.report.Problems, fmt.Sprintf("%s: %s", f.Path, text))
}

// create makes a file; when the name is taken it gets a number.
func (s *salvager) create(parent vfs.NodeID, name string) (vfs.NodeID, vfs.Handle, error) {
	for i := 1; ; i++ {
		try := name
		if i > 1 {
			try = fmt.Sprintf("%s (%d)", name, i)
		}
		e, h, _, errno := s.d.fs.Create(s.ctx, vfs.Caller{}, parent, try, vfs.OpenReadWrite|vfs.OpenExcl, model.TypeRegular|0o600)
		if errno != syscall.EEXIST || i == 1000 {
			return e.Node, h, asError(errno)
		}
	}
}

// folder makes the folders of a path and returns the last one.
func (s *salvager) folder(dir string) (vfs.NodeID, error) {
	if dir == "." || dir == "" {
		return vfs.RootNode, nil
	}
	if n, ok := s.made[dir]; ok {
		return n, nil
	}
	parent, err := s.folder(path.Dir(dir))
	if err != nil {
		return 0, err
	}
	e, errno := s.d.fs.Mkdir(s.ctx, vfs.Caller{}, parent, path.Base(dir), 0o700)
	if errno == syscall.EEXIST {
		e, errno = s.d.fs.Lookup(s.ctx, vfs.Caller{}, parent, path.Base(dir))
	}
	if errno != 0 {
		return 0, fmt.Errorf("make folder %s: %w", dir, errno)
	}
	if s.made == nil {
		s.made = map[string]vfs.NodeID{}
	}
	s.made[dir] = e.Node
	return e.Node, nil
}

func asError(errno syscall.Errno) error {
	if errno == 0 {
		return nil
	}
	return errno
}
