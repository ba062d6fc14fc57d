package trace

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/meshbench/meshbench/lab/mesh"
)

// Meta says where a trace comes from. It is the head of a trace file.
type Meta struct {
	Space       *mesh.Space       // the mesh and its knobs; there is no default
	Scenario    string            // name of the scenario; "" for unknown
	StepSeconds float64           // measured length of a step in unscaled seconds; default 5, that of control.Timing
	TimeScale   float64           // by which the testbed divided its times; the rows are unscaled; default 1
	Testbed     string            // "local", "virtual", "istio", "published"; "" for unknown
	Load        string            // load pattern, for instance "random"
	Actions     string            // how actions were chosen, for instance "random"
	Seed        uint64            // of loads, actions and arrivals
	Reference   int               // every so many steps one fixed (load, action) cell was repeated: Step%Reference == 0; 0 for never
	Platform    []string          // names of the columns that the platform measured beside the client; default none
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
	m         int      // services
	e         int      // endpoints
	w         int      // values of an action
	p         int      // values of the platform
	columns   []column // shared by all tables of one kind
	step      []int
	start     []time.Time
	mark      []string
	load      []float64 // rows x m, and so on
	generated []float64
	carried   []float64
	blocked   []float64
	failed    []float64
	action    []float64 // rows x w
	service   []mesh.Delay
	endpoint  []mesh.Delay // rows x e
	platform  []float64    // rows x p
}

// New returns an empty table. It panics when meta has no space.
func New(meta Meta) *Table {
	if meta.Space == nil {
		panic("trace: New without a space; a trace is of a mesh and its knobs")
	}
	meta = meta.defaults()
	s := meta.Space
	return &Table{meta: meta, m: s.Mesh().M(), e: len(s.Layout().Endpoints), w: s.Width(), p: len(meta.Platform), columns: meta.columns()}
}

// like is an empty table of t's kind.
func (t *Table) like() *Table {
	return &Table{meta: t.meta, m: t.m, e: t.e, w: t.w, p: t.p, columns: t.columns}
}

// Meta tells where the trace comes from.
func (t *Table) Meta() Meta { return t.meta }

// Space is the mesh that was measured, and the knobs that its actions set.
func (t *Table) Space() *mesh.Space { return t.meta.Space }

// Mesh is the mesh that was measured.
func (t *Table) Mesh() mesh.Mesh { return t.meta.Space.Mesh() }

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
	return Row{
		Step:   t.step[r],
		Start:  t.start[r],
		Load:   t.loadOf(r),
		Action: t.actionOf(r),
		Measurement: mesh.Measurement{
			Generated: part(t.generated, r, t.m),
			Carried:   part(t.carried, r, t.m),
			Blocked:   part(t.blocked, r, t.m),
			Failed:    part(t.failed, r, t.m),
			Service:   part(t.service, r, t.m),
			Endpoint:  part(t.endpoint, r, t.e),
			Platform:  part(t.platform, r, t.p),
			Mark:      t.mark[r],
		},
	}
}

func (t *Table) loadOf(r int) mesh.Load     { return mesh.Load(part(t.load, r, t.m)) }
func (t *Table) actionOf(r int) mesh.Action { return mesh.Action(part(t.action, r, t.w)) }

// part is row r of a column of the given width; appending to it cannot reach
// the next row.
func part[T any](column []T, r, width int) []T {
	return column[r*width : (r+1)*width : (r+1)*width]
}

// Append adds a copy of row to the table; a mark is brought on one line. It
// returns an error, and adds nothing, when the row does not fit the space or
// holds a value that a file would not be accepted with.
func (t *Table) Append(row Row) error {
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
		{"endpoint delays", len(x.Endpoint), t.e},
	} {
		if part.got != part.want {
			return fmt.Errorf("trace: step %d: %d %s; %s takes %d", row.Step, part.got, part.what, t.Mesh(), part.want)
		}
	}
	if n := len(x.Platform); n != t.p && n > 0 {
		return fmt.Errorf("trace: step %d: %d values of the platform; the trace has %d: %s", row.Step, n, t.p, strings.Join(t.meta.Platform, ", "))
	}
	if err := checkWhen(row.Step, row.Start); err != nil {
		return err
	}
	if err := t.meta.Space.ValidateInForce(row.Action); err != nil {
		return fmt.Errorf("trace: step %d: %w", row.Step, err)
	}
	// The cells are checked where they are kept.
	r := t.Len()
	t.push(row)
	t.mark[r] = oneLine(x.Mark)
	return t.checkLast()
}

// checkLast checks the cells of the last row, and takes it away again where one
// is not accepted.
func (t *Table) checkLast() error {
	r := t.Len() - 1
	for k := range t.columns {
		c := &t.columns[k]
		if v := *c.cell(t, r); !c.Holds(v) {
			step := t.step[r]
			t.cut(r)
			return fmt.Errorf("trace: step %d: %s is %v; accepted: %s", step, c.Name, v, c.Accepted())
		}
	}
	return nil
}

// AppendValues adds a row whose numeric columns have the given values, in the
// order of Fields, NaN for a missing one. It is checked as by Append, and panics
// for another number of values.
func (t *Table) AppendValues(step int, start time.Time, mark string, values []float64) error {
	if len(values) != len(t.columns) {
		panic(fmt.Sprintf("trace: %d values for the %d columns of %s", len(values), len(t.columns), t.Mesh()))
	}
	if err := checkWhen(step, start); err != nil {
		return err
	}
	r := t.Len()
	t.grow()
	t.step[r], t.start[r], t.mark[r] = step, start, oneLine(mark)
	for k := range t.columns {
		*t.columns[k].cell(t, r) = values[k]
	}
	if err := t.checkLast(); err != nil {
		return err
	}
	if err := t.meta.Space.ValidateInForce(t.actionOf(r)); err != nil {
		t.cut(r)
		return fmt.Errorf("trace: step %d: %w", step, err)
	}
	return nil
}

// checkWhen reports a step or time that a file could not hold.
func checkWhen(step int, start time.Time) error {
	if step < 0 {
		return fmt.Errorf("trace: step %d is negative", step)
	}
	if y := start.UTC().Year(); y < 0 || y > 9999 {
		return fmt.Errorf("trace: step %d: start in year %d; accepted: 0 to 9999", step, y)
	}
	return nil
}

// oneLine joins the lines of a mark.
func oneLine(mark string) string {
	if !strings.ContainsAny(mark, "\r\n") {
		return mark
	}
	return strings.Join(strings.FieldsFunc(mark, func(r rune) bool { return r == '\n' || r == '\r' }), " ")
}

func (t *Table) push(row Row) {
	x := row.Measurement
	t.step = append(t.step, row.Step)
	t.start = append(t.start, row.Start)
	t.mark = append(t.mark, x.Mark)
	t.load = append(t.load, row.Load...)
	t.generated = append(t.generated, x.Generated...)
	t.carried = append(t.carried, x.Carried...)
	t.blocked = append(t.blocked, x.Blocked...)
	t.failed = append(t.failed, x.Failed...)
	t.action = append(t.action, row.Action...)
	t.service = append(t.service, x.Service...)
	t.endpoint = append(t.endpoint, x.Endpoint...)
	t.platform = append(t.platform, x.Platform...)
	for range t.p - len(x.Platform) { // nothing was measured
		t.platform = append(t.platform, math.NaN())
	}
}

// cut leaves the first n rows, or makes them n by rows of zeros where there is
// the room.
func (t *Table) cut(n int) {
	t.step, t.start, t.mark = t.step[:n], t.start[:n], t.mark[:n]
	for _, slab := range t.slabs() {
		*slab.column = (*slab.column)[:n*slab.width]
	}
	t.service, t.endpoint = t.service[:n*t.m], t.endpoint[:n*t.e]
}

// reserve makes room for n more rows.
func (t *Table) reserve(n int) {
	t.step, t.start, t.mark = slices.Grow(t.step, n), slices.Grow(t.start, n), slices.Grow(t.mark, n)
	for _, slab := range t.slabs() {
		*slab.column = slices.Grow(*slab.column, n*slab.width)
	}
	t.service, t.endpoint = slices.Grow(t.service, n*t.m), slices.Grow(t.endpoint, n*t.e)
}

type slab struct {
	column *[]float64
	width  int
}

func (t *Table) slabs() [7]slab {
	return [...]slab{{&t.load, t.m}, {&t.generated, t.m}, {&t.carried, t.m}, {&t.blocked, t.m}, {&t.failed, t.m}, {&t.action, t.w}, {&t.platform, t.p}}
}

// Subset returns a table of the given rows in the given order.
func (t *Table) Subset(rows []int) *Table {
	s := t.like()
	s.reserve(len(rows))
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
		loads[r] = slices.Clone(t.loadOf(r))
	}
	return loads
}
