package trace

import (
	"fmt"
	"math"

	"github.com/meshbench/meshbench/lab/internal/csvfile"
	"github.com/meshbench/meshbench/lab/mesh"
)

// Kind is what a numeric column holds.
type Kind int

const (
	Rate     Kind = iota // requests/s
	Count                // requests per step
	Fraction             // of requests, in [0, 1]
	Seconds
	Setting // of a knob that is no fraction; the knob's kind says more
)

func (k Kind) holds(v float64) bool {
	least, most := 0.0, math.MaxFloat64
	switch k {
	case Fraction:
		most = 1
	case Setting:
		least = -math.MaxFloat64
	}
	return v >= least && v <= most
}

func (k Kind) accepted() string {
	return [...]string{
		"a finite number >= 0 in requests/s",
		"a finite number >= 0 of requests",
		"a fraction in [0, 1]",
		"a finite number >= 0 in seconds",
		"a finite number",
	}[k]
}

// missing tells whether nothing was measured.
func missing(v float64) bool { return math.IsNaN(v) }

// Field says what a numeric column of a trace holds, for programs that fill a
// table from other sources.
type Field struct {
	Name     string // of the column
	Kind     Kind
	Required bool // never missing: what was configured, not measured
	Service  int  // that it is about; -1 for a knob of a node
}

// Accepted says which values the column takes.
func (f Field) Accepted() string {
	if f.Required {
		return f.Kind.accepted()
	}
	return f.Kind.accepted() + ", or empty where it is missing"
}

// Holds reports whether the column takes v, NaN standing for a missing value.
func (f Field) Holds(v float64) bool {
	return f.Kind.holds(v) || missing(v) && !f.Required
}

// Fields lists the numeric columns of a trace, in the file's order.
func Fields(s *mesh.Space) []Field {
	var list []Field
	for _, c := range columns(s) {
		list = append(list, c.Field)
	}
	return list
}

// column is one numeric column of a trace file.
type column struct {
	Field
	cell func(t *Table, r int) *float64
}

// delayParts are the columns of one mesh.Delay: the suffix of the column's name
// and the cell.
var delayParts = []struct {
	suffix string
	kind   Kind
	cell   func(d *mesh.Delay) *float64
}{
	{"_n", Count, func(d *mesh.Delay) *float64 { return &d.Count }},
	{"", Seconds, func(d *mesh.Delay) *float64 { return &d.Mean }},
	{"_p50", Seconds, func(d *mesh.Delay) *float64 { return &d.P50 }},
	{"_p95", Seconds, func(d *mesh.Delay) *float64 { return &d.P95 }},
	{"_p99", Seconds, func(d *mesh.Delay) *float64 { return &d.P99 }},
}

// columns lists the numeric columns of a trace in the file's order.
func columns(s *mesh.Space) []column {
	var list []column
	m := s.Mesh()
	perService := func(name func(i int) string, k Kind, required bool, slab func(t *Table) []float64) {
		for i := range m.M() {
			list = append(list, column{Field{name(i), k, required, i}, func(t *Table, r int) *float64 { return &slab(t)[r*t.m+i] }})
		}
	}
	numbered := func(prefix string) func(i int) string {
		return func(i int) string { return fmt.Sprintf("%s%d", prefix, i+1) }
	}
	perService(m.LoadName, Rate, true, func(t *Table) []float64 { return t.load })
	perService(numbered("lg"), Rate, false, func(t *Table) []float64 { return t.generated })
	perService(m.CarriedName, Rate, false, func(t *Table) []float64 { return t.carried })
	perService(numbered("blocked"), Count, false, func(t *Table) []float64 { return t.blocked })
	perService(numbered("failed"), Count, false, func(t *Table) []float64 { return t.failed })
	for _, knob := range s.Knobs() {
		k, service := Setting, -1
		if knob.Kind == mesh.Route || knob.Kind == mesh.Block {
			k = Fraction
		}
		switch knob.Info.Scope {
		case mesh.PerCall:
			service = s.Layout().Calls[knob.Of].Service
		case mesh.PerService:
			service = knob.Of
		}
		for j, name := range knob.Columns {
			at := knob.First + j
			list = append(list, column{Field{name, k, true, service}, func(t *Table, r int) *float64 { return &t.action[r*t.w+at] }})
		}
	}
	for i := range m.M() {
		for _, p := range delayParts {
			list = append(list, column{Field{m.DelayName(i) + p.suffix, p.kind, false, i},
				func(t *Table, r int) *float64 { return p.cell(&t.service[r*t.m+i]) }})
		}
	}
	for e, name := range s.Layout().DelayNames() {
		service := s.Layout().Calls[s.Layout().Endpoints[e].Call].Service
		for _, p := range delayParts {
			list = append(list, column{Field{name + p.suffix, p.kind, false, service},
				func(t *Table, r int) *float64 { return p.cell(&t.endpoint[r*t.e+e]) }})
		}
	}
	return list
}

// columns are those of the space and of the platform.
func (m Meta) columns() []column {
	list := columns(m.Space)
	for k, name := range m.Platform {
		list = append(list, column{Field{name, Setting, false, -1}, func(t *Table, r int) *float64 { return &t.platform[r*t.p+k] }})
	}
	return list
}

// Columns lists the columns of a trace file in its order: step, start, the
// numeric columns, mark; those of the platform are between the last two.
func Columns(s *mesh.Space) []string { return columnNames(columns(s)) }

func columnNames(list []column) []string {
	names := []string{"step", "start"}
	for _, c := range list {
		names = append(names, c.Name)
	}
	return append(names, "mark")
}

// find returns the named numeric column of t.
func (t *Table) find(name string) (column, error) {
	names := make([]string, len(t.columns))
	for k, c := range t.columns {
		if c.Name == name {
			return c, nil
		}
		names[k] = c.Name
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
