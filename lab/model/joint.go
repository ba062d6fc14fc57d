package model

import (
	"context"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/forest"
	"github.com/meshbench/meshbench/lab/internal/memo"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/objective"
	"github.com/meshbench/meshbench/lab/trace"
)

// Joint is a model whose forests see all loads and controls. For a space of few
// actions it predicts all of them at once, which costs little more than a few
// alone, and keeps that.
type Joint struct {
	kind  Kind
	space *mesh.Space
	// forests predict targets: one for all when as published and not separate,
	// one each when measured, since their rows differ.
	forests []*forest.Forest
	// unmeasured are endpoints that no row of the trace has a delay of: they have
	// no forest, and what is foreseen of them is missing.
	unmeasured []int
	at         []int   // which target the first of each forest is
	median     float64 // its weight
	seconds    float64 // of a step of the trace
	targets    int

	tables memo.Memo[[]float64] // actions x targets
}

var _ Learned = (*Joint)(nil)

const (
	// maxTabulated is the number of actions up to which all are predicted at once.
	maxTabulated = 1 << 14
	// tableMemory bounds what a model keeps of them, bytes.
	tableMemory = 512 << 20
	// samples is the number of draws of a joint model: quantiles of its leaves.
	samples = 31
)

func newJoint(space *mesh.Space, kind Kind, forests []*forest.Forest, unmeasured []int, median, seconds float64) *Joint {
	m := &Joint{kind: kind, space: space, forests: forests, unmeasured: unmeasured, median: median, seconds: seconds, targets: len(Targets(space, kind))}
	next := 0
	for _, f := range forests {
		for slices.Contains(unmeasured, next) {
			next++
		}
		m.at = append(m.at, next)
		next += len(f.Outputs())
	}
	m.tables.Bound, m.tables.Size = tableMemory, min(space.Len(), maxTabulated)*m.targets*8
	return m
}

func learnJoint(ctx context.Context, t *trace.Table, y *mat.Dense, cfg Config) (*Joint, error) {
	names := Targets(t.Space(), cfg.Kind)
	x := t.Features()
	c := cfg.Forest
	c.FeatureNames = t.Space().FeatureNames()
	if cfg.Kind == AsPublished && !cfg.Separate {
		c.OutputNames = names
		f, err := forest.Fit(ctx, x, y, c)
		if err != nil {
			return nil, fmt.Errorf("model: learn %v: %w", names, err)
		}
		return newJoint(t.Space(), cfg.Kind, []*forest.Forest{f}, nil, cfg.Median, t.Meta().StepSeconds), nil
	}
	var forests []*forest.Forest
	var unmeasured []int
	for k, name := range names {
		px, py := forest.Present(x, y, k)
		if px == nil && k < len(t.Space().Layout().Endpoints) && cfg.Kind.measured() {
			unmeasured = append(unmeasured, k)
			continue
		}
		if px == nil {
			return nil, fmt.Errorf("model: learn %s: no row has it; needed: 1 or more", name)
		}
		c.OutputNames = []string{name}
		f, err := forest.Fit(ctx, px, py, c)
		if err != nil {
			return nil, fmt.Errorf("model: learn %s: %w", name, err)
		}
		forests = append(forests, f)
	}
	return newJoint(t.Space(), cfg.Kind, forests, unmeasured, cfg.Median, t.Meta().StepSeconds), nil
}

func column(v []float64) *mat.Dense { return mat.NewDense(len(v), 1, v) }

// Name is "joint forest".
func (m *Joint) Name() string { return "joint forest" }

// OnlyServiceDraws says that draws differ in d_i alone: delays of endpoints are
// their means in each.
func (m *Joint) OnlyServiceDraws() bool { return true }

// Kind is what the model learned.
func (m *Joint) Kind() Kind { return m.kind }

// Structure is JointInputs.
func (m *Joint) Structure() Structure { return JointInputs }

// Space is what the model knows the effect of.
func (m *Joint) Space() *mesh.Space { return m.space }

// Median is the weight of the leaves' median in a prediction (see Config).
func (m *Joint) Median() float64 { return m.median }

// Unmeasured returns the endpoints, by number, whose delays the trace does not
// have and the model does not foresee.
func (m *Joint) Unmeasured() []int { return m.unmeasured }

// Forests returns the forests, in the order of Targets without those of
// Unmeasured; one for all of them when as published and not separate.
func (m *Joint) Forests() []*forest.Forest { return m.forests }

// centre mixes the medians of the rows of x into their means, in place.
func (m *Joint) centre(f *forest.Forest, x mat.Matrix, means *mat.Dense) *mat.Dense {
	if m.median == 0 {
		return means
	}
	median := f.QuantileMatrix(x, .5)
	means.Scale(1-m.median, means)
	median.Scale(m.median, median)
	means.Add(means, median)
	return means
}

// PredictMatrix returns the targets for rows of inputs.
func (m *Joint) PredictMatrix(x mat.Matrix) *mat.Dense {
	_, columns := x.Dims()
	if want := len(m.space.FeatureNames()); columns != want {
		panic(fmt.Sprintf("model: PredictMatrix of %d columns; %s has %d inputs", columns, m.space, want))
	}
	return m.predictMatrix(x, 0)
}

// predictMatrix predicts the targets of the forests whose first is that or a later
// one.
func (m *Joint) predictMatrix(x mat.Matrix, first int) *mat.Dense {
	rows, _ := x.Dims()
	y := mat.NewDense(rows, m.targets, nil)
	for n, f := range m.forests {
		if m.at[n] < first {
			continue
		}
		hat := m.centre(f, x, f.PredictMatrix(x))
		_, k := hat.Dims()
		y.Slice(0, rows, m.at[n], m.at[n]+k).(*mat.Dense).Copy(hat)
	}
	for r := range rows {
		m.leave(y.RawRowView(r))
	}
	return y
}

// leave marks what is not foreseen as missing.
func (m *Joint) leave(y []float64) {
	for _, e := range m.unmeasured {
		y[e] = math.NaN()
	}
}

// endpoints is the number of targets that are delays of endpoints, which come first.
func (m *Joint) endpoints() int { return len(m.space.Layout().Endpoints) }

// predict writes to y the targets for one row of inputs, those of endpoints or the
// others.
func (m *Joint) predict(y, x []float64, endpoints bool) {
	for n, f := range m.forests {
		if (m.at[n] < m.endpoints()) != endpoints {
			continue
		}
		to := y[m.at[n]:][:len(f.Outputs())]
		if m.median > 0 {
			row := mat.NewDense(1, len(x), x)
			copy(to, m.centre(f, row, f.PredictMatrix(row)).RawRowView(0))
		} else {
			f.Predict(to, x)
		}
	}
	m.leave(y)
}

// At foresees a step.
func (m *Joint) At(s mesh.State) (control.Forecast, error) {
	if err := checkLoad(m.space, s.Load); err != nil {
		return nil, err
	}
	f := &jointForecast{m: m, load: s.Load}
	if m.space.Len() <= maxTabulated {
		var buf [64]byte
		var err error
		if f.table, err = m.tables.Get(m.cell(buf[:0], s.Load), func() ([]float64, error) { return m.tabulate(s.Load) }); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// cell tells loads apart that the model does: those between the same thresholds
// of its forests are one, so that loads from the whole range need no more tables
// than there are such cells.
func (m *Joint) cell(dst []byte, load mesh.Load) []byte {
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

func (m *Joint) tabulate(load mesh.Load) ([]float64, error) {
	table := make([]float64, m.space.Len()*m.targets)
	for n, f := range m.forests {
		y, err := m.grid(f, load)
		if err != nil {
			return nil, err
		}
		if m.median > 0 {
			m.centre(f, m.all(load), y)
		}
		for k := range m.space.Len() {
			copy(table[k*m.targets+m.at[n]:], y.RawRowView(k))
		}
	}
	for k := range m.space.Len() {
		m.leave(table[k*m.targets : (k+1)*m.targets])
	}
	if m.kind.measured() {
		for k := range m.space.Len() {
			unreached(table[k*m.targets:(k+1)*m.targets], m.space, load, m.space.At(k))
		}
	}
	return table, nil
}

// grid predicts all actions of the space at one load. Where every knob has at
// most one free value the space is a grid of the features, whose order it has;
// else weights are tied to each other and rows are predicted one by one.
func (m *Joint) grid(f *forest.Forest, load mesh.Load) (*mat.Dense, error) {
	var levels [][]float64
	for _, l := range load {
		levels = append(levels, []float64{l})
	}
	for _, k := range m.space.Knobs() {
		if k.Free > 1 {
			return f.PredictMatrix(m.all(load)), nil
		}
		if k.Free == 0 {
			continue
		}
		var values []float64
		for _, p := range k.Points {
			values = append(values, p[0])
		}
		levels = append(levels, values)
	}
	return f.PredictGrid(nil, levels)
}

// all are the inputs of all actions of the space at one load.
func (m *Joint) all(load mesh.Load) *mat.Dense { return m.inputs(load, m.space.Len(), m.space.At) }

// inputs are those of n actions at one load.
func (m *Joint) inputs(load mesh.Load, n int, at func(k int) mesh.Action) *mat.Dense {
	x := mat.NewDense(n, len(m.space.FeatureNames()), nil)
	for k := range n {
		m.space.Features(x.RawRowView(k)[:0], load, at(k))
	}
	return x
}

// jointForecast is that of a joint model. Of a space without a table it keeps
// the action that was set last, and predicts what is asked for.
type jointForecast struct {
	m      *Joint
	load   mesh.Load
	table  []float64
	action mesh.Action
	x      []float64
	delays [][]float64 // per response time, mean and percentiles of each service, the samples

	y                   []float64 // the targets
	endpoints, services bool      // whether it has those of endpoints, and the others
	own                 []float64 // y's memory where it is none of a table

	batch           []mesh.Action
	of              *mat.Dense // targets of batch, a row each
	draws, expected objective.Sample
}

// Set turns to action a.
func (f *jointForecast) Set(a mesh.Action) error {
	if f.table != nil {
		if k, ok := f.m.space.Index(a); ok {
			return f.SetNumber(k)
		}
	}
	f.turn(a)
	return nil
}

// turn turns to an action of which nothing is predicted yet.
func (f *jointForecast) turn(a mesh.Action) {
	f.action, f.delays = a, nil
	f.x = f.m.space.Features(f.x[:0], f.load, a)
	f.own = slices.Grow(f.own[:0], f.m.targets)[:f.m.targets]
	f.y, f.endpoints, f.services = f.own, false, false
}

// SetAll predicts what services get under many actions.
func (f *jointForecast) SetAll(actions []mesh.Action) {
	x := f.m.inputs(f.load, len(actions), func(k int) mesh.Action { return actions[k] })
	first := 0
	if f.m.kind.measured() {
		first = f.m.endpoints()
	}
	f.batch, f.of = actions, f.m.predictMatrix(x, first)
}

// Turn turns to an action of those.
func (f *jointForecast) Turn(k int) {
	f.turn(f.batch[k])
	copy(f.y, f.of.RawRowView(k))
	f.services, f.endpoints = true, !f.m.kind.measured()
	f.reach()
}

// need predicts what y does not have yet.
func (f *jointForecast) need(endpoints bool) {
	if !f.services {
		f.m.predict(f.y, f.x, false)
		f.services = true
		f.reach()
	}
	if (endpoints || !f.m.kind.measured()) && !f.endpoints {
		f.m.predict(f.y, f.x, true)
		f.endpoints = true
		f.reach()
	}
}

// reach marks what no request reaches.
func (f *jointForecast) reach() {
	if f.m.kind.measured() {
		unreached(f.y, f.m.space, f.load, f.action)
	}
}

// SetNumber turns to an action by its number.
func (f *jointForecast) SetNumber(k int) error {
	f.action, f.delays = f.m.space.At(k), nil
	if f.table == nil {
		return f.Set(f.action)
	}
	f.y = f.table[k*f.m.targets : (k+1)*f.m.targets : (k+1)*f.m.targets]
	f.endpoints, f.services = true, true
	return nil
}

// Mean writes the expected measurement under the action that was set.
func (f *jointForecast) Mean(x *mesh.Measurement) {
	f.need(true)
	put(x, f.y, f.m.space, f.m.kind, f.load, f.action, f.m.seconds)
}

// MeanSample has what Mean has of the services.
func (f *jointForecast) MeanSample() objective.Sample {
	m := f.m.space.Mesh().M()
	if f.expected.Delay == nil {
		f.expected = newSample(m, 1)
	}
	f.need(false)
	for i := range m {
		f.expected.Delay[i][0], f.expected.Carried[i][0] = service(f.y, f.m.space, f.m.kind, f.load, f.action, i)
	}
	return f.expected
}

// Sample has what Draw has of the services.
func (f *jointForecast) Sample(stride int) objective.Sample {
	mean := f.MeanSample()
	if f.m.kind == AsPublished {
		return mean
	}
	n := (samples-1)/stride + 1
	if f.draws.Delay == nil {
		f.draws = newSample(len(mean.Delay), 0)
	}
	if f.delays == nil {
		f.delays = f.sample()
	}
	order := 1
	for i, d := range mean.Delay {
		delay, carried := f.draws.Delay[i][:0], f.draws.Carried[i][:0]
		for k := range n {
			v := d[0]
			if !math.IsNaN(v) {
				v = f.delays[i][k*stride*order%samples]
			}
			delay, carried = append(delay, v), append(carried, mean.Carried[i][0])
		}
		f.draws.Delay[i], f.draws.Carried[i] = delay, carried
		order = order * 12 % samples
	}
	return f.draws
}

// Draws is the number of quantiles that stand for a step.
func (f *jointForecast) Draws() int {
	if f.m.kind == AsPublished {
		return 1 // it has no distribution of d_i
	}
	return samples
}

// Draw is the mean measurement but for d_i and its percentiles, which take the
// quantiles of their forests' leaves, in another order for every service.
func (f *jointForecast) Draw(k int, x *mesh.Measurement) {
	f.Mean(x)
	if f.m.kind == AsPublished {
		return
	}
	if f.delays == nil {
		f.delays = f.sample()
	}
	at := k
	for i := range x.Service {
		if d := &x.Service[i]; !math.IsNaN(d.Mean) {
			d.Mean = f.delays[i][at]
			if f.m.kind == Tails {
				p := f.delays[len(x.Service)+3*i:]
				d.P50, d.P95, d.P99 = p[0][at], p[1][at], p[2][at]
			}
		}
		at = at * 12 % samples
	}
}

// sample has the quantiles of every d_i, and then of its percentiles.
func (f *jointForecast) sample() [][]float64 {
	q := make([]float64, samples)
	for k := range q {
		q[k] = (float64(k) + .5) / samples
	}
	if len(f.x) == 0 || f.table != nil {
		f.x = f.m.space.Features(f.x[:0], f.load, f.action)
	}
	m, n := f.m.space.Mesh().M(), len(f.m.space.Layout().Endpoints)-len(f.m.unmeasured)
	var out [][]float64
	for i := range m {
		out = append(out, f.m.forests[n+i].Quantile(f.x, q...)[0])
	}
	if f.m.kind == Tails {
		for i := range m {
			for p := range 3 {
				out = append(out, f.m.forests[n+2*m+tails*i+p].Quantile(f.x, q...)[0])
			}
		}
	}
	return out
}
