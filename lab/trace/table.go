// Package trace holds what a testbed measured, one row per control step: the
// table in memory, its CSV file (read strictly, written atomically, appended
// to row by row), the import of the trace published with the paper, splits
// into training and test rows, matrices for learning, and an audit that tells
// whether a trace can be trusted.
//
// Missing is missing: NaN in memory, an empty cell in a file, never 0.
package trace

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/meshbench/meshbench/lab/mesh"
)

// Meta says where a trace comes from. It is the head of a trace file.
type Meta struct {
	Mesh        mesh.Mesh
	StepSeconds float64           // measured length of a step in unscaled seconds; default 5 (paper, Section III)
	TimeScale   float64           // by which the testbed divided its times; the rows are unscaled; default 1
	Testbed     string            // "local", "virtual", "istio", "published"; "" for unknown
	Load        string            // load pattern, for instance "random"
	Actions     string            // how actions were chosen, for instance "random"
	Seed        uint64            // of loads, actions and arrivals
	Reference   int               // every so many steps one fixed (load, action) cell was repeated: Step%Reference == 0; 0 for never
	Extra       map[string]string // further facts, key: value
}

// defaults fills in what is zero.
func (m Meta) defaults() Meta {
	if m.StepSeconds == 0 {
		m.StepSeconds = 5
	}
	if m.TimeScale == 0 {
		m.TimeScale = 1
	}
	if len(m.Mesh.Services) == 0 {
		m.Mesh.Services = slices.Clone(m.Mesh.ServiceNames())
	}
	if len(m.Mesh.Nodes) == 0 {
		m.Mesh.Nodes = slices.Clone(m.Mesh.NodeNames())
	}
	m.Extra = maps.Clone(m.Extra)
	return m
}

// Row is one control step.
type Row struct {
	Step        int
	Start       time.Time // zero when unknown
	Load        mesh.Load // as configured
	Action      mesh.Action
	Measurement mesh.Measurement
}

// Table is a trace in memory. Rows are kept in flat columns; a Row is a view
// of them.
type Table struct {
	meta      Meta
	m, n      int
	step      []int
	start     []time.Time
	mark      []string
	load      []float64 // rows x m, and so on
	route     []float64 // rows x m*n
	block     []float64
	generated []float64
	carried   []float64
	blocked   []float64
	failed    []float64
	service   []mesh.Delay
	node      []mesh.Delay // rows x m*n
}

// New returns an empty table.
func New(meta Meta) *Table {
	meta = meta.defaults()
	return &Table{meta: meta, m: meta.Mesh.M(), n: meta.Mesh.N()}
}

// Meta tells where the trace comes from.
func (t *Table) Meta() Meta { return t.meta }

// Mesh is the mesh that was measured.
func (t *Table) Mesh() mesh.Mesh { return t.meta.Mesh }

// Len is the number of rows.
func (t *Table) Len() int { return len(t.step) }

// Next is the step after the last one, 0 for an empty table.
func (t *Table) Next() int {
	if t.Len() == 0 {
		return 0
	}
	return t.step[t.Len()-1] + 1
}

// Row returns row r, a view that must not be changed. It panics when r is out
// of range.
func (t *Table) Row(r int) Row {
	m, mn := t.m, t.m*t.n
	return Row{
		Step:  t.step[r],
		Start: t.start[r],
		Load:  mesh.Load(part(t.load, r, m)),
		Action: mesh.Action{
			Route: part(t.route, r, mn),
			Block: part(t.block, r, m),
		},
		Measurement: mesh.Measurement{
			Generated: part(t.generated, r, m),
			Carried:   part(t.carried, r, m),
			Blocked:   part(t.blocked, r, m),
			Failed:    part(t.failed, r, m),
			Service:   part(t.service, r, m),
			Node:      part(t.node, r, mn),
			Mark:      t.mark[r],
		},
	}
}

// part is row r of a column of the given width; appending to it cannot reach
// the next row.
func part[T any](column []T, r, width int) []T {
	return column[r*width : (r+1)*width : (r+1)*width]
}

// Append adds a copy of row to the table. It returns an error, and adds
// nothing, when the row does not fit the mesh or holds a value that a file
// would not be accepted with.
func (t *Table) Append(row Row) error {
	if err := t.check(row); err != nil {
		return err
	}
	t.push(row)
	return nil
}

func (t *Table) push(row Row) {
	x := row.Measurement
	t.step = append(t.step, row.Step)
	t.start = append(t.start, row.Start)
	t.mark = append(t.mark, x.Mark)
	t.load = append(t.load, row.Load...)
	t.route = append(t.route, row.Action.Route...)
	t.block = append(t.block, row.Action.Block...)
	t.generated = append(t.generated, x.Generated...)
	t.carried = append(t.carried, x.Carried...)
	t.blocked = append(t.blocked, x.Blocked...)
	t.failed = append(t.failed, x.Failed...)
	t.service = append(t.service, x.Service...)
	t.node = append(t.node, x.Node...)
}

// check reports what is wrong with a row from outside.
func (t *Table) check(row Row) error {
	x := row.Measurement
	for _, part := range []struct {
		what      string
		got, want int
	}{
		{"loads", len(row.Load), t.m},
		{"generated loads", len(x.Generated), t.m},
		{"carried loads", len(x.Carried), t.m},
		{"blocked counts", len(x.Blocked), t.m},
		{"failed counts", len(x.Failed), t.m},
		{"service delays", len(x.Service), t.m},
		{"node delays", len(x.Node), t.m * t.n},
	} {
		if part.got != part.want {
			return fmt.Errorf("trace: step %d: %d %s; %s takes %d", row.Step, part.got, part.what, t.meta.Mesh, part.want)
		}
	}
	if row.Step < 0 {
		return fmt.Errorf("trace: step %d is negative", row.Step)
	}
	if err := row.Action.Validate(t.meta.Mesh); err != nil {
		return fmt.Errorf("trace: step %d: %w", row.Step, err)
	}
	one := New(t.meta)
	one.push(row)
	for _, c := range columns(t.meta.Mesh) {
		v := *c.cell(one, 0)
		if math.IsNaN(v) && !c.required {
			continue
		}
		if !c.kind.holds(v) {
			return fmt.Errorf("trace: step %d: %s is %v; accepted: %s", row.Step, c.name, v, c.accepted())
		}
	}
	return nil
}

// Subset returns a table of the given rows in the given order.
func (t *Table) Subset(rows []int) *Table {
	s := New(t.meta)
	for _, r := range rows {
		s.push(t.Row(r))
	}
	return s
}

// Loads returns the configured loads, one per row, to be replayed by
// load.NewReplay.
func (t *Table) Loads() []mesh.Load {
	loads := make([]mesh.Load, t.Len())
	for r := range loads {
		loads[r] = slices.Clone(t.Row(r).Load)
	}
	return loads
}
