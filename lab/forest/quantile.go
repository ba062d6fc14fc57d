package forest

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"gonum.org/v1/gonum/mat"
)

// QuantileMatrix predicts, for every row of x (rows x features), the q-quantile
// of each target by the weights of the training rows that share a leaf
// (Meinshausen 2006), as Quantile does: rows x targets. With q = .5 it is the
// prediction that minimises the absolute error, as the mean does the squared
// one. It panics as Quantile does.
func (f *Forest) QuantileMatrix(x mat.Matrix, q float64) *mat.Dense {
	if !(q >= 0 && q <= 1) {
		panic(fmt.Sprintf("forest: quantile %v, outside [0, 1]", q))
	}
	rows, features := x.Dims()
	k := f.data.outputs
	out := mat.NewDense(rows, k, nil)
	// Ranks order the training rows by each target, once for all predictions.
	order := make([]uint32, f.data.rows)
	ranks := make([]uint32, f.data.rows*k)
	for o := range k {
		for r := range order {
			order[r] = uint32(r)
		}
		slices.SortStableFunc(order, func(a, b uint32) int {
			switch u, v := f.data.y[int(a)*k+o], f.data.y[int(b)*k+o]; {
			case u < v:
				return -1
			case u > v:
				return 1
			}
			return 0
		})
		for rank, r := range order {
			ranks[int(r)*k+o] = uint32(rank)
		}
	}
	if features != f.data.features {
		f.prepare(nil, make([]float64, features)) // panics
	}
	pure := f.pureLeaves()
	var next atomic.Int64
	var wg sync.WaitGroup
	var failed any
	var once sync.Once
	for range min(runtime.GOMAXPROCS(0), rows) {
		wg.Go(func() {
			defer func() {
				if v := recover(); v != nil {
					once.Do(func() { failed = v })
				}
			}()
			var n Neighbours
			var row []float64
			var sorted []uint64 // rank in the high half, index in n.Rows in the low
			for r := int(next.Add(1)) - 1; r < rows; r = int(next.Add(1)) - 1 {
				row = mat.Row(row, r, x)
				f.neighbours(&n, row, pure)
				for o := range k {
					sorted = sorted[:0]
					for i, s := range n.Rows {
						sorted = append(sorted, uint64(ranks[int(s)*k+o])<<32|uint64(i))
					}
					slices.Sort(sorted)
					at, sum := 0, 0.0
					for i, s := range sorted {
						at = i
						// A weight of many equal shares does not sum exactly.
						if sum += n.Weights[uint32(s)]; sum >= q-1e-12 {
							break
						}
					}
					out.Set(r, o, f.data.y[int(n.Rows[uint32(sorted[at])])*k+o])
				}
			}
		})
	}
	wg.Wait()
	if failed != nil {
		panic(failed)
	}
	return out
}

// pureLeaves tells of each shared leaf whether its rows have the same targets,
// so that one row stands for all. A delay of 0 makes such leaves, of thousands
// of rows.
func (f *Forest) pureLeaves() []bool {
	pure := make([]bool, len(f.shared.start)-1)
	for l := range pure {
		rows := f.shared.row[f.shared.start[l]:f.shared.start[l+1]]
		first := f.Target(int(rows[0]))
		pure[l] = !slices.ContainsFunc(rows[1:], func(r uint32) bool { return !slices.Equal(f.Target(int(r)), first) })
	}
	return pure
}
