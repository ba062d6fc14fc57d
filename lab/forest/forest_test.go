package forest_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/meshbench/meshbench/lab/forest"
)

// example is a problem of the system model's shape: few distinct inputs, a
// threshold, an interaction, an input that does not matter, and noise.
func example(rows int, seed uint64) (x, y *mat.Dense) {
	rng := rand.New(rand.NewPCG(seed, 1))
	x, y = mat.NewDense(rows, 6, nil), mat.NewDense(rows, 4, nil)
	for r := range rows {
		v := x.RawRowView(r)
		v[0], v[1] = float64(5+rng.IntN(31)*5/10), float64(rng.IntN(100))/5
		for j := 2; j < 6; j++ {
			v[j] = float64(rng.IntN(6)) / 5
		}
		base := .01 + .002*v[0]*v[2]
		if v[1] > 12 {
			base += .05 * v[3]
		}
		for o := range 4 {
			y.Set(r, o, base*float64(o+1)+.002*rng.NormFloat64())
		}
	}
	return x, y
}

func fit(t testing.TB, x, y *mat.Dense, cfg forest.Config) *forest.Forest {
	t.Helper()
	f, err := forest.Fit(context.Background(), x, y, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestWorkers(t *testing.T) {
	x, y := example(3000, 1)
	want := fit(t, x, y, forest.Config{Trees: 8, Workers: 1, Seed: 3}).PredictMatrix(x)
	for _, workers := range []int{2, 5} {
		if got := fit(t, x, y, forest.Config{Trees: 8, Workers: workers, Seed: 3}).PredictMatrix(x); !mat.Equal(got, want) {
			t.Errorf("%d workers predict otherwise than 1", workers)
		}
	}
	if got := fit(t, x, y, forest.Config{Trees: 8, Seed: 4}).PredictMatrix(x); mat.Equal(got, want) {
		t.Error("another seed predicts the same")
	}
}

// A full-depth tree on all rows reproduces targets of distinct inputs.
func TestReproduces(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	x, y := mat.NewDense(500, 3, nil), mat.NewDense(500, 2, nil)
	for r := range 500 {
		for j := range 3 {
			x.Set(r, j, rng.Float64())
		}
		y.Set(r, 0, rng.Float64())
		y.Set(r, 1, rng.Float64())
	}
	f := fit(t, x, y, forest.Config{Trees: 1, NoBootstrap: true})
	if got := f.PredictMatrix(x); !mat.Equal(got, y) {
		t.Error("training targets are not reproduced")
	}
}

func TestLimits(t *testing.T) {
	x, y := example(3000, 2)
	deep := fit(t, x, y, forest.Config{Trees: 4})
	for _, tt := range []struct {
		name string
		cfg  forest.Config
		most int // nodes of all trees
	}{
		{"depth 3", forest.Config{Trees: 4, MaxDepth: 3}, 4 * 15},
		{"leaves of 50 rows", forest.Config{Trees: 4, MinLeaf: 50}, 4 * 2 * 3000 / 50},
	} {
		if f := fit(t, x, y, tt.cfg); f.Nodes() > tt.most || f.Nodes() < 9 || f.Nodes() >= deep.Nodes() {
			t.Errorf("%s: %d nodes, at most %d", tt.name, f.Nodes(), tt.most)
		}
	}
	sound := fit(t, x, y, forest.Config{Trees: 20, MaxFeatures: 2})
	if r2 := forest.R2(y, sound.PredictMatrix(x)); r2[0] < .9 {
		t.Errorf("two features a split: R2 %v on the training rows", r2)
	}
}

// steps are n values from 4 on.
func steps(n int) []float64 {
	v := make([]float64, n)
	for k := range v {
		v[k] = 4 + .7*float64(k)
	}
	return v
}

func TestGridIsPredict(t *testing.T) {
	x, y := example(4000, 3)
	f := fit(t, x, y, forest.Config{Trees: 15})
	for _, levels := range [][][]float64{
		{{5, 10, 15, 20}, {3.3, 12, 19}, {0, .2, .4, .6, .8, 1}, {0, .5, 1}, {.2}, {0, 1}},
		{{11.7}, {12.01}, {0, .2, .4, .6, .8, 1}, {0, .2, .4, .6, .8, 1}, {.4}, {.4}},
		// In several blocks: a feature, all features, the combinations too many.
		{steps(25), {7}, {.2, .4}, {.4}, {0, .5, 1}, {1}},
		{steps(11), steps(11), steps(11), {0, .5}, {0, .2, .4, .6, .8, 1}, {0, .2, .4, .6, .8, 1}},
	} {
		got, err := f.PredictGrid(nil, levels)
		if err != nil {
			t.Fatal(err)
		}
		cells, _ := got.Dims()
		row := make([]float64, len(levels))
		for cell := range cells {
			for j, k := len(levels)-1, cell; j >= 0; j-- {
				row[j] = levels[j][k%len(levels[j])]
				k /= len(levels[j])
			}
			for o, want := range f.Predict(nil, row) {
				if got.At(cell, o) != want {
					t.Fatalf("cell %d %v, output %d: grid %v, Predict %v", cell, row, o, got.At(cell, o), want)
				}
			}
		}
	}
	one := []float64{1}
	for _, levels := range [][][]float64{{one}, {one, one, one, one, one, {}}, {one, one, one, one, one, {2, 1}}, {one, one, one, one, one, {math.NaN()}}} {
		if _, err := f.PredictGrid(nil, levels); err == nil {
			t.Errorf("grid %v: no error", levels)
		}
	}
}

// Predictions are the weighted means of their leaf samples, also transformed.
func TestSamples(t *testing.T) {
	x, y := example(2000, 4)
	f := fit(t, x, y, forest.Config{Trees: 20, MinLeaf: 5})
	g, err := f.Transform(func(dst, y []float64) { dst[0] = y[0] * y[1] }, []string{"product"})
	if err != nil {
		t.Fatal(err)
	}
	for r := range 20 {
		row := x.RawRowView(r * 7)
		mean, product, total := 0.0, 0.0, 0.0
		for _, s := range f.LeafSamples(row) {
			mean += s.Weight * f.Target(s.Row)[2]
			product += s.Weight * f.Target(s.Row)[0] * f.Target(s.Row)[1]
			total += s.Weight
		}
		if math.Abs(total-1) > 1e-9 || math.Abs(mean-f.Predict(nil, row)[2]) > 1e-12 || math.Abs(product-g.Predict(nil, row)[0]) > 1e-12 {
			t.Fatalf("row %d: weights %v, mean %v for %v, product %v for %v", r, total, mean, f.Predict(nil, row)[2], product, g.Predict(nil, row)[0])
		}
		q := f.Quantile(row, 0, .5, 1)[0]
		if !(q[0] <= q[1] && q[1] <= q[2]) {
			t.Fatalf("quantiles %v", q)
		}
	}
	if err := g.Save(filepath.Join(t.TempDir(), "g")); err == nil {
		t.Error("a transformed forest was saved")
	}
}

func TestScores(t *testing.T) {
	x, y := example(3000, 5)
	testX, testY := example(1500, 6)
	f := fit(t, x, y, forest.Config{Trees: 40})
	test := forest.R2(testY, f.PredictMatrix(testX))
	oob := forest.R2(y, f.OutOfBag())
	if math.Abs(test[0]-oob[0]) > .03 {
		t.Errorf("R2 %.3f out of bag, %.3f on other rows", oob[0], test[0])
	}
	importance := f.Importance(testX, testY, 2, 1)
	if useful, useless := importance[0][0][0], importance[5][0][0]; useful < .1 || math.Abs(useless) > .02 {
		t.Errorf("importance %v of an input that matters, %v of one that does not", useful, useless)
	}
	a, b := mat.NewDense(2, 1, []float64{1, 3}), mat.NewDense(2, 1, []float64{2, 2})
	if n, r := forest.NMAE(a, b)[0], forest.R2(a, b)[0]; n != .5 || r != 0 {
		t.Errorf("NMAE %v, R2 %v of the mean; want .5 and 0", n, r)
	}
}

func TestFitErrors(t *testing.T) {
	x, y := example(50, 7)
	bad := mat.DenseCopyOf(x)
	bad.Set(7, 2, math.NaN())
	if _, err := forest.Fit(context.Background(), bad, y, forest.Config{}); err == nil || !strings.Contains(err.Error(), "row 7, column 2") {
		t.Errorf("NaN input: %v", err)
	}
	worse := mat.DenseCopyOf(y)
	worse.Set(3, 1, math.Inf(1))
	if _, err := forest.Fit(context.Background(), x, worse, forest.Config{}); err == nil || !strings.Contains(err.Error(), "row 3, column 1") {
		t.Errorf("infinite target: %v", err)
	}
	if _, err := forest.Fit(context.Background(), x, y, forest.Config{MinLeaf: -1}); err == nil || !strings.Contains(err.Error(), "MinLeaf is -1") {
		t.Errorf("negative leaf: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := forest.Fit(ctx, x, y, forest.Config{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestFile(t *testing.T) {
	x, y := example(3000, 8)
	for r := range 3000 { // a feature with many levels
		x.Set(r, 1, x.At(r, 1)+float64(r)*1e-6)
	}
	f := fit(t, x, y, forest.Config{Trees: 12, MinLeaf: 2, Seed: 9})
	f.Meta["trace"] = "example"
	dir := t.TempDir()
	path := filepath.Join(dir, "model")
	if err := f.Save(path); err != nil {
		t.Fatal(err)
	}
	g, err := forest.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if !mat.Equal(f.PredictMatrix(x), g.PredictMatrix(x)) || g.Meta["trace"] != "example" {
		t.Error("a loaded forest predicts otherwise")
	}
	if a, b := f.LeafSamples(x.RawRowView(5)), g.LeafSamples(x.RawRowView(5)); len(a) != len(b) || a[0] != b[0] {
		t.Errorf("leaf samples %v, after loading %v", a, b)
	}
	again := filepath.Join(dir, "again")
	if err := g.Save(again); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if other, err := os.ReadFile(again); err != nil || !bytes.Equal(data, other) {
		t.Errorf("saved again, the file differs: %v", err)
	}

	damaged := bytes.Clone(data)
	damaged[len(damaged)/2]++
	for name, tt := range map[string]struct {
		data []byte
		want string
	}{
		"truncated": {data[:len(data)-100], "truncated or damaged"},
		"damaged":   {damaged, "truncated or damaged"},
		"other":     {[]byte("PK\x03\x04 something"), "not a forest's file"},
		"empty":     {nil, "not a forest's file"},
		"newer":     {append([]byte("meshbench forest 4"), data[bytes.IndexByte(data, '\n'):]...), "version 4 of the format; this program reads versions 2 and 3"},
	} {
		bad := filepath.Join(dir, name)
		if err := os.WriteFile(bad, tt.data, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := forest.Load(bad); err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), bad) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
	if _, err := forest.Load(filepath.Join(dir, "missing")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
}

func BenchmarkFit(b *testing.B) {
	x, y := example(31740, 1)
	measured(b, func() { fit(b, x, y, forest.Config{Trees: 120, Workers: 1}) })
}

// Data that are not dense: inputs measured rather than chosen, more features than
// a split looks at, or the inputs and outputs of a larger mesh.
func BenchmarkFitSorted(b *testing.B) {
	draw := func(rows, features, outputs int, input func(*rand.Rand) float64) (x, y *mat.Dense) {
		rng := rand.New(rand.NewPCG(1, 2))
		x, y = mat.NewDense(rows, features, nil), mat.NewDense(rows, outputs, nil)
		for r := range rows {
			for j := range features {
				x.Set(r, j, input(rng))
			}
			for o := range outputs {
				y.Set(r, o, x.At(r, o)*x.At(r, o+1)+.1*rng.NormFloat64())
			}
		}
		return x, y
	}
	x, y := draw(10000, 3, 1, (*rand.Rand).Float64)
	largeX, largeY := draw(10000, 12, 9, func(rng *rand.Rand) float64 { return float64(rng.IntN(6)) / 5 })
	for _, c := range []struct {
		name string
		x, y *mat.Dense
		cfg  forest.Config
	}{
		{"full depth", x, y, forest.Config{}},
		{"leaves of 40", x, y, forest.Config{MinLeaf: 40}},
		{"one feature", x, y, forest.Config{MaxFeatures: 1}},
		{"random splits", x, y, forest.Config{RandomSplits: true, MinLeaf: 8}},
		{"larger mesh", largeX, largeY, forest.Config{}},
	} {
		c.cfg.Trees, c.cfg.Workers = 30, 1
		b.Run(c.name, func(b *testing.B) { measured(b, func() { fit(b, c.x, c.y, c.cfg) }) })
	}
}

func BenchmarkPredict(b *testing.B) {
	x, y := example(31740, 1)
	f := fit(b, x, y, forest.Config{Trees: 120})
	dst := make([]float64, 4)
	b.ReportAllocs()
	k := 0
	for b.Loop() {
		f.Predict(dst, x.RawRowView(k%31740))
		k++
	}
}

func BenchmarkPredictGrid(b *testing.B) {
	x, y := example(31740, 1)
	f := fit(b, x, y, forest.Config{Trees: 120})
	unit := []float64{0, .2, .4, .6, .8, 1}
	levels := [][]float64{{5, 10, 15, 20}, {5, 10, 15, 19}, unit, unit, unit, unit}
	measured(b, func() {
		if _, err := f.PredictGrid(nil, levels); err != nil {
			b.Fatal(err)
		}
	})
}
