package trace

import (
	"fmt"
	"math"

	"github.com/meshbench/meshbench/lab/internal/csvfile"
	"github.com/meshbench/meshbench/lab/mesh"
)

// kind is what a numeric column holds.
type kind int

const (
	rate     kind = iota // requests/s
	count                // requests per step
	fraction             // of requests, in [0, 1]
	seconds
	setting    // of a knob that is no fraction; the knob's kind says more
	percentage // in the published trace only
)

func (k kind) holds(v float64) bool {
	least, most := 0.0, math.MaxFloat64
	switch k {
	case fraction:
		most = 1
	case percentage:
		most = 100
	case setting:
		least = -math.MaxFloat64
	}
	return v >= least && v <= most
}

func (k kind) accepted() string {
	return [...]string{
		"a finite number >= 0 in requests/s",
		"a finite number >= 0 of requests",
		"a fraction in [0, 1]",
		"a finite number >= 0 in seconds",
		"a finite number",
		"a percentage in [0, 100]",
	}[k]
}

// missing tells whether nothing was measured.
func missing(v float64) bool { return math.IsNaN(v) }

// column is one numeric column of a trace file.
type column struct {
	name     string
	kind     kind
	required bool // never missing: what was configured, not measured
	cell     func(t *Table, r int) *float64
}

func (c *column) accepted() string {
	if c.required {
		return c.kind.accepted()
	}
	return c.kind.accepted() + ", or empty where it is missing"
}

func (c *column) holds(v float64) bool {
	return c.kind.holds(v) || missing(v) && !c.required
}

// delayParts are the columns of one mesh.Delay: the suffix of the column's name
// and the cell.
var delayParts = []struct {
	suffix string
	kind   kind
	cell   func(d *mesh.Delay) *float64
}{
	{"_n", count, func(d *mesh.Delay) *float64 { return &d.Count }},
	{"", seconds, func(d *mesh.Delay) *float64 { return &d.Mean }},
	{"_p50", seconds, func(d *mesh.Delay) *float64 { return &d.P50 }},
	{"_p95", seconds, func(d *mesh.Delay) *float64 { return &d.P95 }},
	{"_p99", seconds, func(d *mesh.Delay) *float64 { return &d.P99 }},
}

// columns lists the numeric columns of a trace in the file's order.
func columns(s *mesh.Space) []column {
	var list []column
	m := s.Mesh()
	perService := func(name func(i int) string, k kind, required bool, slab func(t *Table) []float64) {
		for i := range m.M() {
			list = append(list, column{name(i), k, required, func(t *Table, r int) *float64 { return &slab(t)[r*t.m+i] }})
		}
	}
	numbered := func(prefix string) func(i int) string {
		return func(i int) string { return fmt.Sprintf("%s%d", prefix, i+1) }
	}
	perService(m.LoadName, rate, true, func(t *Table) []float64 { return t.load })
	perService(numbered("lg"), rate, false, func(t *Table) []float64 { return t.generated })
	perService(m.CarriedName, rate, false, func(t *Table) []float64 { return t.carried })
	perService(numbered("blocked"), count, false, func(t *Table) []float64 { return t.blocked })
	perService(numbered("failed"), count, false, func(t *Table) []float64 { return t.failed })
	for _, knob := range s.Knobs() {
		k := setting
		if knob.Kind == mesh.Route || knob.Kind == mesh.Block {
			k = fraction
		}
		for j, name := range knob.Columns {
			at := knob.First + j
			list = append(list, column{name, k, true, func(t *Table, r int) *float64 { return &t.action[r*t.w+at] }})
		}
	}
	for i := range m.M() {
		for _, p := range delayParts {
			list = append(list, column{m.DelayName(i) + p.suffix, p.kind, false,
				func(t *Table, r int) *float64 { return p.cell(&t.service[r*t.m+i]) }})
		}
	}
	for e, name := range s.Layout().DelayNames() {
		for _, p := range delayParts {
			list = append(list, column{name + p.suffix, p.kind, false,
				func(t *Table, r int) *float64 { return p.cell(&t.endpoint[r*t.e+e]) }})
		}
	}
	return list
}

// Columns lists the columns of a trace file in its order: step, start, the
// numeric columns, mark.
func Columns(s *mesh.Space) []string { return columnNames(columns(s)) }

func columnNames(list []column) []string {
	names := []string{"step", "start"}
	for _, c := range list {
		names = append(names, c.name)
	}
	return append(names, "mark")
}

// find returns the named numeric column of t.
func (t *Table) find(name string) (column, error) {
	names := make([]string, len(t.columns))
	for k, c := range t.columns {
		if c.name == name {
			return c, nil
		}
		names[k] = c.name
	}
	return column{}, fmt.Errorf("trace: no numeric column %s%s; columns: %s", csvfile.Quote(name), csvfile.Suggest(name, names), csvfile.List(names))
}

// Column returns a copy of a numeric column, NaN where a value is missing. The
// error for an unknown name lists the columns.
func (t *Table) Column(name string) ([]float64, error) {
	c, err := t.find(name)
	if err != nil {
		return nil, err
	}
	v := make([]float64, t.Len())
	for r := range v {
		v[r] = *c.cell(t, r)
	}
	return v, nil
}
