package forest_test

import (
	"context"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/meshbench/meshbench/lab/forest"
)

// The nodes of the trees say all of what a forest predicts, also of inputs on a
// threshold.
func TestTree(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const rows, features, outputs = 120, 3, 2
	x, y := mat.NewDense(rows, features, nil), mat.NewDense(rows, outputs, nil)
	for r := range rows {
		for j := range features {
			x.Set(r, j, float64(rng.IntN(9)))
		}
		for o := range outputs {
			y.Set(r, o, rng.Float64()+x.At(r, o))
		}
	}
	f, err := forest.Fit(context.Background(), x, y, forest.Config{Trees: 7, MinLeaf: 2, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	for range 500 {
		row := []float64{float64(rng.IntN(20)) / 2, float64(rng.IntN(20)) / 2, 10 * rng.Float64()}
		want := f.Predict(nil, row)
		got := make([]float64, outputs)
		for k := range f.Trees() {
			nodes := f.Tree(k)
			n := nodes[0]
			for n.Value == nil {
				if row[n.Feature] <= n.Threshold {
					n = nodes[n.Left]
				} else {
					n = nodes[n.Left+1]
				}
			}
			for o, v := range n.Value {
				got[o] += v
			}
		}
		for o := range got {
			if got[o]/float64(f.Trees()) != want[o] {
				t.Fatalf("the trees say %v of %v, the forest %v", got, row, want)
			}
		}
	}
}
