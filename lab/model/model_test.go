package model_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/forest"
	"github.com/meshbench/meshbench/lab/internal/modeltest"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/model"
	"github.com/meshbench/meshbench/lab/trace"
)

// targets are the means that a model foresees, in the order of Targets.
func targets(t testing.TB, m control.Model, l mesh.Load, a mesh.Action) []float64 {
	t.Helper()
	f, err := m.At(mesh.State{Load: l})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Set(a); err != nil {
		t.Fatal(err)
	}
	x := mesh.NewMeasurement(m.Space().Layout())
	f.Mean(&x)
	return flat(x)
}

func flat(x mesh.Measurement) (y []float64) {
	for _, d := range x.Endpoint {
		y = append(y, d.Mean)
	}
	for _, d := range x.Service {
		y = append(y, d.Mean)
	}
	return append(y, x.Carried...)
}

func same(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }

// paperAction is (p11, p21, b1, b2) of the paper's mesh.
func paperAction(p1, p2, b1, b2 float64) mesh.Action {
	return mesh.Action{p1, 1 - p1, p2, 1 - p2, b1, b2}
}

// Of meshes of every shape: what is foreseen is finite where requests go and
// missing where none do, draws are like their mean, and the matrix form says
// the same.
func TestMeshes(t *testing.T) {
	for _, tt := range modeltest.Spaces() {
		t.Run(tt.Name, func(t *testing.T) {
			t.Parallel()
			table := modeltest.Trace(t, tt.Space, 1200)
			for _, cfg := range []model.Config{
				{Forest: forest.Config{Trees: 5}},
				{Structure: model.NodeInputs, Forest: forest.Config{Trees: 10, MinLeaf: 40}},
			} {
				m, err := model.Learn(context.Background(), table, cfg)
				if err != nil {
					t.Fatal(err)
				}
				checkForecasts(t, m)
			}
		})
	}
}

// unattributed is a trace of a space that does not say which nodes answered.
func unattributed(t *testing.T, space *mesh.Space) *trace.Table {
	t.Helper()
	whole := modeltest.Trace(t, space, 600)
	table := trace.New(whole.Meta())
	for r := range whole.Len() {
		row := whole.Row(r)
		row.Measurement = row.Measurement.Clone()
		for e := range row.Measurement.Endpoint {
			row.Measurement.Endpoint[e] = mesh.NoDelay()
		}
		if err := table.Append(row); err != nil {
			t.Fatal(err)
		}
	}
	return table
}

// Where a service makes several calls, nothing is known of the single ones: their
// delays are missing in what is foreseen, that of the whole is as with them, also
// when the model was in a file.
func TestUnattributedCalls(t *testing.T) {
	space := mesh.Grid(modeltest.Chain(), 3)
	cfg := model.Config{Structure: model.JointInputs, Forest: forest.Config{Trees: 5}}
	m, err := model.Learn(context.Background(), unattributed(t, space), cfg)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "model")
	if err := m.Save(path); err != nil {
		t.Fatal(err)
	}
	loaded, err := model.Load(path, space)
	if err != nil {
		t.Fatal(err)
	}
	whole := modeltest.Learn(t, space, 600, cfg)
	x := inputs(space, 50)
	if bits(m, x) != bits(loaded, x) {
		t.Error("the model that was loaded predicts something else")
	}
	y, want := m.PredictMatrix(x), whole.PredictMatrix(x)
	for k, name := range model.Targets(space, model.Measured) {
		for r := range 50 {
			if known := k >= len(space.Layout().Endpoints); known && y.At(r, k) != want.At(r, k) || !known && !math.IsNaN(y.At(r, k)) {
				t.Fatalf("%s is %v, of the whole trace %v", name, y.At(r, k), want.At(r, k))
			}
		}
	}
}

// A trace that does not say which node answered is learned from by a joint model,
// in which every node of a call has the delay of its service.
func TestUnattributed(t *testing.T) {
	table := unattributed(t, mesh.Grid(mesh.New(2, 2), 6))
	m, err := model.Learn(context.Background(), table, model.Config{Forest: forest.Config{Trees: 5}})
	if err != nil {
		t.Fatal(err)
	}
	checkForecasts(t, m)
	f, err := m.At(mesh.State{Load: mesh.Load{10, 10}})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Set(paperAction(.4, .4, 0, 0)); err != nil {
		t.Fatal(err)
	}
	x := mesh.NewMeasurement(table.Space().Layout())
	f.Mean(&x)
	if a, b, d := x.Endpoint[0].Mean, x.Endpoint[1].Mean, x.Service[0].Mean; a != b || math.Abs(a-d) > 1e-12 {
		t.Errorf("delays %v and %v of the nodes, %v of the service", a, b, d)
	}
}

func checkForecasts(t *testing.T, m model.Learned) {
	space := m.Space()
	layout := space.Layout()
	rng := rand.New(rand.NewPCG(4, 4))
	choice := make([]int, len(space.Choices()))
	x, mean := mesh.NewMeasurement(layout), mesh.NewMeasurement(layout)
	for k := range 24 {
		l := load.Uniform{Ranges: modeltest.Ranges(space.Mesh())}.At(nil, 5, k)
		if k == 0 {
			l[0] = 0
		}
		for h, n := range space.Choices() {
			choice[h] = rng.IntN(n)
			if k == 1 && space.Knobs()[h].Kind == mesh.Block {
				choice[h] = n - 1 // nothing is let through
			}
		}
		a := space.Action(nil, choice)
		f, err := m.At(mesh.State{Load: l})
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Set(a); err != nil {
			t.Fatal(err)
		}
		f.Mean(&mean)
		check := func(what string, x mesh.Measurement) {
			t.Helper()
			for e := range layout.Endpoints {
				if v := x.Endpoint[e].Mean; space.Reaches(l, a, e) != (v > 0 && v < 10) || !space.Reaches(l, a, e) && !math.IsNaN(v) {
					t.Fatalf("%s, %s, load %v, action %s: endpoint %d has delay %v", m.Name(), what, l, space.Format(a), e, v)
				}
			}
			for i := range x.Service {
				let := l[i] > 0 && space.BlockOf(a, i) < 1
				if v := x.Service[i].Mean; let != (v > 0 && v < 10) || !let && !math.IsNaN(v) {
					t.Fatalf("%s, %s, load %v, action %s: service %d has delay %v", m.Name(), what, l, space.Format(a), i, v)
				}
				if c := x.Carried[i]; !(c >= 0 && c < 30) || what == "mean" && let != (c > 0) || !let && c != 0 {
					t.Fatalf("%s, %s, load %v, action %s: service %d carries %v", m.Name(), what, l, space.Format(a), i, c)
				}
			}
		}
		check("mean", mean)
		sums := make([]float64, space.Mesh().M())
		for d := range f.Draws() {
			f.Draw(d, &x)
			check("draw", x)
			for i := range sums {
				sums[i] += x.Service[i].Mean / float64(f.Draws())
			}
		}
		for i, s := range sums {
			if v := mean.Service[i].Mean; math.Abs(s-v) > .1*v {
				t.Errorf("%s, load %v, action %s: draws of service %d have mean %v, not %v", m.Name(), l, space.Format(a), i, s, v)
			}
		}
		y := m.PredictMatrix(mat.NewDense(1, len(space.FeatureNames()), space.Features(nil, l, a)))
		for k, v := range flat(mean) {
			if g := y.At(0, k); !math.IsNaN(v) && v > 0 && math.Abs(g-v) > 1e-9*v {
				t.Errorf("%s, load %v, action %s: target %d is %v, in matrix form %v", m.Name(), l, space.Format(a), k, v, g)
			}
		}
	}
}

// A joint model's table says what single predictions say, on two nodes (by the
// grid) and on three (row by row); a forecast by number is the one by values.
func TestTable(t *testing.T) {
	for _, m := range []model.Learned{modeltest.Joint(t, modeltest.Paper()), modeltest.Joint(t, mesh.Grid(mesh.New(1, 3), 6))} {
		space := m.Space()
		for _, l := range []mesh.Load{{5, 20}, {12.34, 7.1}, {12.340001, 7.1}, {0, 7.1}, {1e-9, 7.1}} {
			l = l[:space.Mesh().M()]
			f, err := m.At(mesh.State{Load: l})
			if err != nil {
				t.Fatal(err)
			}
			x := mesh.NewMeasurement(space.Layout())
			for k := range space.Len() {
				a := space.At(k)
				if err := f.(control.Numbered).SetNumber(k); err != nil {
					t.Fatal(err)
				}
				f.Mean(&x)
				got := flat(x)
				want := m.PredictMatrix(mat.NewDense(1, len(space.FeatureNames()), space.Features(nil, l, a))).RawRowView(0)
				for c, v := range targets(t, m, l, a) {
					if !same(v, got[c]) || !math.IsNaN(v) && v != 0 && v != want[c] {
						t.Fatalf("%s, load %v, action %d, target %d: by number %v, by values %v, predicted %v", space, l, k, c, got[c], v, want[c])
					}
				}
			}
		}
	}
}

// Loads that share a table are carried as they are.
func TestCarried(t *testing.T) {
	table := modeltest.Trace(t, modeltest.Paper(), 2000)
	var whole []int // with all delays
	for r := range table.Len() {
		if x := table.Row(r).Measurement; !slices.ContainsFunc(x.Endpoint, func(d mesh.Delay) bool { return math.IsNaN(d.Mean) }) {
			whole = append(whole, r)
		}
	}
	m, err := model.Learn(context.Background(), table.Subset(whole), model.Config{Kind: model.AsPublished, Forest: forest.Config{Trees: 5}})
	if err != nil {
		t.Fatal(err)
	}
	s := control.NewSimulator(m, control.Timing{})
	a := paperAction(.4, .4, .2, 0)
	for _, l := range []mesh.Load{{12.34, 7.1}, {12.340001, 7.1}} {
		x, err := s.Measure(context.Background(), l, a)
		if err != nil {
			t.Fatal(err)
		}
		if want := l[0] * (1 - .2); x.Carried[0] != want {
			t.Errorf("load %v: carried %v, want %v", l, x.Carried[0], want)
		}
	}
}

// What no request reaches has no delay, and what is blocked is not carried.
func TestMissing(t *testing.T) {
	for _, m := range []model.Learned{modeltest.Joint(t, modeltest.Paper()), modeltest.PerNode(t, modeltest.Paper())} {
		y := targets(t, m, mesh.Load{10, 10}, paperAction(1, .4, 0, 1))
		for k, name := range model.Targets(m.Space(), model.Measured) {
			missing := name == "d12" || name == "d21" || name == "d22" || name == "d2"
			if math.IsNaN(y[k]) != missing {
				t.Errorf("%s: %s is %v", m.Name(), name, y[k])
			}
			if name == "cl2" && y[k] != 0 {
				t.Errorf("%s: carried load %v of a blocked service", m.Name(), y[k])
			}
		}
	}
}

func TestLoadErrors(t *testing.T) {
	for _, m := range []model.Learned{modeltest.Joint(t, modeltest.Paper()), modeltest.PerNode(t, modeltest.Paper())} {
		for _, l := range []mesh.Load{{1}, {1, -2}, {math.NaN(), 1}} {
			if _, err := m.At(mesh.State{Load: l}); err == nil || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: At(%v): %v, want an error in one line", m.Name(), l, err)
			}
		}
	}
}

// Delays that grow linearly with what the node carries are found at loads and
// actions that are not in the trace, where a forest of all controls cannot.
func TestPerNode(t *testing.T) {
	m := modeltest.PerNode(t, modeltest.Paper())
	if m.Structure() != model.NodeInputs || len(m.Forests()) != 6 {
		t.Errorf("structure %v with %d forests", m.Structure(), len(m.Forests()))
	}
	for _, tt := range []struct {
		load mesh.Load
		a    mesh.Action
	}{
		{mesh.Load{12, 8}, mesh.Action{.5, .5, .3, .7, 0, .2}},
		{mesh.Load{7.5, 17.5}, mesh.Action{1, 0, 0, 1, .1, .1}},
		{mesh.Load{20, 20}, mesh.Action{.6, .4, .4, .6, 0, 0}},
	} {
		y := targets(t, m, tt.load, tt.a)
		route, block := tt.a[:4], tt.a[4:]
		for i := range 2 {
			c := tt.load[i] * (1 - block[i])
			if math.Abs(y[6+i]-c) > .01 {
				t.Errorf("load %v, action %v: carried load %v of service %d, want %v", tt.load, tt.a, y[6+i], i+1, c)
			}
			want := 0.0
			for j := range 2 {
				rate := 0.0
				for s := range 2 {
					rate += tt.load[s] * (1 - block[s]) * route[2*s+j]
				}
				d := modeltest.Delay(rate)
				want += route[2*i+j] * d
				if route[2*i+j] > 0 && math.Abs(y[2*i+j]-d) > .02*d {
					t.Errorf("load %v, action %v: d%d%d is %v, want %v", tt.load, tt.a, i+1, j+1, y[2*i+j], d)
				}
			}
			if math.Abs(y[4+i]-want) > .02*want {
				t.Errorf("load %v, action %v: d%d is %v, want %v", tt.load, tt.a, i+1, y[4+i], want)
			}
		}
	}
}

// Of a chain and of a graph the delay of a path is the sum of its stages', and a
// stage of calls in parallel takes at least as long as its slowest.
func TestPaths(t *testing.T) {
	for _, space := range []*mesh.Space{mesh.Grid(modeltest.Chain(), 6), mesh.Grid(modeltest.Graph(), 6)} {
		checkPaths(t, modeltest.PerNode(t, space), modeltest.Ranges(space.Mesh()), .03, nil)
	}
	if testing.Short() {
		return
	}
	// Means of noisy steps weigh calls by the requests that were answered, not by
	// the routing weights: nodes that fall behind are left out.
	for _, name := range []string{"chain", "graph"} {
		s := modeltest.Builtin(t, name)
		checkPaths(t, modeltest.Virtual(t, s, 3000), s.Loads, .1, func(delays []float64) bool { return modeltest.Behind(s, delays) })
	}
}

// checkPaths compares paths with their stages at random cells but for those where
// a node is behind; nil leaves out none.
func checkPaths(t *testing.T, m model.Learned, ranges load.Ranges, tolerance float64, behind func(delays []float64) bool) {
	t.Helper()
	space := m.Space()
	layout := space.Layout()
	rng := rand.New(rand.NewPCG(6, 6))
	choice := make([]int, len(space.Choices()))
	for k := range 200 {
		l := load.Uniform{Ranges: ranges}.At(nil, 5, k)
		for h, n := range space.Choices() {
			choice[h] = rng.IntN(n)
			if space.Knobs()[h].Kind == mesh.Block {
				choice[h] = rng.IntN(n - 1)
			}
		}
		a := space.Action(nil, choice)
		y := targets(t, m, l, a)
		if behind != nil && behind(y[:len(layout.Endpoints)]) {
			continue
		}
		for i, stages := range layout.Stages {
			sum, parallel := 0.0, false
			for _, stage := range stages {
				slowest := 0.0
				for _, c := range stage {
					mean := 0.0
					for j, p := range space.RouteOf(a, c) {
						if p > 0 {
							mean += p * y[layout.Calls[c].First+j]
						}
					}
					slowest = max(slowest, mean)
				}
				sum += slowest
				parallel = parallel || len(stage) > 1
			}
			got := y[len(layout.Endpoints)+i]
			if got < (1-tolerance)*sum || !parallel && got > (1+tolerance)*sum || got > 2*sum {
				t.Errorf("%s, load %v, action %s: path of service %d takes %v, its slowest calls %v", space.Mesh(), l, space.Format(a), i+1, got, sum)
			}
		}
	}
}

// The matrix form says what a forecast does, and delays of nodes everywhere.
func TestPredictMatrix(t *testing.T) {
	for _, m := range []model.Learned{modeltest.Joint(t, modeltest.Paper()), modeltest.PerNode(t, modeltest.Paper())} {
		a := paperAction(1, .4, .2, 0)
		l := mesh.Load{10, 15}
		got := m.PredictMatrix(mat.NewDense(1, 6, m.Space().Features(nil, l, a)))
		for k, v := range targets(t, m, l, a) {
			switch g := got.At(0, k); {
			case math.IsNaN(v) && !(g > 0):
				t.Errorf("%v: target %d is %v where no request goes", m.Structure(), k, g)
			case !math.IsNaN(v) && g != v:
				t.Errorf("%v: target %d is %v, a forecast says %v", m.Structure(), k, g, v)
			}
		}
	}
}

// A median moves predictions between the mean and the median of the leaves.
func TestMedian(t *testing.T) {
	table := modeltest.Trace(t, modeltest.Paper(), 500)
	predict := func(w float64) []float64 {
		m, err := model.Learn(context.Background(), table, model.Config{Median: w, Forest: forest.Config{Trees: 5, MinLeaf: 20}})
		if err != nil {
			t.Fatal(err)
		}
		return targets(t, m, mesh.Load{12, 8}, paperAction(.6, .4, .2, 0))
	}
	mean, half, median := predict(0), predict(.5), predict(1)
	for k := range mean {
		if math.Abs(half[k]-(mean[k]+median[k])/2) > 1e-12 {
			t.Errorf("target %d: mean %v, median %v, half of each %v", k, mean[k], median[k], half[k])
		}
	}
	if slices.Equal(mean, median) {
		t.Error("mean and median are the same")
	}
}

func TestLearnErrors(t *testing.T) {
	table := modeltest.Trace(t, modeltest.Paper(), 100)
	empty := trace.New(trace.Meta{Space: modeltest.Paper()})
	for _, tt := range []struct {
		table *trace.Table
		cfg   model.Config
		want  string
	}{
		{table, model.Config{Kind: model.AsPublished, Structure: model.NodeInputs}, "measured"},
		{table, model.Config{Median: .5, Structure: model.NodeInputs}, "means only"},
		{table, model.Config{Median: 1.5}, "in [0, 1]"},
		{empty, model.Config{}, "no row"},
	} {
		_, err := model.Learn(context.Background(), tt.table, tt.cfg)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %q", tt.cfg, err, tt.want)
		}
	}
}

// Rows after a step with a node behind are left out, the first row and rows
// after a gap are not.
func TestSettled(t *testing.T) {
	space := modeltest.Paper()
	table := trace.New(trace.Meta{Space: space})
	for k, tt := range []struct {
		step  int
		delay float64
	}{{0, .1}, {1, .5}, {2, .1}, {3, .6}, {5, .1}, {6, math.NaN()}, {7, .4}, {8, .4}} {
		x := mesh.NewMeasurement(space.Layout())
		x.Endpoint[2].Mean = tt.delay
		row := trace.Row{Step: tt.step, Load: mesh.Load{5, float64(k)}, Action: space.Default(), Measurement: x}
		if err := table.Append(row); err != nil {
			t.Fatal(err)
		}
	}
	got := model.Settled(table, .3)
	var steps []int
	for r := range got.Len() {
		steps = append(steps, got.Row(r).Step)
	}
	if want := []int{0, 1, 3, 5, 6, 7}; !slices.Equal(steps, want) {
		t.Fatalf("steps %v, want %v", steps, want)
	}
	if model.Settled(table, 0) != table {
		t.Error("a limit of 0 leaves rows out")
	}
}

// Forecasts of one model may be asked for by several at a time.
func TestConcurrent(t *testing.T) {
	space := modeltest.Paper()
	for _, m := range []model.Learned{modeltest.Joint(t, space), modeltest.PerNode(t, space)} {
		var want [8][]float64
		for k := range want {
			want[k] = targets(t, m, mesh.Load{5 + float64(k), 12}, space.At(k*100))
		}
		done := make(chan error)
		for range 4 {
			go func() {
				for k := range want {
					got := targets(t, m, mesh.Load{5 + float64(k), 12}, space.At(k*100))
					for c := range got {
						if !same(got[c], want[k][c]) {
							done <- fmt.Errorf("%s, load %d: %v, want %v", m.Name(), k, got, want[k])
							return
						}
					}
				}
				done <- nil
			}()
		}
		for range 4 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
}
