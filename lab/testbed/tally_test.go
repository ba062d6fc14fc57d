package testbed_test

import (
	"math"
	"testing"

	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/testbed"
)

// Requests that are later than the goal are counted, one at the goal is not; without
// a goal their number is not known.
func TestLate(t *testing.T) {
	l := mesh.New(1, 1).Layout()
	for _, goals := range [][]float64{{.2}, nil} {
		y := testbed.NewTally(l, goals)
		for _, d := range []float64{.3, .1, .2, .25, .2} {
			y.Add(0, testbed.Answered, d, nil)
		}
		y.Add(0, testbed.Failed, 0, nil)
		x := y.Measurement(5)
		if goals != nil && x.Late[0] != 2 || goals == nil && !math.IsNaN(x.Late[0]) {
			t.Errorf("goals %v: %v of 5 were late", goals, x.Late[0])
		}
	}
}
