package model_test

import (
	"context"
	"math"
	"testing"

	"github.com/meshbench/meshbench/lab/change"
	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/forest"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/model"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/testbed"
	"github.com/meshbench/meshbench/lab/testbed/virtual"
	"github.com/meshbench/meshbench/lab/trace"
)

// learned is a model of a scenario's virtual testbed, under loads of up to a
// factor of its own.
func learned(t *testing.T, s scenario.Scenario, wide float64, cfg model.Config) model.Learned {
	t.Helper()
	s.Loads = load.Ranges{{Min: s.Loads[0].Min, Max: wide * s.Loads[0].Max}}
	bed, err := virtual.New(virtual.Config{Scenario: s})
	if err != nil {
		t.Fatal(err)
	}
	c := testbed.Collection{Scenario: s, Steps: 8000, Seed: 1, Load: load.Uniform{Ranges: s.Loads}}
	meta, err := c.Meta(bed)
	if err != nil {
		t.Fatal(err)
	}
	tab := trace.New(meta)
	if err := testbed.Collect(context.Background(), bed, tab, c); err != nil {
		t.Fatal(err)
	}
	m, err := model.Learn(context.Background(), model.Settled(tab, .3), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func foreseen(t *testing.T, m control.Model, l mesh.Load, a mesh.Action) mesh.Measurement {
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
	return x
}

// A model of a mesh, told how much slower that has become, foresees the slower
// mesh, of which it has seen nothing.
func TestSlower(t *testing.T) {
	if testing.Short() {
		t.Skip("learns models")
	}
	s, err := scenario.Open("two-pools")
	if err != nil {
		t.Fatal(err)
	}
	auto, err := scenario.Open("autoscale")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		s       scenario.Scenario
		cfg     model.Config
		slow    change.Change
		factor  [][]float64
		actions []mesh.Action
		load    mesh.Load
	}{
		{s, model.Config{Structure: model.NodeInputs, Forest: forest.Config{Trees: 30, MinLeaf: 30}}, change.Change{Kind: change.Slow, Of: 0, Factor: 2}, [][]float64{{2}, {1}},
			[]mesh.Action{{.6, .4, 3, 2}, {.4, .6, 3, 3}, {.2, .8, 1, 3}}, mesh.Load{20}},
		{auto, model.Config{Kind: model.Tails, Forest: forest.Config{Trees: 30, MinLeaf: 20}}, change.Change{Kind: change.Heavy, Of: 0, Factor: 1.5}, [][]float64{{1.5}},
			[]mesh.Action{{3}, {4}, {5}}, mesh.Load{15}},
	} {
		m := learned(t, c.s, 2.5, c.cfg).(model.Slower)
		slow, err := m.Slower(c.factor)
		if err != nil {
			t.Fatal(err)
		}
		v, err := virtual.New(virtual.Config{Scenario: c.s})
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range c.actions {
			bed := &testbed.Changing{Changeable: v, Changes: []change.Change{c.slow}}
			if err := bed.Reset(context.Background(), 5); err != nil {
				t.Fatal(err)
			}
			v.Configure(a)
			sum := 0.0
			for range 200 {
				x, err := bed.Measure(context.Background(), c.load, a)
				if err != nil {
					t.Fatal(err)
				}
				sum += x.Service[0].Mean / 200
			}
			got := foreseen(t, slow, c.load, a)
			if math.Abs(got.Service[0].Mean/sum-1) > .25 || math.Abs(got.Carried[0]/c.load[0]-1) > .1 {
				t.Errorf("%s, %v: %.3f s and %.1f requests/s foreseen, %.3f s measured; before %.3f s", c.s.Name, a, got.Service[0].Mean, got.Carried[0], sum, foreseen(t, m, c.load, a).Service[0].Mean)
			}
		}
		if same, err := m.Slower(nil); err != nil || foreseen(t, same, c.load, c.actions[0]).Service[0].Mean != foreseen(t, m, c.load, c.actions[0]).Service[0].Mean {
			t.Errorf("%s: no factors change the model (%v)", c.s.Name, err)
		}
		if _, err := m.Slower([][]float64{{1, 2, 3}}); err == nil {
			t.Errorf("%s: factors of another mesh were accepted", c.s.Name)
		}
		if c.s.Mesh.N() == 1 {
			if _, err := m.Slower([][]float64{{math.Inf(1)}}); err == nil {
				t.Error("a joint model foresaw a lost node")
			}
			continue
		}
		lost, err := m.Slower([][]float64{{1}, {math.Inf(1)}})
		if err != nil {
			t.Fatal(err)
		}
		x := foreseen(t, lost, c.load, mesh.Action{.6, .4, 3, 2})
		if share := x.Failed[0] / (x.Failed[0] + x.Service[0].Count); math.Abs(share-.4) > 1e-9 || !math.IsNaN(x.Endpoint[1].Mean) || !(x.Service[0].Mean > 0) {
			t.Errorf("of a lost node: share %v failed, delay %v, of the service %v", share, x.Endpoint[1].Mean, x.Service[0].Mean)
		}
	}
}
