package forest_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/meshbench/meshbench/lab/forest"
)

// Few, equal and extreme rows give a forest that does all that forests do, with
// finite results.
func TestFewRows(t *testing.T) {
	column := func(v ...float64) *mat.Dense { return mat.NewDense(len(v), 1, v) }
	huge := math.MaxFloat64
	for _, tt := range []struct {
		name string
		x, y *mat.Dense
	}{
		{"one row", column(3), column(.03)},
		{"two equal rows", column(3, 3), column(.03, .03)},
		{"equal inputs", column(3, 3, 3), column(1, 2, 3)},
		{"equal targets", column(1, 2, 3, 4), column(.03, .03, .03, .03)},
		{"zeros of both signs", column(0, math.Copysign(0, -1), 1), column(0, math.Copysign(0, -1), 0)},
		{"extreme inputs", column(-huge, huge, 0, 5e-324, -5e-324), column(1, 2, 3, 4, 5)},
		{"extreme targets", column(1, 2, 3, 4), column(1e150, -1e150, 0, 5e-324)},
		{"tiny targets", column(1, 2, 3), column(5e-324, 0, 1e-323)},
		{"two outputs, one of them constant", column(1, 2, 3), mat.NewDense(3, 2, []float64{1, 7, 2, 7, 4, 7})},
		{"five outputs", column(1, 2), mat.NewDense(2, 5, []float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10})},
		{"more features than rows", mat.NewDense(2, 12, make([]float64, 24)), column(1, 2)},
	} {
		for _, cfg := range []forest.Config{{}, {Trees: 1}, {NoBootstrap: true}, {MinLeaf: 100}, {MaxDepth: 1}, {MaxFeatures: 1}, {RandomSplits: true}} {
			t.Run(fmt.Sprintf("%s/%+v", tt.name, cfg), func(t *testing.T) {
				f := fit(t, tt.x, tt.y, cfg)
				file, err := f.MarshalBinary()
				if err != nil {
					t.Fatal(err)
				}
				again := new(forest.Forest)
				if err := again.UnmarshalBinary(file); err != nil {
					t.Fatal(err)
				}
				grid, err := f.PredictGrid(nil, f.Levels())
				if err != nil {
					t.Fatal(err)
				}
				results := map[string]*mat.Dense{
					"predictions": f.PredictMatrix(tt.x), "quantiles": f.QuantileMatrix(tt.x, .5), "grid": grid,
				}
				for name, m := range results {
					rows, columns := m.Dims()
					for r := range rows {
						for c := range columns {
							if v := m.At(r, c); math.IsNaN(v) || math.IsInf(v, 0) {
								t.Errorf("%s: row %d, column %d is %v", name, r, c, v)
							}
						}
					}
				}
				if !mat.Equal(again.PredictMatrix(tt.x), results["predictions"]) {
					t.Error("a loaded forest predicts otherwise")
				}
				for c, v := range forest.R2(tt.y, results["predictions"]) {
					if math.IsNaN(v) || v > 1 {
						t.Errorf("R2 of output %d is %v", c, v)
					}
				}
				s, err := f.OutOfBagScore()
				if err == nil {
					for c := range s.R2 {
						if s.Rows == 0 || math.IsNaN(s.R2[c]) || math.IsNaN(s.NMAE[c]) {
							t.Errorf("out of bag: %+v", s)
						}
					}
				} else if !strings.Contains(err.Error(), "none can be predicted out of bag") {
					t.Error(err)
				}
			})
		}
	}
}

// No rows are an error to fit to, and none to predict.
func TestNoRows(t *testing.T) {
	if _, err := forest.Fit(context.Background(), &mat.Dense{}, &mat.Dense{}, forest.Config{}); err == nil || !strings.Contains(err.Error(), "at least one row") {
		t.Errorf("no rows: %v", err)
	}
	x, y := example(20, 1)
	f := fit(t, x, y, forest.Config{Trees: 2})
	if !f.PredictMatrix(&mat.Dense{}).IsEmpty() || !f.QuantileMatrix(&mat.Dense{}, .5).IsEmpty() {
		t.Error("no rows have predictions")
	}
	if s := forest.R2(&mat.Dense{}, &mat.Dense{}); len(s) != 0 {
		t.Errorf("R2 of nothing is %v", s)
	}
}

// What is not finite is named by its row and column.
func TestCheck(t *testing.T) {
	x, y := example(20, 1)
	f := fit(t, x, y, forest.Config{Trees: 2})
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		bad := mat.DenseCopyOf(x)
		bad.Set(7, 2, v)
		if err := f.Check(bad); err == nil || !strings.Contains(err.Error(), "row 7, column 2 (x2) is "+fmt.Sprint(v)) {
			t.Errorf("%v: %v", v, err)
		}
		func() {
			defer func() {
				if p := fmt.Sprint(recover()); !strings.Contains(p, "row 7, column 2") {
					t.Errorf("PredictMatrix panics with %q", p)
				}
			}()
			f.PredictMatrix(bad)
		}()
	}
	if err := f.Check(x); err != nil {
		t.Error(err)
	}
	if err := f.Check(y); err == nil || !strings.Contains(err.Error(), "rows of 4 values for 6 features") {
		t.Errorf("wrong columns: %v", err)
	}
}

// Scores where there is nothing to measure by; R2 as of scikit-learn 1.5's
// r2_score with force_finite, but for one row, where that has NaN.
func TestScoresOfEqualTargets(t *testing.T) {
	column := func(v ...float64) *mat.Dense { return mat.NewDense(len(v), 1, v) }
	inf := math.Inf(1)
	for _, tt := range []struct {
		y, hat   *mat.Dense
		r2, nmae float64
	}{
		{column(.03), column(.03), 1, 0},
		{column(.03), column(.06), 0, 1},
		{column(.03, .03, .03), column(.03, .03, .03), 1, 0},
		{column(.03, .03, .03), column(.03, .03, .06), 0, 1. / 3},
		{column(0, 0), column(0, 0), 1, 0},
		{column(0, 0), column(0, 1), 0, inf},
		{column(-1, 1), column(-1, 1), 1, 0},
		{column(-1, 1), column(1, -1), -3, inf},
	} {
		if got := forest.R2(tt.y, tt.hat)[0]; got != tt.r2 {
			t.Errorf("R2 of %v and %v is %v, want %v", tt.y.RawMatrix().Data, tt.hat.RawMatrix().Data, got, tt.r2)
		}
		if got := forest.NMAE(tt.y, tt.hat)[0]; math.Abs(got-tt.nmae) > 1e-15 {
			t.Errorf("NMAE of %v and %v is %v, want %v", tt.y.RawMatrix().Data, tt.hat.RawMatrix().Data, got, tt.nmae)
		}
	}
	if nan := column(math.NaN()); !math.IsNaN(forest.R2(column(1), nan)[0]) || !math.IsNaN(forest.NMAE(column(0), nan)[0]) {
		t.Error("a prediction that is NaN is scored")
	}
}

// Rows that all trees hold are NaN out of bag, and not scored.
func TestOutOfBagScore(t *testing.T) {
	x, y := example(300, 5)
	f := fit(t, x, y, forest.Config{Trees: 3})
	s, err := f.OutOfBagScore()
	if err != nil {
		t.Fatal(err)
	}
	missing := 0
	for _, v := range mat.Col(nil, 0, f.OutOfBag()) {
		if math.IsNaN(v) {
			missing++
		}
	}
	if missing == 0 || s.Rows != 300-missing || len(s.R2) != 4 || !(s.R2[0] > .5) || !(s.NMAE[0] < .5) {
		t.Errorf("%+v with %d rows missing", s, missing)
	}
	if _, err := fit(t, x, y, forest.Config{Trees: 2, NoBootstrap: true}).OutOfBagScore(); err == nil {
		t.Error("scored without rows")
	}
	g, err := f.Transform(func(dst, y []float64) { dst[0] = y[0] }, []string{"d"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.OutOfBagScore(); err == nil {
		t.Error("a transformed forest was scored")
	}
}
