package controller

import (
	"slices"
	"testing"

	"github.com/meshbench/meshbench/lab/mesh"
)

// All the way is all the way, also from where somebody else has put a knob, beyond
// its points.
func TestAllTheWay(t *testing.T) {
	space, err := mesh.NewSpace(mesh.New(1, 1), mesh.Knob{Kind: mesh.Replicas, Min: 1, Max: 3})
	if err != nil {
		t.Fatal(err)
	}
	for _, move := range []float64{0, 1} {
		a, limited := newLimiter(space, Limit{Move: move}).toward(1, mesh.Action{12}, mesh.Action{2})
		if limited || !slices.Equal(a, mesh.Action{2}) {
			t.Errorf("move %v: from 12 replicas to %v, limited %v; want 2", move, a, limited)
		}
	}
}
