package chunk

import (
	"cmp"
	"fmt"
	"io"
	"slices"
)

// Recut cuts only what changes of a file make necessary, and calls fn for each new chunk, in order of offsets. What fn was not called for
// keeps its old chunks.
//
// size is the present length of the file that r reads. old are the offsets, in any order, at which chunks or holes of the old content begin or
// end and that still hold; 0 and size count always, what is beyond size never. dirty are the ranges that changed (also those that were appended), in any
// order; empty ones and what is beyond size don't count.
//
// The new chunks replace whole intervals between neighbouring old offsets: those with a change in them, and beside them intervals shorter than Min, so that
// a file that grows by small steps doesn't fall apart. An interval of Min bytes or more without a change is never touched. So a hole
// of that length is safe when its ends are in old, and a small change costs the chunk that it is in and nothing else is read.
//
// data is valid during the call only. It ends with the first error of r or fn.
func (s *Splitter) Recut(r io.ReaderAt, size int64, old []int64, dirty []Range, fn func(off int64, data []byte) error) error {
	runs, err := plan(size, old, dirty)
	if err != nil || len(runs) == 0 {
		return err
	}
	large := largeBuffers.Get().(*[]byte)
	defer largeBuffers.Put(large)
	for _, run := range runs {
		if err := s.cutRun(r, run, run.end() == size, *large, fn); err != nil {
			return err
		}
	}
	return nil
}

// cutRun cuts one run. A last piece shorter than Min stays with the one before it, unless the file ends there.
func (s *Splitter) cutRun(r io.ReaderAt, run Range, last bool, buf []byte, fn func(off int64, data []byte) error) error {
	done := int64(0)
	err := s.each(io.NewSectionReader(r, run.Off, run.Len), buf, func(_ int64, data []byte) (more bool, err error) {
		off, n := run.Off+done, int64(len(data))
		rest := run.Len - done - n
		if !last && rest > 0 && rest < Min && n+rest <= Max {
			done = run.Len
			return false, withRest(r, off, data, int(rest), fn)
		}
		done += n
		return true, fn(off, data)
	})
	if err == nil && done < run.Len {
		err = fmt.Errorf("cut %d bytes at %d: only %d are there: %w", run.Len, run.Off, done, io.ErrUnexpectedEOF)
	}
	return err
}

// withRest calls fn with data and the rest bytes that come after it in the file.
func withRest(r io.ReaderAt, off int64, data []byte, rest int, fn func(off int64, data []byte) error) error {
	buf := largeBuffers.Get().(*[]byte)
	defer largeBuffers.Put(buf)
	n := copy(*buf, data)
	whole := (*buf)[:n+rest]
	if got, err := r.ReadAt(whole[n:], off+int64(n)); got < rest {
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	return fn(off, whole)
}

// plan finds the runs that are cut anew: sorted, apart from each other, from one boundary to another.
func plan(size int64, old []int64, dirty []Range) ([]Range, error) {
	changes, err := merge(dirty, size)
	if err != nil {
		return nil, err
	}
	bounds := boundaries(old, size)
	var runs []Range
	for _, c := range changes {
		from, exact := slices.BinarySearch(bounds, c.Off)
		if !exact {
			from-- // 0 is a boundary
		}
		to, _ := slices.BinarySearch(bounds, c.end()) // size is one
		if from > 0 && bounds[from]-bounds[from-1] < Min {
			from--
		}
		if to+1 < len(bounds) && bounds[to+1]-bounds[to] < Min {
			to++
		}
		runs = append(runs, Range{bounds[from], bounds[to] - bounds[from]})
	}
	return merge(runs, size)
}

// boundaries are the old boundaries inside the file, with 0 and size, sorted.
func boundaries(old []int64, size int64) []int64 {
	b := make([]int64, 0, len(old)+2)
	b = append(b, 0)
	for _, off := range old {
		if off > 0 && off < size {
			b = append(b, off)
		}
	}
	b = append(b, size)
	slices.Sort(b)
	return slices.Compact(b)
}

// merge sorts ranges, cuts them at size, drops empty ones, and joins those that touch.
func merge(ranges []Range, size int64) ([]Range, error) {
	in := make([]Range, 0, len(ranges))
	for _, r := range ranges {
		if r.Off < 0 || r.Len < 0 {
			return nil, fmt.Errorf("cut again: changed range of %d bytes at %d", r.Len, r.Off)
		}
		if r.Off < size && r.Len > 0 {
			in = append(in, Range{r.Off, min(r.Len, size-r.Off)})
		}
	}
	slices.SortFunc(in, func(a, b Range) int { return cmp.Compare(a.Off, b.Off) })
	out := in[:0]
	for _, r := range in {
		if last := len(out) - 1; last >= 0 && r.Off <= out[last].end() {
			out[last].Len = max(out[last].end(), r.end()) - out[last].Off
			continue
		}
		out = append(out, r)
	}
	return out, nil
}
