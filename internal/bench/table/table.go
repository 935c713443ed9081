// Package table collects the runs of a benchmark and prints their medians and ratios. Figures of several subjects are taken in turn in
// one run, so that a ratio means something on a machine whose speed drifts.
package table

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// Unit says what a figure counts, and which way is better.
type Unit struct {
	Name    string
	Smaller bool // smaller is better: the ratio is ours ÷ reference, and the target an upper bound
	Digits  int
}

// Units of the tables.
var (
	MBps    = Unit{Name: "MB/s", Digits: 0}
	IOPS    = Unit{Name: "per s", Digits: 0}
	Seconds = Unit{Name: "s", Smaller: true, Digits: 2}
	Millis  = Unit{Name: "ms", Smaller: true, Digits: 2}
	Ratio   = Unit{Name: "ratio", Smaller: true, Digits: 3}
	MiB     = Unit{Name: "MiB", Smaller: true, Digits: 0}
)

// Row is one measure over several subjects.
type Row struct {
	Name   string
	Unit   Unit
	Target float64 // of the last subject's ratio to the first one's, or of its figure itself when there is one subject; 0: none
	runs   map[string][]float64
}

// Add notes one run of a subject.
func (r *Row) Add(subject string, v float64) {
	if r.runs == nil {
		r.runs = map[string][]float64{}
	}
	r.runs[subject] = append(r.runs[subject], v)
}

// Median of a subject's runs; false when it has none.
func (r *Row) Median(subject string) (float64, bool) {
	runs := slices.Clone(r.runs[subject])
	if len(runs) == 0 {
		return 0, false
	}
	slices.Sort(runs)
	n := len(runs)
	return (runs[(n-1)/2] + runs[n/2]) / 2, true
}

// Print writes a table with a column for each subject, and the ratio of the last one to the first.
func Print(w io.Writer, title string, subjects []string, rows []*Row) error {
	fmt.Fprintf(w, "\n%s\n", title)
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "measure\tunit\t")
	for _, s := range subjects {
		fmt.Fprintf(t, "%s\t", s)
	}
	fmt.Fprint(t, "ratio\ttarget\t\t\n")
	for _, r := range rows {
		fmt.Fprintf(t, "%s\t%s\t", r.Name, r.Unit.Name)
		for _, s := range subjects {
			if v, ok := r.Median(s); ok {
				fmt.Fprintf(t, "%.*f\t", r.Unit.Digits, v)
			} else {
				fmt.Fprint(t, "-\t")
			}
		}
		fmt.Fprintf(t, "%s\n", r.verdict(subjects))
	}
	return t.Flush()
}

func (r *Row) verdict(subjects []string) string {
	ours, ok := r.Median(subjects[len(subjects)-1])
	if !ok {
		return "-\t-\t\t"
	}
	v, shown := ours, "-"
	if len(subjects) > 1 {
		ref, ok := r.Median(subjects[0])
		if !ok || ref == 0 {
			return "-\t-\t\t"
		}
		v = ours / ref
		shown = fmt.Sprintf("%.2f", v)
	}
	if r.Target == 0 {
		return shown + "\t-\t\t"
	}
	sign, met := "≥", cmp.Compare(v, r.Target) >= 0
	if r.Unit.Smaller {
		sign, met = "≤", cmp.Compare(v, r.Target) <= 0
	}
	word := "met"
	if !met {
		word = "missed"
	}
	return fmt.Sprintf("%s\t%s %g\t%s\t", shown, sign, r.Target, word)
}
