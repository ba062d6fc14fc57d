package sim

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"

	"github.com/meshbench/meshbench/lab/forest"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/trace"
)

// Kind is what a system model learns from a trace.
type Kind int

const (
	// Measured learns what was measured: d_i and d_ij from the rows that have
	// them, and the carried load. A cell that no request reaches has no delay.
	Measured Kind = iota
	// AsPublished learns as the authors' code does: one forest for all d_ij, a
	// delay of 0 where no request went, carried load l(1-b) whatever the trace
	// says. Use it with objective.Objective.AsPublished.
	AsPublished
)

func (k Kind) String() string { return [...]string{"measured", "as published"}[k] }

// ModelConfig holds the settings of Learn.
type ModelConfig struct {
	// Kind is what is learned. Default Measured.
	Kind Kind
	// Structure is which inputs the targets are learned from, for Kind
	// Measured. Default Joint. PerNode moves training rows within leaves, so
	// that its leaves can be large: a Forest.MinLeaf of 40 suits it.
	Structure Structure
	// Separate learns a forest of its own for each target also when as
	// published. The other models always do.
	Separate bool
	// Median is the weight of the median of the leaves' rows in a prediction,
	// that of their mean being 1-Median, for structure Joint. Default 0, the
	// mean alone as the authors have it, which minimises the squared error; the
	// median minimises the absolute error.
	Median float64
	// Forest holds the settings of each forest. Its names are set by Learn.
	// If Trees is 0, it will be defaulted to the authors' 120.
	Forest forest.Config
	// Levels of an action component in the space that is tabulated. If 0, it
	// will be defaulted to the paper's 6.
	Levels int
}

// Model is a system model (paper, Eq. 5): (load, action) to delays and carried
// load, by random forests. It answers for the actions of its space at any
// load; whole action tables are computed at once and kept, up to 8,192 of them.
// It is safe for concurrent use.
type Model struct {
	kind  Kind
	mesh  mesh.Mesh
	space *mesh.Space
	// forests predict targets: one for all when as published and not separate,
	// one each when measured, since their rows differ.
	forests []*forest.Forest
	median  float64  // its weight
	nodes   *perNode // for structure PerNode, in place of forests
	targets []string
	free    int // free routing weights of one service

	tables tables[*Table]
}

// Targets names what a model of mesh m and the given kind predicts, in order:
// d_ij, and for Measured also d_i and the carried loads.
func Targets(m mesh.Mesh, kind Kind) []string {
	var names []string
	for i := range m.M() {
		for j := range m.N() {
			names = append(names, m.NodeDelayName(i, j))
		}
	}
	if kind == AsPublished {
		return names
	}
	for i := range m.M() {
		names = append(names, m.DelayName(i))
	}
	for i := range m.M() {
		names = append(names, m.CarriedName(i))
	}
	return names
}

// TargetValues returns what trace t has of Targets, rows x targets, NaN where
// it is missing.
func TargetValues(t *trace.Table, kind Kind) (*mat.Dense, error) {
	y, err := t.Targets(Targets(t.Mesh(), kind)...)
	if err != nil {
		return nil, fmt.Errorf("sim: targets of a model of kind %q: %w", kind, err)
	}
	if kind == Measured {
		deriveServiceDelays(t, y)
	}
	return y, nil
}

// Learn fits a system model to trace t.
func Learn(ctx context.Context, t *trace.Table, cfg ModelConfig) (*Model, error) {
	names := Targets(t.Mesh(), cfg.Kind)
	x := t.Features()
	y, err := TargetValues(t, cfg.Kind)
	if err != nil {
		return nil, err
	}
	c := cfg.Forest
	if c.Trees == 0 {
		c.Trees = 120
	}
	c.FeatureNames = t.Mesh().FeatureNames()
	m := newModel(t.Mesh(), cfg.Kind, cfg.Levels)
	if m.median = cfg.Median; !(cfg.Median >= 0 && cfg.Median <= 1) {
		return nil, fmt.Errorf("sim: learn: Median is %v; a weight is in [0, 1]", cfg.Median)
	}
	if cfg.Structure == PerNode {
		if cfg.Kind != Measured {
			return nil, fmt.Errorf("sim: learn: a model of structure %q must be of kind %q, not %q", PerNode, Measured, cfg.Kind)
		}
		if cfg.Median != 0 {
			return nil, fmt.Errorf("sim: learn: Median is %v; a model of structure %q has means only", cfg.Median, PerNode)
		}
		if m.nodes, err = learnPerNode(ctx, t, y, c); err != nil {
			return nil, err
		}
		return m, nil
	}
	if cfg.Kind == AsPublished && !cfg.Separate {
		c.OutputNames = names
		f, err := forest.Fit(ctx, x, y, c)
		if err != nil {
			return nil, fmt.Errorf("sim: learn %v: %w", names, err)
		}
		m.forests = []*forest.Forest{f}
		return m, nil
	}
	for k, name := range names {
		px, py := present(x, y, k)
		if px == nil {
			return nil, fmt.Errorf("sim: learn %s: no row of the trace has it", name)
		}
		c.OutputNames = []string{name}
		f, err := forest.Fit(ctx, px, py, c)
		if err != nil {
			return nil, fmt.Errorf("sim: learn %s: %w", name, err)
		}
		m.forests = append(m.forests, f)
	}
	return m, nil
}

func newModel(mm mesh.Mesh, kind Kind, levels int) *Model {
	free := mm.N() - 1
	return &Model{kind: kind, mesh: mm, space: mesh.NewSpace(mm, levels), targets: Targets(mm, kind),
		free: free}
}

// deriveServiceDelays fills d_i in y, whose columns are Targets, where a trace
// has the nodes' delays only, as the published one: the mean weighted by the
// routing weights, missing when the delay of a node that requests go to is.
func deriveServiceDelays(t *trace.Table, y *mat.Dense) {
	m, n := t.Mesh().M(), t.Mesh().N()
	for r := range t.Len() {
		row := t.Row(r)
		for i := range m {
			if !math.IsNaN(y.At(r, m*n+i)) {
				continue
			}
			d := 0.0
			for j := range n {
				if p := row.Action.Route[i*n+j]; p > 0 {
					d += p * y.At(r, i*n+j)
				}
			}
			if row.Action.Block[i] == 1 {
				d = math.NaN()
			}
			y.Set(r, m*n+i, d)
		}
	}
}

// present returns the rows of x and of column k of y in which the latter is
// not missing, nil when there are none.
func present(x, y *mat.Dense, k int) (px, py *mat.Dense) {
	rows, features := x.Dims()
	var xs, ys []float64
	for r := range rows {
		if v := y.At(r, k); !math.IsNaN(v) {
			xs = append(xs, x.RawRowView(r)...)
			ys = append(ys, v)
		}
	}
	if len(ys) == 0 {
		return nil, nil
	}
	return mat.NewDense(len(ys), features, xs), mat.NewDense(len(ys), 1, ys)
}

// Kind is what the model learned.
func (m *Model) Kind() Kind { return m.kind }

// Mesh is the mesh that the model is of.
func (m *Model) Mesh() mesh.Mesh { return m.mesh }

// Space is the action space that the model tabulates.
func (m *Model) Space() *mesh.Space { return m.space }

// Structure is which inputs the targets were learned from.
func (m *Model) Structure() Structure {
	if m.nodes != nil {
		return PerNode
	}
	return Joint
}

// Forests returns the forests, in the order of Targets; one for all of them
// when as published and not separate. With structure PerNode they are those of log d_ij, then
// those of C_i over l_i(1-b_i).
func (m *Model) Forests() []*forest.Forest {
	if m.nodes != nil {
		return m.nodes.forests()
	}
	return m.forests
}

// Predict returns the targets for one load and action, in the order of
// Targets, NaN where no request goes (Measured).
func (m *Model) Predict(load mesh.Load, a mesh.Action) ([]float64, error) {
	if err := m.check(load); err != nil {
		return nil, err
	}
	if err := a.Validate(m.mesh); err != nil {
		return nil, err
	}
	return m.predict(load, a), nil
}

func (m *Model) predict(load mesh.Load, a mesh.Action) []float64 {
	if m.nodes != nil {
		o := m.nodes.outlook(load)
		o.set(a)
		x := mesh.NewMeasurement(m.mesh)
		return o.means(nil, &x)
	}
	row := m.mesh.Features(nil, load, a)
	var y []float64
	for _, f := range m.forests {
		hat := f.Predict(nil, row)
		if m.median > 0 {
			hat = m.centre(f, mat.NewDense(1, len(row), row), mat.NewDense(1, len(hat), hat)).RawRowView(0)
		}
		y = append(y, hat...)
	}
	if m.kind == Measured {
		m.clear(y, load, a)
	}
	return y
}

// centre mixes the medians of the rows of x into their means, in place.
func (m *Model) centre(f *forest.Forest, x mat.Matrix, means *mat.Dense) *mat.Dense {
	if m.median == 0 {
		return means
	}
	median := f.QuantileMatrix(x, .5)
	means.Scale(1-m.median, means)
	median.Scale(m.median, median)
	means.Add(means, median)
	return means
}

// PredictMatrix returns the targets for rows of inputs whose columns are
// mesh.FeatureNames, in the order of Targets: rows x targets. Unlike Predict it
// gives the delays d_ij also where no request goes. It panics when the number
// of columns is wrong or a value is not finite.
func (m *Model) PredictMatrix(x mat.Matrix) *mat.Dense {
	rows, columns := x.Dims()
	if want := len(m.mesh.FeatureNames()); columns != want {
		panic(fmt.Sprintf("sim: PredictMatrix of %d columns; %s has %d inputs", columns, m.mesh, want))
	}
	y := mat.NewDense(rows, len(m.targets), nil)
	if m.nodes == nil {
		from := 0
		for _, f := range m.forests {
			hat := m.centre(f, x, f.PredictMatrix(x))
			_, k := hat.Dims()
			y.Slice(0, rows, from, from+k).(*mat.Dense).Copy(hat)
			from += k
		}
		return y
	}
	var in []float64
	for r := range rows {
		in = mat.Row(in, r, x)
		load, a := m.split(in)
		hat := m.predict(load, a)
		m.nodes.unreached(hat, load, a)
		y.SetRow(r, hat)
	}
	return y
}

// split turns inputs into what they are made of. The last weight of a service
// is what the others leave.
func (m *Model) split(in []float64) (mesh.Load, mesh.Action) {
	s, n := m.mesh.M(), m.mesh.N()
	a := mesh.Action{Route: make([]float64, 0, s*n), Block: in[len(in)-s:]}
	for i := range s {
		last := 1.0
		for _, p := range in[s+i*m.free : s+(i+1)*m.free] {
			a.Route = append(a.Route, p)
			last -= p
		}
		// 1-.6-.4 is not 0.
		if last < 1e-9 {
			last = 0
		}
		a.Route = append(a.Route, last)
	}
	return in[:s], a
}

// clear marks as missing what no request gives, and carries nothing that was
// not let through.
func (m *Model) clear(y []float64, load mesh.Load, a mesh.Action) {
	s, n := m.mesh.M(), m.mesh.N()
	for i := range s {
		for j := range n {
			if !m.mesh.Reaches(load, a, i, j) {
				y[i*n+j] = math.NaN()
			}
		}
		if load[i] == 0 || a.Block[i] == 1 {
			y[s*n+i] = math.NaN()
			y[s*n+s+i] = 0
		}
	}
}

func (m *Model) check(load mesh.Load) error {
	if len(load) != m.mesh.M() {
		return fmt.Errorf("sim: %d loads for the %d services of %s", len(load), m.mesh.M(), m.mesh)
	}
	for i, l := range load {
		if !(l >= 0) || math.IsInf(l, 1) {
			return fmt.Errorf("sim: load %s is %v req/s; it must be a number that is not negative", m.mesh.LoadName(i), l)
		}
	}
	return nil
}

// Table is what a model says of every action at one load, and at those that it
// does not tell apart from it.
type Table struct {
	// values is actions x targets, row by row.
	values  []float64
	targets int
}

// Row returns the targets for action k of the space; it is shared and must not
// be changed.
func (t *Table) Row(k int) []float64 { return t.values[k*t.targets : (k+1)*t.targets] }

// Table returns the action table at the given load, computing it at first use.
func (m *Model) Table(load mesh.Load) (*Table, error) {
	if err := m.check(load); err != nil {
		return nil, err
	}
	var buf [64]byte
	key := m.cellKey(buf[:0], load)
	return m.tables.get(key, func() (*Table, error) { return m.tabulate(append(mesh.Load(nil), load...)) })
}

// row returns the targets for action k of the space, which is a: of the table,
// but where a table is dear and the load may not come again. It may be shared.
func (m *Model) row(load mesh.Load, k int, a mesh.Action) ([]float64, error) {
	var buf [64]byte
	if m.nodes != nil && !m.tables.worth(loadKey(buf[:0], load)) {
		if err := m.check(load); err != nil {
			return nil, err
		}
		return m.predict(load, a), nil
	}
	t, err := m.Table(load)
	if err != nil {
		return nil, err
	}
	return t.Row(k), nil
}

// cellKey tells loads apart that the model does: those between the same
// thresholds of its forests are one, so that loads from the whole range need no
// more tables than there are such cells.
func (m *Model) cellKey(dst []byte, load mesh.Load) []byte {
	if m.nodes != nil {
		return loadKey(dst, load)
	}
	for i, l := range load {
		for _, f := range m.forests {
			rank := f.Rank(i, l)
			dst = append(dst, byte(rank), byte(rank>>8), byte(rank>>16), 0)
		}
		if l == 0 {
			dst[len(dst)-1] = 1 // carries nothing
		}
	}
	return dst
}

func loadKey(dst []byte, load mesh.Load) []byte {
	for _, l := range load {
		b := math.Float64bits(l)
		dst = append(dst, byte(b), byte(b>>8), byte(b>>16), byte(b>>24), byte(b>>32), byte(b>>40), byte(b>>48), byte(b>>56))
	}
	return dst
}

func (m *Model) tabulate(load mesh.Load) (*Table, error) {
	t := &Table{targets: len(m.targets), values: make([]float64, m.space.Len()*len(m.targets))}
	if m.nodes != nil {
		o := m.nodes.outlook(load)
		x := mesh.NewMeasurement(m.mesh)
		for k := range m.space.Len() {
			o.set(m.space.At(k))
			o.means(t.Row(k)[:0], &x)
		}
		return t, nil
	}
	column := 0
	for _, f := range m.forests {
		y, err := m.grid(f, load)
		if err != nil {
			return nil, err
		}
		if m.median > 0 {
			m.centre(f, m.inputs(load), y)
		}
		_, outputs := y.Dims()
		for k := range m.space.Len() {
			copy(t.Row(k)[column:], y.RawRowView(k))
		}
		column += outputs
	}
	if m.kind == Measured {
		for k := range m.space.Len() {
			m.clear(t.Row(k), load, m.space.At(k))
		}
	}
	return t, nil
}

// grid predicts all actions of the space at one load. With up to two nodes the
// space is a grid of the features, whose order it has; with more, the weights
// of a service are tied to each other and rows are predicted one by one.
func (m *Model) grid(f *forest.Forest, load mesh.Load) (*mat.Dense, error) {
	if m.mesh.N() <= 2 {
		var levels [][]float64
		for _, l := range load {
			levels = append(levels, []float64{l})
		}
		units := make([]float64, m.space.Levels())
		for u := range units {
			units[u] = float64(u) / float64(len(units)-1)
		}
		for range m.mesh.M() * (m.free + 1) {
			levels = append(levels, units)
		}
		return f.PredictGrid(nil, levels)
	}
	return f.PredictMatrix(m.inputs(load)), nil
}

// inputs are those of all actions of the space at one load.
func (m *Model) inputs(load mesh.Load) *mat.Dense {
	x := mat.NewDense(m.space.Len(), len(m.mesh.FeatureNames()), nil)
	for k := range m.space.Len() {
		m.mesh.Features(x.RawRowView(k)[:0], load, m.space.At(k))
	}
	return x
}
