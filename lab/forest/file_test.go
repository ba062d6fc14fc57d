package forest

import (
	"context"
	"errors"
	"testing"

	"gonum.org/v1/gonum/mat"
)

// Stored splits that are no tree in breadth-first order are refused: nodes that
// nothing leads to, children that are missing, a split without rows on a side.
func TestRegrowRefuses(t *testing.T) {
	x, y := mat.NewDense(4, 1, []float64{1, 2, 3, 4}), mat.NewDense(4, 1, []float64{1, 2, 3, 4})
	f, err := Fit(context.Background(), x, y, Config{Trees: 1, NoBootstrap: true})
	if err != nil {
		t.Fatal(err)
	}
	leaf, low, high := storedSplit{feature: leafMark}, storedSplit{cut: 0}, storedSplit{cut: 2}
	for name, tt := range map[string]struct {
		splits []storedSplit
		want   error
	}{
		"a tree":        {[]storedSplit{low, leaf, high, leaf, leaf}, nil},
		"unreached":     {[]storedSplit{leaf, low, leaf}, errFormat},
		"children lack": {[]storedSplit{low, leaf, high}, errFormat},
		"no rows":       {[]storedSplit{low, high, leaf, leaf, leaf}, errFormat},
	} {
		g := &Forest{cfg: f.cfg, data: f.data}
		if err := g.regrow(f.cuts, [][]storedSplit{tt.splits}); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}
