package model_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/meshbench/meshbench/lab/internal/modeltest"
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
