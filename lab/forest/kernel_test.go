package forest

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"
)

// The assembly and the portable code grow the same trees.
func TestPortable(t *testing.T) {
	if !useAVX2 {
		t.Skip("this machine has no AVX2: the portable code is all there is")
	}
	defer func() { useAVX2 = true }()
	for _, tt := range []struct {
		name                    string
		rows, features, outputs int
		levels                  int
		cfg                     Config
	}{
		{"the system model", 4000, 6, 4, 6, Config{}},
		{"two outputs", 1000, 3, 2, 40, Config{}},
		{"two planes of outputs", 1000, 4, 5, 20, Config{}},
		{"two words of features", 1000, 13, 4, 5, Config{}},
		{"many levels", 3000, 3, 1, 100_000, Config{}},
		{"some features", 1000, 13, 4, 8, Config{MaxFeatures: 4}},
		{"large leaves", 1000, 6, 4, 8, Config{MinLeaf: 5}},
		{"shallow", 1000, 6, 4, 8, Config{MaxDepth: 4}},
		{"every row", 500, 3, 3, 30, Config{NoBootstrap: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, uint64(tt.rows)))
			x, y := mat.NewDense(tt.rows, tt.features, nil), mat.NewDense(tt.rows, tt.outputs, nil)
			for r := range tt.rows {
				for f := range tt.features {
					x.Set(r, f, float64(rng.IntN(tt.levels)))
				}
				for o := range tt.outputs {
					y.Set(r, o, x.At(r, o%tt.features)+float64(rng.IntN(50)))
				}
			}
			tt.cfg.Trees = 5
			var trees [2]*Forest
			for k := range trees {
				useAVX2 = k == 0
				f, err := Fit(context.Background(), x, y, tt.cfg)
				if err != nil {
					t.Fatal(err)
				}
				trees[k] = f
			}
			grids := [2]*mat.Dense{}
			for k := range grids {
				useAVX2 = k == 0
				levels := trees[0].Levels()
				for f, l := range levels {
					levels[f] = l[:min(len(l), 4)]
				}
				if f := tt.features; f > 6 {
					for j := 6; j < f; j++ {
						levels[j] = levels[j][:1]
					}
				}
				g, err := trees[0].PredictGrid(nil, levels)
				if err != nil {
					t.Fatal(err)
				}
				grids[k] = g
			}
			if !mat.Equal(grids[0], grids[1]) {
				t.Error("the portable code predicts a grid otherwise")
			}
			for k, a := range trees[0].trees {
				b := trees[1].trees[k]
				if len(a) != len(b) {
					t.Fatalf("tree %d has %d nodes, by the portable code %d", k, len(a), len(b))
				}
				for n := range a {
					if a[n] != b[n] {
						t.Fatalf("tree %d, node %d is %x, by the portable code %x", k, n, a[n], b[n])
					}
				}
			}
		})
	}
}

// Data of few levels give the trees that the general code grows: features that
// do not vary make too many features for denseGrower, but change no tree.
func TestDense(t *testing.T) {
	for _, cfg := range []Config{{}, {MinLeaf: 3}, {MaxDepth: 6}, {NoBootstrap: true, MinLeaf: 2}} {
		cfg.Trees = 5
		const rows = 3000
		rng := rand.New(rand.NewPCG(2, 3))
		x, padded, y := mat.NewDense(rows, 6, nil), mat.NewDense(rows, denseFeatures+1, nil), mat.NewDense(rows, 4, nil)
		for r := range rows {
			for f := range 6 {
				v := float64(rng.IntN(3 + 7*f))
				x.Set(r, f, v)
				padded.Set(r, f, v)
			}
			for o := range 4 {
				y.Set(r, o, x.At(r, o)+float64(rng.IntN(50)))
			}
		}
		dense, err := Fit(context.Background(), x, y, cfg)
		if err != nil {
			t.Fatal(err)
		}
		if !isDense(dense.data, dense.cfg) {
			t.Fatal("the data are not dense")
		}
		general, err := Fit(context.Background(), padded, y, cfg)
		if err != nil {
			t.Fatal(err)
		}
		for k := range dense.trees {
			if !slices.Equal(dense.trees[k], general.trees[k]) {
				t.Errorf("%+v: tree %d differs", cfg, k)
			}
		}
	}
}
