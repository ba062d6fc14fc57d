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

// A file of version 2, which is no longer written, is read: scattered(120, 2, 7,
// 5, 300), three trees with leaves of 2 and seed 5.
func TestVersion2(t *testing.T) {
	f, err := Load("testdata/version2.forest")
	if err != nil {
		t.Fatal(err)
	}
	x, y := scattered(120, 2, 7, 5, 300)
	fitted, err := Fit(context.Background(), x, y, Config{Trees: 3, Seed: 5, MinLeaf: 2})
	if err != nil {
		t.Fatal(err)
	}
	const want = "84b0717160a31275" // as of when it was written
	if got, again := fingerprint(t, f, x), fingerprint(t, fitted, x); got != want || again != want {
		t.Errorf("the forest is %s, fitted anew %s, want %s", got, again, want)
	}
	if f.Meta["trace"] != "scattered" || f.Nodes() != 205 || f.Features()[1] != "p11" || f.Outputs()[1] != "d12" || f.Config().MinLeaf != 2 {
		t.Errorf("%d nodes, meta %v, settings %+v", f.Nodes(), f.Meta, f.Config())
	}
}
