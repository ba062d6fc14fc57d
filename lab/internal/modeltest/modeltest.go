// Package modeltest makes traces, models and meshes for tests of what is
// learned from them.
package modeltest

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/meshbench/meshbench/lab/forest"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/model"
	"github.com/meshbench/meshbench/lab/objective"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/testbed"
	"github.com/meshbench/meshbench/lab/testbed/virtual"
	"github.com/meshbench/meshbench/lab/trace"
)

// Paper is the space of the paper's mesh.
func Paper() *mesh.Space { return mesh.Grid(mesh.New(2, 2), 6) }

// Named is a space with a name for tests.
type Named struct {
	Name  string
	Space *mesh.Space
}

// Spaces are those of meshes of many shapes, small and large.
func Spaces() []Named {
	return []Named{
		{"1x1", mesh.Grid(mesh.New(1, 1), 6)},
		{"1x3", mesh.Grid(mesh.New(1, 3), 6)},
		{"2x2", Paper()},
		{"2x4", mesh.Grid(mesh.New(2, 4), 6)},
		{"3x3", mesh.Grid(mesh.New(3, 3), 6)},
		{"4x2", mesh.Grid(mesh.New(4, 2), 6)},
		{"chain", mesh.Grid(Chain(), 6)},
		{"graph", mesh.Grid(Graph(), 6)},
	}
}

// Chain is a service of three stages on two nodes.
func Chain() mesh.Mesh {
	both := []string{"a", "b"}
	return mesh.Mesh{
		Nodes: []mesh.Node{{Name: "a"}, {Name: "b"}},
		Services: []mesh.Service{{Name: "shop", Stages: []mesh.Stage{
			{{Microservice: "web", Nodes: both}}, {{Microservice: "cart", Nodes: both}}, {{Microservice: "stock", Nodes: both}},
		}}},
	}
}

// Graph is two services on three nodes, one of two stages of which the second
// makes two calls in parallel; both call the same microservice.
func Graph() mesh.Mesh {
	return mesh.Mesh{
		Nodes: []mesh.Node{{Name: "a"}, {Name: "b"}, {Name: "c"}},
		Services: []mesh.Service{
			{Name: "shop", Stages: []mesh.Stage{
				{{Microservice: "web", Nodes: []string{"a", "b"}}},
				{{Microservice: "cart", Nodes: []string{"b", "c"}}, {Microservice: "price", Nodes: []string{"c"}}},
			}},
			{Name: "news", Stages: []mesh.Stage{{{Microservice: "web", Nodes: []string{"a", "b"}}}}},
		},
	}
}

// Ranges are loads of 5, 10, 15 and 20 requests/s for every service.
func Ranges(m mesh.Mesh) load.Ranges {
	r := make(load.Ranges, m.M())
	for i := range r {
		r[i] = load.Range{Min: 5, Max: 20}
	}
	return r
}

// Targets of the paper's services, in turn, for those of a mesh.
func Targets(m mesh.Mesh) []objective.Target {
	two := []objective.Target{{Goal: .035, Centre: .050, Steepness: 200}, {Goal: .110, Centre: .113, Steepness: 200}}
	var t []objective.Target
	for i := range m.M() {
		t = append(t, two[i%2])
	}
	return t
}

// Useful is the useful carried load of all services: MO1 for the paper's mesh.
func Useful(m mesh.Mesh, weights ...float64) objective.Objective {
	return objective.Useful("useful", m.ServiceNames(), Targets(m), weights...)
}

// NodeRates are the requests/s that come to each node.
func NodeRates(s *mesh.Space, l mesh.Load, a mesh.Action) []float64 {
	rates := make([]float64, s.Mesh().N())
	for c, call := range s.Layout().Calls {
		for k, p := range s.RouteOf(a, c) {
			rates[call.Nodes[k]] += float64(l[call.Service] * (1 - s.BlockOf(a, call.Service)) * p)
		}
	}
	return rates
}

// Delay is that of a request on a node of synthetic traces, s.
func Delay(rate float64) float64 { return .01 + float64(.001*rate) }

// Measure is a step of synthetic traces: delays grow with the node's load, .01 s
// and .001 s for every request/s that reaches it; paths are the sum of their
// stages' slowest calls.
func Measure(s *mesh.Space, l mesh.Load, a mesh.Action) mesh.Measurement {
	layout := s.Layout()
	x := mesh.NewMeasurement(layout)
	rates := NodeRates(s, l, a)
	for e, at := range layout.Endpoints {
		if s.Reaches(l, a, e) {
			x.Endpoint[e].Mean = Delay(rates[at.Node])
		}
	}
	for i, stages := range layout.Stages {
		x.Carried[i] = l[i] * (1 - s.BlockOf(a, i))
		if x.Carried[i] == 0 {
			continue
		}
		d := 0.0
		for _, stage := range stages {
			slowest := 0.0
			for _, c := range stage {
				mean := 0.0
				for k, p := range s.RouteOf(a, c) {
					if p > 0 {
						mean += float64(p * x.Endpoint[layout.Calls[c].First+k].Mean)
					}
				}
				slowest = max(slowest, mean)
			}
			d += slowest
		}
		x.Service[i].Mean = d
	}
	return x
}

// Trace has random loads and actions of a space, and what Measure says.
func Trace(t testing.TB, s *mesh.Space, rows int) *trace.Table {
	t.Helper()
	table := trace.New(trace.Meta{Space: s})
	rng := rand.New(rand.NewPCG(1, 2))
	for r := range rows {
		l := load.Random{Ranges: Ranges(s.Mesh())}.At(nil, 3, r)
		var a mesh.Action
		if n := s.Len(); n < math.MaxInt {
			a = s.At(rng.IntN(n))
		} else {
			var choice []int
			for _, n := range s.Choices() {
				choice = append(choice, rng.IntN(n))
			}
			a = s.Action(nil, choice)
		}
		if err := table.Append(trace.Row{Step: r, Load: l, Action: a, Measurement: Measure(s, l, a)}); err != nil {
			t.Fatal(err)
		}
	}
	return table
}

// Joint is a joint model of a synthetic trace.
func Joint(t testing.TB, s *mesh.Space) *model.Joint {
	return Learn(t, s, 3000, model.Config{Forest: forest.Config{Trees: 20}}).(*model.Joint)
}

// PerNode is a model per node of a synthetic trace.
func PerNode(t testing.TB, s *mesh.Space) *model.PerNode {
	return Learn(t, s, 3000, model.Config{Structure: model.NodeInputs, Forest: forest.Config{Trees: 20, MinLeaf: 40}}).(*model.PerNode)
}

// Learn learns from a synthetic trace.
func Learn(t testing.TB, s *mesh.Space, rows int, cfg model.Config) model.Learned {
	t.Helper()
	m, err := model.Learn(context.Background(), Trace(t, s, rows), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Builtin is a scenario by its name.
func Builtin(t testing.TB, name string) scenario.Scenario {
	t.Helper()
	s, err := scenario.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Behind reports whether a node has fallen behind in a scenario: at some endpoint
// requests take more than three times as long as without a queue; delays are in
// the layout's order, s, NaN where no request went.
func Behind(s scenario.Scenario, delays []float64) bool {
	l := s.Mesh.Layout()
	for e, at := range l.Endpoints {
		alone := s.Work[l.Calls[at.Call].Microservice].Time/s.Mesh.Speed(at.Node) + s.Link
		if delays[e] > 3*alone {
			return true
		}
	}
	return false
}

// Collect is a trace of steps on the virtual testbed of a scenario.
func Collect(t testing.TB, s scenario.Scenario, steps int) *trace.Table {
	t.Helper()
	ctx := context.Background()
	bed, err := virtual.New(virtual.Config{Scenario: s})
	if err != nil {
		t.Fatal(err)
	}
	defer bed.Close()
	c := testbed.Collection{Scenario: s, Steps: steps, Seed: 3}
	meta, err := c.Meta(bed)
	if err != nil {
		t.Fatal(err)
	}
	table := trace.New(meta)
	if err := testbed.Collect(ctx, bed, table, c); err != nil {
		t.Fatal(err)
	}
	return table
}

// Virtual is a model per node of the virtual testbed of a scenario.
func Virtual(t testing.TB, s scenario.Scenario, steps int) *model.PerNode {
	t.Helper()
	m, err := model.Learn(context.Background(), model.Settled(Collect(t, s, steps), .3),
		model.Config{Structure: model.NodeInputs, Forest: forest.Config{Trees: 30, MinLeaf: 80}})
	if err != nil {
		t.Fatal(err)
	}
	return m.(*model.PerNode)
}

// Nodes is the paper's scenario with so many nodes, and load for them.
func Nodes(n int) scenario.Scenario {
	s := scenario.Paper()
	if n == 2 {
		return s
	}
	names := s.Mesh.ServiceNames()
	s.Mesh = mesh.Single(names, mesh.New(1, n).NodeNames())
	for i := range s.Loads {
		s.Loads[i].Max *= float64(n) / 2
		s.Loads[i].Values = nil
	}
	return s
}
