package modeltest

import (
	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/mesh"
)

// Pool is a model of one service whose delay in s is what the replicas of its
// busiest node carry each, in requests/s: with a goal of 1 s a replica is good for
// 1 request/s.
type Pool struct{ Of *mesh.Space }

// Name is "pool".
func (Pool) Name() string { return "pool" }

// Space is what it knows the effect of.
func (m Pool) Space() *mesh.Space { return m.Of }

// At foresees a step.
func (m Pool) At(s mesh.State) (control.Forecast, error) {
	return &poolForecast{space: m.Of, load: s.Load[0]}, nil
}

type poolForecast struct {
	space *mesh.Space
	load  float64
	a     mesh.Action
}

func (f *poolForecast) Set(a mesh.Action) error         { f.a = a; return nil }
func (f *poolForecast) Draws() int                      { return 1 }
func (f *poolForecast) Draw(_ int, x *mesh.Measurement) { f.Mean(x) }

func (f *poolForecast) Mean(x *mesh.Measurement) {
	carried, worst := f.load*(1-f.space.BlockOf(f.a, 0)), 0.0
	for c, call := range f.space.Layout().Calls {
		for k, j := range call.Nodes {
			worst = max(worst, f.space.RouteOf(f.a, c)[k]*carried/f.space.Value(f.a, mesh.Replicas, j, 1))
		}
	}
	x.Carried[0], x.Service[0].Mean = carried, worst
}
