package forest

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"
)

// scattered draws inputs of the given numbers of levels, and targets that
// depend on them: sums of two inputs and whole numbers, which no processor
// rounds its own way.
func scattered(rows, outputs int, levels ...int) (x, y *mat.Dense) {
	rng := rand.New(rand.NewPCG(uint64(rows), uint64(outputs)))
	x, y = mat.NewDense(rows, len(levels), nil), mat.NewDense(rows, outputs, nil)
	for r := range rows {
		for f, n := range levels {
			x.Set(r, f, float64(rng.IntN(n))/8)
		}
		for o := range outputs {
			y.Set(r, o, (x.At(r, o%len(levels))+x.At(r, (o+1)%len(levels))+float64(rng.IntN(50)))/7)
		}
	}
	return x, y
}

// The same settings give the same bytes, with any number of workers, with and
// without assembly, and whatever the compiler makes of products that are added:
// testdata/same-bytes.sh runs this for all ways to compile.
func TestGolden(t *testing.T) {
	assembly := useAVX2
	defer func() { useAVX2 = assembly }()
	for _, tt := range []struct {
		name    string
		rows    int
		outputs int
		levels  []int
		cfg     Config
		want    string
	}{
		{"the system model", 2000, 4, []int{31, 31, 6, 6, 6, 6}, Config{}, "ab8d358477302a2f"},
		{"many levels", 1500, 1, []int{100_000, 100_000, 3}, Config{}, "40ca89b1388e7111"},
		{"two planes of outputs", 700, 5, []int{20, 20, 20}, Config{}, "d81e82fe34ca5797"},
		{"large leaves", 1000, 2, []int{9, 9, 9}, Config{MinLeaf: 7}, "56e19524eae8978f"},
		{"shallow, many levels", 1000, 2, []int{9, 9, 900}, Config{MaxDepth: 4}, "35184ad0c1cbae1d"},
		{"every row", 500, 3, []int{30, 30, 30}, Config{NoBootstrap: true}, "ec530c7b9cb95813"},
		{"some features", 800, 2, []int{8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8}, Config{MaxFeatures: 4}, "b4bf0af34ab3e820"},
		{"random splits", 800, 2, []int{8, 8, 700}, Config{RandomSplits: true, MinLeaf: 3}, "3ba169cc91f64d05"},
	} {
		x, y := scattered(tt.rows, tt.outputs, tt.levels...)
		tt.cfg.Trees, tt.cfg.Seed = 4, 11
		for _, c := range []struct {
			workers  int
			assembly bool
		}{{1, assembly}, {3, assembly}, {2, false}} {
			tt.cfg.Workers, useAVX2 = c.workers, c.assembly
			f, err := Fit(context.Background(), x, y, tt.cfg)
			if err != nil {
				t.Fatal(err)
			}
			if got := fingerprint(t, f, x); got != tt.want {
				t.Errorf("%s, %+v: %s, want %s", tt.name, c, got, tt.want)
			}
		}
	}
}

// fingerprint hashes a forest and what it predicts in every way that there is.
func fingerprint(t *testing.T, f *Forest, x *mat.Dense) string {
	t.Helper()
	h := sha256.New()
	for _, tree := range f.trees {
		for _, n := range tree {
			binary.Write(h, binary.LittleEndian, uint64(n))
		}
	}
	for _, cuts := range f.cuts {
		hashFloats(h, cuts)
	}
	hashFloats(h, f.values)
	hashFloats(h, f.PredictMatrix(x).RawMatrix().Data)
	hashFloats(h, f.QuantileMatrix(x, .3).RawMatrix().Data)
	hashFloats(h, f.OutOfBag().RawMatrix().Data)
	levels := f.Levels()
	for j, l := range levels {
		levels[j] = l[:min(len(l), 3)]
	}
	grid, err := f.PredictGrid(nil, levels)
	if err != nil {
		t.Fatal(err)
	}
	hashFloats(h, grid.RawMatrix().Data)
	hashFloats(h, NMAE(f.PredictMatrix(x), f.QuantileMatrix(x, .3)))
	hashFloats(h, R2(f.PredictMatrix(x), f.QuantileMatrix(x, .3)))
	return fmt.Sprintf("%x", h.Sum(nil)[:8])
}

func hashFloats(h hash.Hash, v []float64) {
	for _, x := range v {
		if math.IsNaN(x) {
			x = -1 // which NaN it is does not matter
		}
		binary.Write(h, binary.LittleEndian, x)
	}
}
