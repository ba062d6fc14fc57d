package model_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/meshbench/meshbench/lab/internal/modeltest"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/model"
	"github.com/meshbench/meshbench/lab/objective"
	"github.com/meshbench/meshbench/lab/scenario"
)

// oneNode is services of the given work on one node.
func oneNode(work ...scenario.Work) scenario.Scenario {
	s := scenario.Scenario{Name: "queue", Mesh: mesh.New(len(work), 1), Work: work, Link: -1, Queue: 10_000}
	for range work {
		s.Loads = append(s.Loads, load.Range{Min: 1, Max: 100})
		s.Targets = append(s.Targets, objective.Target{Goal: .1})
	}
	return s
}

func queueing(t testing.TB, s scenario.Scenario) *model.Queueing {
	t.Helper()
	q, err := model.NewQueueing(s)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// The mean time in an M/G/1 queue, as in any textbook (Kleinrock, Queueing Systems
// I, 5.6): W = l E[S²] / (2 (1-rho)).
func TestQueueing(t *testing.T) {
	fixed := func(time float64) scenario.Work { return scenario.Work{Time: time, Variation: .01, Items: 2000} }
	for _, tt := range []struct {
		name string
		work []scenario.Work
		load mesh.Load
		want []float64 // s
	}{
		{"M/D/1, half busy", []scenario.Work{fixed(.02)}, mesh.Load{25}, []float64{.03}},
		{"M/D/1, busy for .8", []scenario.Work{fixed(.02)}, mesh.Load{40}, []float64{.06}},
		// As many as of exponential service times: E[S²] = 2 E[S]².
		{"coefficient of variation 1, half busy", []scenario.Work{{Time: .02, Variation: 1, Items: 30_000}}, mesh.Load{25}, []float64{.04}},
		{"coefficient of variation 1, busy for .8", []scenario.Work{{Time: .02, Variation: 1, Items: 30_000}}, mesh.Load{40}, []float64{.1}},
		// W = (10 .02² + 5 .06²) / (2 .5) = .022
		{"two classes", []scenario.Work{fixed(.02), fixed(.06)}, mesh.Load{10, 5}, []float64{.042, .082}},
		{"no load", []scenario.Work{fixed(.02), fixed(.06)}, mesh.Load{1e-9, 0}, []float64{.02, math.NaN()}},
		// 10,000 wait, each for the mean of what is served.
		{"overload", []scenario.Work{fixed(.02)}, mesh.Load{80}, []float64{200.02}},
	} {
		s := oneNode(tt.work...)
		q := queueing(t, s)
		a := q.Space().Default()
		y := targets(t, q, tt.load, a)
		for i, want := range tt.want {
			if got := y[len(tt.want)+i]; !(math.Abs(got-want) < .02*want) && !(math.IsNaN(got) && math.IsNaN(want)) {
				t.Errorf("%s: service %d takes %.4f s, want %.4f", tt.name, i+1, got, want)
			}
		}
	}
}

// A node of twice the speed serves in half the time; more cores, and more
// replicas, make queues shorter.
func TestQueueingKnobs(t *testing.T) {
	s := oneNode(scenario.Work{Time: .02, Variation: .01, Items: 2000})
	s.Mesh.Nodes[0].Speed = 2
	s.Knobs = []mesh.Knob{{Kind: mesh.CPU, Min: 1, Max: 2}, {Kind: mesh.Replicas, Min: 1, Max: 2}}
	q := queueing(t, s)
	for _, tt := range []struct {
		a    mesh.Action
		want float64
	}{
		{mesh.Action{1, 1}, .015},         // rho .5, E[S] .01
		{mesh.Action{2, 1}, .005 * 7 / 6}, // rho .25, E[S] .005
		{mesh.Action{1, 2}, .01 * 7 / 6},  // half of the requests each
	} {
		if got := targets(t, q, mesh.Load{50}, tt.a)[1]; math.Abs(got-tt.want) > .02*tt.want {
			t.Errorf("action %v: %.5f s, want %.5f", tt.a, got, tt.want)
		}
	}
}

// Stages add up, and of calls in parallel the slowest counts.
func TestQueueingGraph(t *testing.T) {
	for _, name := range []string{"chain", "graph"} {
		q := queueing(t, modeltest.Builtin(t, name))
		l := modeltest.Builtin(t, name).Loads.Mid()
		a := q.Space().Default()
		y := targets(t, q, l, a)
		layout := q.Space().Layout()
		for i, stages := range layout.Stages {
			want := 0.0
			for _, stage := range stages {
				slowest := 0.0
				for _, c := range stage {
					mean := 0.0
					for j, p := range q.Space().RouteOf(a, c) {
						mean += p * y[layout.Calls[c].First+j]
					}
					slowest = max(slowest, mean)
				}
				want += slowest
			}
			if got := y[len(layout.Endpoints)+i]; math.Abs(got-want) > 1e-12 {
				t.Errorf("%s: service %d takes %v, its stages %v", name, i+1, got, want)
			}
		}
	}
}

func ExampleQueueing() {
	m, err := model.NewQueueing(scenario.Paper())
	if err != nil {
		fmt.Println(err)
		return
	}
	f, err := m.At(mesh.State{Load: mesh.Load{10, 10}})
	if err != nil {
		fmt.Println(err)
		return
	}
	x := mesh.NewMeasurement(m.Space().Layout())
	for _, a := range []mesh.Action{{.5, .5, .5, .5, 0, 0}, {1, 0, 0, 1, 0, 0}} {
		if err := f.Set(a); err != nil {
			fmt.Println(err)
			return
		}
		f.Mean(&x)
		fmt.Printf("%s: %.3f s and %.3f s\n", m.Space().Format(a), x.Service[0].Mean, x.Service[1].Mean)
	}
	// Output:
	// p11=0.5 p21=0.5 b1=0 b2=0: 0.062 s and 0.110 s
	// p11=1 p21=0 b1=0 b2=0: 0.038 s and 0.175 s
}
