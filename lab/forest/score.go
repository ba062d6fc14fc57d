package forest

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/mat"
)

// NMAE is the mean absolute error of each column of hat over the mean of that
// column of y, as the paper reports it (Section IV). Where that mean is 0 there
// is nothing to measure by: NMAE is 0 for predictions without error and infinite
// for other ones. It is NaN only if a prediction is. It panics when shapes
// differ.
func NMAE(y, hat mat.Matrix) []float64 {
	return byColumn("NMAE", y, hat, func(y, hat []float64) float64 {
		err, sum := 0.0, 0.0
		for r := range y {
			err += math.Abs(y[r] - hat[r])
			sum += y[r]
		}
		if err == 0 {
			return 0
		}
		if sum == 0 {
			return err * math.Inf(1) // NaN stays NaN
		}
		return err / sum
	})
}

// R2 is the coefficient of determination of each column of hat: 1 less the
// squared error over that of predicting y's own mean. Where y does not vary, as
// in one row, it is 1 for predictions that are y up to rounding and 0 for other
// ones, as scikit-learn has it. It is NaN only if a prediction is. It panics when
// shapes differ.
func R2(y, hat mat.Matrix) []float64 {
	return byColumn("R2", y, hat, func(y, hat []float64) float64 {
		mean, low, high := 0.0, math.Inf(1), math.Inf(-1)
		for _, v := range y {
			mean += v / float64(len(y))
			low, high = min(low, v), max(high, v)
		}
		err, total, worst := 0.0, 0.0, 0.0
		for r := range y {
			e, d := y[r]-hat[r], y[r]-mean
			err += float64(e * e)
			total += float64(d * d)
			worst = max(worst, math.Abs(e))
		}
		switch {
		case math.IsNaN(err):
			return err
		case low < high && total > 0:
			return 1 - err/total
		case worst <= 1e-12*math.Abs(high) || worst == 0:
			return 1
		}
		return 0
	})
}

func byColumn(name string, y, hat mat.Matrix, score func(y, hat []float64) float64) []float64 {
	rows, columns := y.Dims()
	if r, c := hat.Dims(); r != rows || c != columns {
		panic(fmt.Sprintf("forest: %s of %d x %d values and %d x %d predictions", name, rows, columns, r, c))
	}
	var out []float64
	for c := range columns {
		out = append(out, score(mat.Col(nil, c, y), mat.Col(nil, c, hat)))
	}
	return out
}

// OutOfBag predicts every training row by the trees whose bootstrap sample
// does not hold it: rows x outputs, NaN for a row that all trees hold, as happens
// with few trees, and always with Config.NoBootstrap. OutOfBagScore leaves those
// rows out.
func (f *Forest) OutOfBag() *mat.Dense {
	rows, nf := f.data.rows, f.data.features
	out := mat.NewDense(rows, f.outputs(), nil)
	trees := make([]int, rows)
	ranks := make([]uint32, len(f.data.codes))
	for j, levels := range f.data.levels {
		rank := f.levelRanks(j, levels)
		for r := range rows {
			ranks[r*nf+j] = rank[f.data.codes[r*nf+j]]
		}
	}
	var count, left []uint32
	for tree, t := range f.trees {
		count, left = bootstrap(f.cfg, rows, tree, count), left[:0]
		for r, c := range count {
			if c == 0 {
				left = append(left, uint32(r))
			}
		}
		leavesOf(t, left, ranks, nf, func(r, value uint32) {
			f.addValue(out.RawRowView(int(r)), value)
			trees[r]++
		})
	}
	for r, n := range trees {
		for o, v := range out.RawRowView(r) {
			out.Set(r, o, v/float64(n)) // 0/0 is NaN
		}
	}
	return out
}

// Score is how well a forest predicts some rows, for each output.
type Score struct {
	NMAE, R2 []float64
	Rows     int // that were predicted
}

// OutOfBagScore scores OutOfBag, on the training rows that it predicts. It is an
// error if there are none, and for a forest made by Transform, whose outputs have
// no targets.
func (f *Forest) OutOfBagScore() (Score, error) {
	if f.transformed {
		return Score{}, errors.New("forest: a transformed forest has no targets to be scored by")
	}
	hat := f.OutOfBag()
	var y, predicted []float64
	for r := range f.data.rows {
		if row := hat.RawRowView(r); !math.IsNaN(row[0]) {
			y, predicted = append(y, f.Target(r)...), append(predicted, row...)
		}
	}
	if y == nil {
		return Score{}, fmt.Errorf("forest: each of the %d training rows is in all of the %d trees' samples, so that none can be predicted out of bag",
			f.data.rows, len(f.trees))
	}
	k := f.outputs()
	n := len(y) / k
	a, b := mat.NewDense(n, k, y), mat.NewDense(n, k, predicted)
	return Score{NMAE(a, b), R2(a, b), n}, nil
}

// levelRanks is ranks for all levels of a feature.
func (f *Forest) levelRanks(feature int, levels []float64) []uint32 {
	out := make([]uint32, len(levels))
	cuts := f.cuts[feature]
	k := 0
	for l, v := range levels {
		for k < len(cuts) && cuts[k] < v {
			k++
		}
		out[l] = uint32(k)
	}
	return out
}

// Importance is the permutation importance of every feature for every output
// on the given rows: by how much R2 falls when the feature's values are
// shuffled, features x outputs x repeats. Rows that the forest was not fitted
// to show what it generalises from.
func (f *Forest) Importance(x, y *mat.Dense, repeats int, seed uint64) [][][]float64 {
	base := R2(y, f.PredictMatrix(x))
	rows, features := x.Dims()
	out := make([][][]float64, features)
	shuffled := mat.DenseCopyOf(x)
	for j := range features {
		out[j] = make([][]float64, len(base))
		column := mat.Col(nil, j, x)
		rng := rand.New(rand.NewPCG(seed, uint64(j)))
		for range repeats {
			for r, from := range rng.Perm(rows) {
				shuffled.Set(r, j, column[from])
			}
			for o, r2 := range R2(y, f.PredictMatrix(shuffled)) {
				out[j][o] = append(out[j][o], base[o]-r2)
			}
		}
		shuffled.SetCol(j, column)
	}
	return out
}
