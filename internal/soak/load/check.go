//go:build linux

package load

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// State is what a writer knew at one moment.
type State struct {
	w     *Writer
	files map[string]*file
}

// Snapshot is what the writer knows now: what it holds acknowledged must be on any disk that is cut off from now on.
func (w *Writer) Snapshot() *State {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := &State{w: w, files: make(map[string]*file, len(w.files))}
	for name, f := range w.files {
		s.files[name] = f.clone()
	}
	return s
}

// Check compares the folder with what was acknowledged by the snapshot and what may have happened until the writer ended. The writer must have ended.
func (s *State) Check() error {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if _, err := os.Stat(s.w.dir); os.IsNotExist(err) && len(s.files) == 0 {
		return nil
	}
	names := slices.Collect(maps.Keys(s.w.files))
	for name := range s.files {
		if s.w.files[name] == nil {
			names = append(names, name)
		}
	}
	var errs []error
	for _, name := range names {
		if strings.HasSuffix(name, either) {
			continue
		}
		if err := s.checkName(name); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, s.strangers())...)
}

// checkName accepts what any of the files that held the name since the snapshot allows.
func (s *State) checkName(name string) error {
	path := filepath.Join(s.w.dir, name)
	then, now := s.files[name], s.w.files[name]
	var errs []error
	candidates := []*file{
		s.bounded(then, now), loose(now, then),
		successor(s.bounded(s.files[name+either], s.w.files[name+either]), then), successor(loose(s.w.files[name+either], nil), then),
	}
	for _, c := range candidates {
		if c == nil {
			continue
		}
		err := c.check(path)
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	if len(errs) == 0 {
		return nil
	}
	return errs[0]
}

// bounded is the file of the snapshot with what was written to it afterwards as possible.
func (s *State) bounded(then, now *file) *file {
	if then == nil {
		return nil
	}
	c := then.clone()
	if now == nil {
		c.gone = true
		return c
	}
	if now.id == then.id {
		c.written, c.version = now.written, now.version
		c.gone, c.goneAck = now.gone, then.goneAck
		if then.goneAck {
			c.gone = true
		}
		return c
	}
	// The name was taken over by another file; the old one may still be there.
	c.gone = true
	return c
}

// loose is a file that came after the snapshot: nothing of it was acknowledged then.
func loose(now, then *file) *file {
	if now == nil || then != nil && then.id == now.id {
		return nil
	}
	c := now.clone()
	c.durable, c.named, c.gone, c.goneAck = nil, false, true, false
	if then != nil && then.named && !then.gone {
		c.named, c.gone = true, false // one or the other must be there
	}
	return c
}

// successor is a file that was being renamed over another one: when the old name was acknowledged, one of the two must be there.
func successor(c, old *file) *file {
	if c == nil {
		return nil
	}
	c = c.clone()
	c.gone, c.goneAck = false, false
	c.named = old != nil && old.named && !old.gone
	return c
}

// strangers finds names that nobody ever made.
func (s *State) strangers() error {
	entries, err := os.ReadDir(s.w.dir)
	if err != nil {
		if os.IsNotExist(err) {
			return nil
		}
		return err
	}
	var errs []error
	for _, e := range entries {
		name := e.Name()
		if s.w.files[name] == nil && s.files[name] == nil && !strings.HasPrefix(name, "tmp-") {
			errs = append(errs, fmt.Errorf("%s/%s: nobody made this name", s.w.dir, name))
		}
	}
	return errors.Join(errs...)
}

// Adopt takes the folder as it is now for the truth, after Check: the writer can go on from there.
func (w *Writer) Adopt() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	found := map[string]*file{}
	for name, f := range w.files {
		if strings.HasSuffix(name, either) || strings.HasPrefix(name, "tmp-") {
			continue
		}
		got, err := w.adoptName(name, f)
		if err != nil {
			return err
		}
		if got != nil {
			found[name] = got
		}
	}
	// Temporary files of a killed replace are of no use any more.
	entries, err := os.ReadDir(w.dir)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "tmp-") {
			if err := os.Remove(filepath.Join(w.dir, e.Name())); err != nil {
				return err
			}
		}
	}
	w.files = found
	return nil
}

func (w *Writer) adoptName(name string, f *file) (*file, error) {
	path := filepath.Join(w.dir, name)
	exists, err := f.adopt(path)
	if err != nil {
		if alt := w.files[name+either]; alt != nil {
			f = alt
			exists, err = f.adopt(path)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if !exists || len(f.written) == 0 {
		if exists {
			return nil, os.Remove(path)
		}
		return nil, nil
	}
	f.durable = nil
	f.named = false
	return f, nil
}
