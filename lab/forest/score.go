package forest

import (
	"fmt"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/mat"
)

// NMAE is the mean absolute error of each column of hat over the mean of that
// column of y, as the paper reports it (Section IV). It panics when shapes
// differ.
func NMAE(y, hat mat.Matrix) []float64 {
	return byColumn("NMAE", y, hat, func(y, hat []float64) float64 {
		err, sum := 0.0, 0.0
		for r := range y {
			err += math.Abs(y[r] - hat[r])
			sum += y[r]
		}
		return err / sum
	})
}

// R2 is the coefficient of determination of each column of hat: 1 less the
// squared error over that of predicting y's own mean. It panics when shapes
// differ.
func R2(y, hat mat.Matrix) []float64 {
	return byColumn("R2", y, hat, func(y, hat []float64) float64 {
		mean := 0.0
		for _, v := range y {
			mean += v / float64(len(y))
		}
		err, total := 0.0, 0.0
		for r := range y {
			err += (y[r] - hat[r]) * (y[r] - hat[r])
			total += (y[r] - mean) * (y[r] - mean)
		}
		return 1 - err/total
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
// does not hold it: rows x outputs, NaN for a row that all trees hold.
func (f *Forest) OutOfBag() *mat.Dense {
	rows, k, nf := f.data.rows, f.outputs(), f.data.features
	out := mat.NewDense(rows, k, nil)
	trees := make([]int, rows)
	rank := make([][]uint32, nf)
	for j, levels := range f.data.levels {
		rank[j] = f.levelRanks(j, levels)
	}
	var count []uint32
	for tree, t := range f.trees {
		count = bootstrap(f.cfg, rows, tree, count)
		for r, c := range count {
			if c > 0 {
				continue
			}
			at := uint32(0)
			for !t[at].isLeaf() {
				n := t[at]
				at = n.child()
				j := int(n.feature())
				if rank[j][f.data.codes[r*nf+j]] > n.cut() {
					at++
				}
			}
			v := int(t[at].value()) * k
			for o, y := range f.values[v : v+k] {
				out.Set(r, o, out.At(r, o)+y)
			}
			trees[r]++
		}
	}
	for r := range rows {
		for o := range k {
			if trees[r] == 0 {
				out.Set(r, o, math.NaN())
			} else {
				out.Set(r, o, out.At(r, o)/float64(trees[r]))
			}
		}
	}
	return out
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
