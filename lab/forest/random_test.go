package forest_test

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/meshbench/meshbench/lab/forest"
)

// Random thresholds: the same seed gives the same forest, another one another,
// and unseen rows of a smooth function are predicted far better than by the
// mean.
func TestRandomSplits(t *testing.T) {
	draw := func(n int, seed uint64) (x, y *mat.Dense) {
		rng := rand.New(rand.NewPCG(seed, 1))
		x, y = mat.NewDense(n, 3, nil), mat.NewDense(n, 2, nil)
		for r := range n {
			a, b, c := float64(rng.IntN(20)), float64(rng.IntN(20)), rng.Float64()
			x.SetRow(r, []float64{a, b, c})
			y.SetRow(r, []float64{a + b, a * c})
		}
		return x, y
	}
	x, y := draw(2000, 1)
	test, want := draw(500, 2)
	fit := func(seed uint64) *mat.Dense {
		f, err := forest.Fit(context.Background(), x, y, forest.Config{Trees: 20, MinLeaf: 3, RandomSplits: true, NoBootstrap: true, Seed: seed})
		if err != nil {
			t.Fatal(err)
		}
		return f.PredictMatrix(test)
	}
	a := fit(1)
	if !mat.Equal(a, fit(1)) {
		t.Error("the same seed: other predictions")
	}
	if mat.Equal(a, fit(2)) {
		t.Error("another seed: the same predictions")
	}
	for k, r2 := range forest.R2(want, a) {
		if !(r2 > .95) || math.IsNaN(r2) {
			t.Errorf("output %d: R2 %v on unseen rows, want above .95", k, r2)
		}
	}
}
