package forest_test

import (
	"context"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/meshbench/meshbench/lab/forest"
)

// Quantiles of a matrix are those of its rows.
func TestQuantileMatrix(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 5))
	x, y := mat.NewDense(400, 3, nil), mat.NewDense(400, 2, nil)
	for r := range 400 {
		for j := range 3 {
			x.Set(r, j, float64(rng.IntN(6)))
		}
		y.Set(r, 0, x.At(r, 0)+rng.NormFloat64())
		y.Set(r, 1, float64(rng.IntN(3))) // ties
	}
	f, err := forest.Fit(context.Background(), x, y, forest.Config{Trees: 20, MinLeaf: 4})
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []float64{0, .1, .5, 1} {
		got := f.QuantileMatrix(x, q)
		for r := range 400 {
			want := f.Quantile(x.RawRowView(r), q)
			for o := range 2 {
				if got.At(r, o) != want[o][0] {
					t.Fatalf("row %d, output %d, quantile %v: %v, Quantile gives %v", r, o, q, got.At(r, o), want[o][0])
				}
			}
		}
	}
	for name, call := range map[string]func(){
		"width":    func() { f.QuantileMatrix(mat.NewDense(2, 2, nil), .5) },
		"quantile": func() { f.QuantileMatrix(x, 1.5) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			call()
		}()
	}
}

// The training rows behind a prediction make it.
func TestNeighbours(t *testing.T) {
	x, y := mat.NewDense(6, 1, []float64{0, 0, 0, 1, 1, 1}), mat.NewDense(6, 1, []float64{1, 2, 3, 7, 8, 9})
	f, err := forest.Fit(context.Background(), x, y, forest.Config{Trees: 30, MinLeaf: 2})
	if err != nil {
		t.Fatal(err)
	}
	var n forest.Neighbours
	for range 2 { // the second time with buffers in use
		f.Neighbours(&n, []float64{.2})
		sum, mean := 0.0, 0.0
		for k, r := range n.Rows {
			sum += n.Weights[k]
			mean += n.Weights[k] * f.Target(int(r))[0]
			if k > 0 && r <= n.Rows[k-1] {
				t.Errorf("rows %v do not ascend", n.Rows)
			}
		}
		if want := f.Predict(nil, []float64{.2})[0]; sum < 1-1e-12 || sum > 1+1e-12 || mean < want-1e-12 || mean > want+1e-12 {
			t.Errorf("weights sum to %v and give %v, Predict %v", sum, mean, want)
		}
	}
	if in := f.Input(nil, 4); in[0] != 1 {
		t.Errorf("inputs of row 4 are %v", in)
	}
}
