package model_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/internal/modeltest"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
)

// A draw is the same whichever was asked for before it: one after the other, at a
// stride, at random, or after another action.
func TestDrawsInAnyOrder(t *testing.T) {
	m := modeltest.PerNode(t, modeltest.Paper())
	f, err := m.At(mesh.State{Load: mesh.Load{14, 9}})
	if err != nil {
		t.Fatal(err)
	}
	space, n := m.Space(), f.Draws()
	rng := rand.New(rand.NewPCG(1, 2))
	a, b := space.At(rng.IntN(space.Len())), space.Default()
	draw := func(k int) [4]float64 {
		x := mesh.NewMeasurement(space.Layout())
		f.Draw(k, &x)
		return [4]float64{x.Service[0].Mean, x.Service[1].Mean, x.Carried[0], x.Endpoint[1].Mean}
	}
	set := func(a mesh.Action) {
		if err := f.Set(a); err != nil {
			t.Fatal(err)
		}
	}
	want := make([][4]float64, n)
	for k := range want {
		set(a) // forgets what was computed
		want[k] = draw(k)
	}
	check := func(order string, k int) {
		got := draw(k)
		for i, v := range got {
			if math.Float64bits(v) != math.Float64bits(want[k][i]) {
				t.Fatalf("%s: draw %d is %v, alone %v", order, k, got, want[k])
			}
		}
	}
	for _, stride := range []int{1, 2, 7, 64, 126} {
		set(b)
		draw(0)
		draw(1)
		set(a)
		for k := 0; k < n; k += stride {
			check("at a stride", k)
		}
		for range 300 {
			check("at random after a stride", rng.IntN(n))
		}
	}
	set(a)
	for k := n - 1; k >= 0; k-- {
		check("backwards", k)
	}
}

// A forecast that was moved to another load, or back, is that of the load.
func TestMove(t *testing.T) {
	for _, name := range []string{"graph", "wide"} {
		s := modeltest.Builtin(t, name)
		m := modeltest.Virtual(t, s, 300)
		space := m.Space()
		at := func(l mesh.Load) control.Forecast {
			f, err := m.At(mesh.State{Load: l})
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
		moved := at(s.Loads.Mid())
		var choice []int
		for k := range 20 {
			l := load.Uniform{Ranges: s.Loads}.At(nil, 1, k/2)
			if err := moved.(control.Movable).Move(mesh.State{Load: l}); err != nil {
				t.Fatal(err)
			}
			choice = choice[:0]
			for h, n := range space.Choices() {
				choice = append(choice, (7*k+h)%n)
			}
			a, fresh := space.Action(nil, choice), at(l)
			got, want := mesh.NewMeasurement(space.Layout()), mesh.NewMeasurement(space.Layout())
			for _, x := range []struct {
				f control.Forecast
				x *mesh.Measurement
			}{{moved, &got}, {fresh, &want}} {
				if err := x.f.Set(a); err != nil {
					t.Fatal(err)
				}
				x.f.Draw(k, x.x)
			}
			if diff := cmp.Diff(want, got, cmpopts.EquateNaNs()); diff != "" {
				t.Fatalf("%s, load %v: %s", name, l, diff)
			}
		}
		if err := moved.(control.Movable).Move(mesh.State{Load: mesh.Load{1}}); name == "wide" && err == nil {
			t.Error("a load of one service for four")
		}
	}
}
