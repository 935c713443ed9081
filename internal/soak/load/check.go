//go:build linux

package load

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// State is what a writer knew at one moment.
type State struct {
	w     *Writer
	names map[string]known
}

// known is what was known of one name.
type known struct {
	now, next *file
	past      int // how many files had held the name before
}

// Snapshot is what the writer knows now: what it holds acknowledged must be on any disk that is cut off from now on.
func (w *Writer) Snapshot() *State {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := &State{w: w, names: make(map[string]known, len(w.names))}
	for name, e := range w.names {
		k := known{now: e.now.clone(), past: len(e.past)}
		if e.next != nil {
			k.next = e.next.clone()
		}
		s.names[name] = k
	}
	return s
}

// Check compares the folder with what was acknowledged by the snapshot and what may have happened until the writer ended. The writer must have ended.
func (s *State) Check() error {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	entries, err := os.ReadDir(s.w.dir)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	there := map[string]bool{}
	var errs []error
	for _, e := range entries {
		there[e.Name()] = true
		if s.w.names[e.Name()] == nil && s.w.temps[e.Name()] == nil {
			errs = append(errs, fmt.Errorf("%s/%s: nobody made this name", s.w.dir, e.Name()))
		}
	}
	for name, e := range s.w.names {
		e.seen = nil
		if err := s.checkName(name, e, there[name]); err != nil {
			errs = append(errs, fmt.Errorf("%s/%s: %w", s.w.dir, name, err))
		}
	}
	for name, f := range s.w.temps {
		if err := s.checkTemp(name, f); err != nil {
			errs = append(errs, fmt.Errorf("%s/%s: %w", s.w.dir, name, err))
		}
	}
	return errors.Join(errs...)
}

// checkName accepts what any of the files that held the name since the snapshot allows. It is gone only when it was not acknowledged, or its removal was begun.
func (s *State) checkName(name string, e *entry, listed bool) error {
	b, err := os.ReadFile(filepath.Join(s.w.dir, name))
	k, old := s.names[name]
	switch {
	case os.IsNotExist(err) && listed:
		return errors.New("the folder lists the name, and it can't be opened")
	case os.IsNotExist(err):
		if old && k.now.named && !e.now.gone {
			return errors.New("the name was acknowledged and is gone")
		}
		return nil
	case err != nil:
		return err
	case !listed:
		return errors.New("the name can be opened, and its folder doesn't list it")
	case old && k.now.goneAck:
		return errors.New("its removal was acknowledged and it is there")
	}
	candidates := append([]*file(nil), e.past[k.past:]...)
	candidates = append(candidates, e.now)
	if e.next != nil {
		candidates = append(candidates, e.next)
	}
	var first error
	for _, c := range candidates {
		err := c.check(b, k.must(c))
		if err == nil {
			e.seen = c
			return nil
		}
		if first == nil || c.id == owner(b) {
			first = err
		}
	}
	return first
}

// must is what a file has to show at least: what was acknowledged by the snapshot, or, for one that took the name later, by its rename.
func (k *known) must(f *file) floor {
	switch {
	case k.now != nil && k.now.id == f.id:
		return k.now.acked
	case k.next != nil && k.next.id == f.id:
		return k.next.acked
	}
	return f.base
}

// checkTemp: a temporary file's name is never acknowledged, so it may be gone, and hold less; but nothing else.
func (s *State) checkTemp(name string, f *file) error {
	b, err := os.ReadFile(filepath.Join(s.w.dir, name))
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return f.check(b, floor{})
}

// Adopt takes the folder as Check has seen it for the truth, makes it durable and goes on from there.
func (w *Writer) Adopt() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	names := map[string]*entry{}
	for name, e := range w.names {
		if e.seen == nil {
			continue // gone
		}
		kept, err := adoptFile(filepath.Join(w.dir, name), e.seen)
		if err != nil {
			return err
		}
		if kept {
			names[name] = &entry{now: e.seen}
		}
	}
	for name := range w.temps { // of no use any more
		if err := os.Remove(filepath.Join(w.dir, name)); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	w.names, w.temps = names, map[string]*file{}
	if err := syncDir(w.dir); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}

// adoptFile makes a file durable as it is. An empty one is removed.
func adoptFile(path string, f *file) (kept bool, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return false, err
	}
	if len(b) == 0 {
		return false, os.Remove(path)
	}
	if err := syncDir(path); err != nil {
		return false, err
	}
	if err := f.adopt(b); err != nil {
		return false, fmt.Errorf("%s changed after it was checked: %w", path, err)
	}
	return true, nil
}
