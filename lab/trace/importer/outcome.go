package importer

import (
	"fmt"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/lab/internal/csvfile"
)

// Outcome says what became of every row and column of a file. Used and the rows
// of Unused sum to Rows.
type Outcome struct {
	Rows    int      // of the file, after its header
	Used    int      // rows that steps are made of
	Steps   int      // of the trace
	Unused  []Reason // in the order in which they first came
	Gaps    int      // places where steps are missing in the file
	Lost    int      // steps that are missing there
	Gap     Place    // the row after the first gap
	Columns []Use    // that were mapped
	Ignored []string // columns of the file that were not
	Notes   []string // what else is to be known, for instance how rows were joined
}

// Place is a row of a file, from 1, and the physical line on which it begins.
type Place struct{ Row, Line int }

func (p Place) String() string { return fmt.Sprintf("row %d (line %d)", p.Row, p.Line) }

// Reason is why rows were not used.
type Reason struct {
	Text   string
	Rows   int
	First  Place
	Detail string // of the first
}

// Use is a column that was mapped.
type Use struct {
	Column, Field, Unit string
	Missing             int // values that are missing in rows that could be used
}

// problem is what is wrong with a row.
type problem struct {
	reason string // the same for all rows of its kind
	detail string
}

// add counts rows that were not used.
func (o *Outcome) add(rows int, first Place, p *problem) {
	for k := range o.Unused {
		if r := &o.Unused[k]; r.Text == p.reason {
			r.Rows += rows
			return
		}
	}
	o.Unused = append(o.Unused, Reason{p.reason, rows, first, p.detail})
}

// note adds a note once.
func (o *Outcome) note(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(o.Notes, text) {
		o.Notes = append(o.Notes, text)
	}
}

// most is the reason that most rows were not used for.
func (o *Outcome) most() Reason {
	return slices.MaxFunc(o.Unused, func(a, b Reason) int { return a.Rows - b.Rows })
}

// String is the outcome as lines of text.
func (o *Outcome) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d steps from %d of %d rows\n", o.Steps, o.Used, o.Rows)
	for _, r := range o.Unused {
		fmt.Fprintf(&b, "- %d rows not used: %s; first %s: %s\n", r.Rows, r.Text, r.First, r.Detail)
	}
	if o.Gaps > 0 {
		fmt.Fprintf(&b, "- %d gaps, of %d steps in all; first before %s\n", o.Gaps, o.Lost, o.Gap)
	}
	for _, n := range o.Notes {
		fmt.Fprintf(&b, "- %s\n", n)
	}
	var missing []string
	for _, u := range o.Columns {
		if u.Missing > 0 {
			missing = append(missing, fmt.Sprintf("%s %d", u.Column, u.Missing))
		}
	}
	if missing != nil {
		fmt.Fprintf(&b, "- missing values, by column: %s\n", strings.Join(missing, ", "))
	}
	if len(o.Ignored) > 0 {
		fmt.Fprintf(&b, "- columns not mapped: %s\n", csvfile.List(o.Ignored))
	}
	return b.String()
}
