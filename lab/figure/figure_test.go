package figure_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/lab/figure"
	"github.com/meshbench/meshbench/lab/mesh"
)

// run is an evaluation of n steps in which service 2 is blocked at times.
func run(n int) figure.Run {
	r := figure.Run{Offered: make([][]float64, 2), Carried: make([][]float64, 2), ANR: .95}
	for t := range n {
		a, b := 12.5+7.5*math.Sin(float64(t)/20), 12.5-7.5*math.Cos(float64(t)/25)
		block := float64(t/15%2) * .4
		r.Offered[0], r.Carried[0] = append(r.Offered[0], a), append(r.Carried[0], a)
		r.Offered[1], r.Carried[1] = append(r.Offered[1], b), append(r.Carried[1], b*(1-block))
		r.NR = append(r.NR, 1-block/8)
	}
	r.NR[n/2] = math.NaN()
	r.Delay = [][]float64{make([]float64, n), make([]float64, n)}
	for t := range n {
		r.Delay[0][t], r.Delay[1][t] = .03+.02*math.Sin(float64(t)/9), .1+.05*math.Cos(float64(t)/7)
	}
	r.Delay[1][n/3] = math.NaN()
	return r
}

func curve(name string, rate float64) figure.Series {
	s := figure.Series{Name: name}
	for k := range 30 {
		y := 1 - math.Exp(-rate*float64(k))
		s.X, s.Y = append(s.X, float64(k)), append(s.Y, y)
		s.Lo, s.Hi = append(s.Lo, y-.05), append(s.Hi, min(1, y+.05))
	}
	return s
}

// deployed is a mesh with all pods ready.
func deployed() mesh.Topology {
	pod := func(workload, name, address string, subsets ...string) mesh.Pod {
		return mesh.Pod{Workload: workload, Name: name, Address: address, Phase: "Running", Sidecar: true, Subsets: subsets}
	}
	return mesh.Topology{Mesh: mesh.New(2, 2), Namespace: "meshbench", Weights: [][]int{{80, 20}, {0, 100}}, Block: []float64{0, .4}, Pods: []mesh.Pod{
		pod("front", "front-68c57b855f-gmjc4", "10.244.0.2"), pod("generator", "generator-7d9c8b6f5-x2k4q", "10.244.0.3"),
		pod("node1", "node1-5f7b9d8c6-8zq7h", "10.244.0.4", "service1/node1", "service2/node1"),
		pod("node2", "node2-6c9f8b7d5-k5wlm", "10.244.0.5", "service1/node2", "service2/node2")}}
}

// disturbed has three services and nodes: one node without a pod, one with two
// of which one does not serve, and a front that does not answer.
func disturbed() mesh.Topology {
	t := deployed()
	t.Mesh = mesh.New(3, 3)
	t.Pods = append(t.Pods[:3:3], mesh.Pod{Workload: "node1", Name: "node1-5f7b9d8c6-vv2pd", Phase: "Pending", NotReady: "ContainerCreating", Sidecar: true},
		mesh.Pod{Workload: "node3", Name: "node3-a-name-that-is-as-long-as-any", Address: "10.244.0.17", Phase: "Running", Subsets: []string{"service1/node3"}})
	t.Weights = [][]int{{34, 33, 33}, {100, 0, 0}, {1, 50, 49}}
	t.Block = []float64{0, math.NaN(), 1}
	return t
}

// Every figure against its golden SVG: go test ./lab/figure -regen, and look
// at what changed.
func TestGolden(t *testing.T) {
	scatter := figure.Predicted{Target: "d11", NMAE: .1, R2: .9}
	for k := range 2000 {
		v := float64(k%200) / 1000
		scatter.Measured = append(scatter.Measured, v)
		scatter.Predicted = append(scatter.Predicted, v*(1+.1*math.Sin(float64(k))))
	}
	var bars []figure.Bar
	for k, policy := range []string{"ppo", "random", "constant"} {
		for _, o := range []string{"MO1", "MO2"} {
			v := .95 - .2*float64(k)
			bars = append(bars, figure.Bar{Group: o, Name: policy, Value: v, Lo: v - .03, Hi: v + .02})
		}
	}
	for _, tt := range []struct {
		name string
		draw func() (figure.Figure, error)
	}{
		{"mesh", func() (figure.Figure, error) {
			return figure.Mesh(space(2, 2, mesh.Knob{Kind: mesh.Route}, mesh.Knob{Kind: mesh.Block}))
		}},
		{"mesh3x4", func() (figure.Figure, error) {
			return figure.Mesh(space(3, 4, mesh.Knob{Kind: mesh.Route, Levels: 3}, mesh.Knob{Kind: mesh.Block}))
		}},
		{"mesh-replicas", func() (figure.Figure, error) {
			return figure.Mesh(space(1, 2, mesh.Knob{Kind: mesh.Route}, mesh.Knob{Kind: mesh.Replicas, Min: 1, Max: 3}))
		}},
		{"topology", func() (figure.Figure, error) { return figure.Topology(deployed()) }},
		{"topology-disturbed", func() (figure.Figure, error) { return figure.Topology(disturbed()) }},
		{"framework", func() (figure.Figure, error) { return figure.Framework(), nil }},
		{"objectives", func() (figure.Figure, error) {
			return figure.Objectives([]figure.Series{curve("service 1", .1)}, []figure.Series{curve("l_min", .5)})
		}},
		{"learning", func() (figure.Figure, error) { return figure.LearningCurve(curve("MO1", .2), curve("MO2", .1)) }},
		{"evaluation", func() (figure.Figure, error) { return figure.Evaluation(run(80)) }},
		{"loads", func() (figure.Figure, error) { return figure.Loads(run(80)) }},
		{"watch", func() (figure.Figure, error) { return figure.Watch(run(80), []float64{.035, .11}) }},
		{"nr", func() (figure.Figure, error) { return figure.NormalisedRewards(run(60), run(80)) }},
		{"dots", func() (figure.Figure, error) { return figure.Dots(figure.Axes{Y: "ANR"}, bars...) }},
		{"waterfalls", func() (figure.Figure, error) {
			falls := []figure.Fall{{Name: "first", Levels: []float64{.9, .85}, Lo: .8, Hi: .9}, {Name: "second", Levels: []float64{.95, .97}, Lo: .96, Hi: .99}}
			return figure.Waterfalls(figure.Axes{X: "testbed", Y: "share of the optimum"}, []string{"model", "policy"}, 2,
				figure.WaterfallPanel{Title: "one", Falls: falls}, figure.WaterfallPanel{Title: "two", Falls: falls[:1]}, figure.WaterfallPanel{Title: "three", Falls: falls})
		}},
		{"predicted", func() (figure.Figure, error) { return figure.PredictedVsMeasured(scatter, scatter, scatter) }},
		{"log", func() (figure.Figure, error) {
			return figure.Lines(figure.Axes{X: "rows", Y: "seconds", LogX: true, LogY: true}, figure.Series{Name: "fit", X: []float64{10, 100, 1000}, Y: []float64{.1, 1.2, 14}})
		}},
	} {
		f, err := tt.draw()
		golden(t, tt.name, f, err)
	}
}

func TestRunAdd(t *testing.T) {
	var r figure.Run
	r.Add([]float64{5, 10}, []float64{4, 10}, nil)
	r.Add([]float64{6, 11}, []float64{5, 9}, nil)
	want := figure.Run{Offered: [][]float64{{5, 6}, {10, 11}}, Carried: [][]float64{{4, 5}, {10, 9}}, Delay: [][]float64{}}
	if !reflect.DeepEqual(r, want) {
		t.Errorf("%v, want %v", r, want)
	}
	var watched figure.Run
	watched.Add([]float64{5}, []float64{5}, []float64{.03})
	if watched.Delay[0][0] != .03 {
		t.Errorf("delays %v", watched.Delay)
	}
}

func TestErrors(t *testing.T) {
	short := run(10)
	short.Carried[1] = short.Carried[1][:4:4]
	for _, tt := range []struct {
		name string
		draw func() (figure.Figure, error)
	}{
		{"no series", func() (figure.Figure, error) { return figure.Lines(figure.Axes{}, figure.Series{Name: "empty"}) }},
		{"lengths", func() (figure.Figure, error) {
			return figure.Lines(figure.Axes{}, figure.Series{X: []float64{1}, Y: []float64{1, 2}})
		}},
		{"no loads", func() (figure.Figure, error) { return figure.Loads(figure.Run{}) }},
		{"weights", func() (figure.Figure, error) {
			t := deployed()
			t.Weights[1] = t.Weights[1][:1]
			return figure.Topology(t)
		}},
		{"blocking", func() (figure.Figure, error) {
			return figure.Topology(mesh.Topology{Mesh: mesh.New(2, 2), Weights: deployed().Weights})
		}},
		{"no dots", func() (figure.Figure, error) { return figure.Dots(figure.Axes{}) }},
		{"no targets", func() (figure.Figure, error) { return figure.PredictedVsMeasured() }},
		{"empty target", func() (figure.Figure, error) { return figure.PredictedVsMeasured(figure.Predicted{Target: "d11"}) }},
	} {
		if _, err := tt.draw(); err == nil || !strings.HasPrefix(err.Error(), "figure: ") {
			t.Errorf("%s: error %v", tt.name, err)
		}
	}
}

func TestSave(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	if err := figure.Framework().Save(dir, "fig2"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"fig2.svg", "fig2.pdf"} {
		if b, err := os.ReadFile(filepath.Join(dir, name)); err != nil || len(b) < 1000 {
			t.Errorf("%s: %d bytes, %v", name, len(b), err)
		}
	}
	if err := (figure.Table{Header: []string{"a"}, Rows: [][]string{{"1", "2"}}}).Save(dir, "bad"); err == nil {
		t.Error("a table with a row too long was saved")
	}
}

func ExampleTable_Markdown() {
	t := figure.Table{Header: []string{"policy", "ANR"}, Rows: [][]string{{"ppo", figure.Number(.9931, 3)}, {"none", figure.Number(math.NaN(), 3)}}}
	fmt.Printf("%s%s", t.Markdown(), t.CSV())
	// Output:
	// | policy | ANR   |
	// |--------|-------|
	// | ppo    | 0.993 |
	// | none   |       |
	// policy,ANR
	// ppo,0.993
	// none,
}

// space is that of knobs on m services and n nodes.
func space(m, n int, knobs ...mesh.Knob) *mesh.Space {
	s, err := mesh.NewSpace(mesh.New(m, n), knobs...)
	if err != nil {
		panic(err)
	}
	return s
}
