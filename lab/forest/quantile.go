package forest

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"gonum.org/v1/gonum/mat"
)

// Quantile returns the q-quantiles of every training target given the inputs,
// by the weights of the leaf samples (Meinshausen 2006): outputs x len(q). It
// panics as Predict does, and for q outside [0, 1].
func (f *Forest) Quantile(row []float64, q ...float64) [][]float64 {
	checkQuantiles(q...)
	var n Neighbours
	f.Neighbours(&n, row)
	order := make([]uint64, len(n.Rows))
	out := make([][]float64, f.data.outputs)
	for o := range out {
		for k := range order {
			order[k] = uint64(k)
		}
		slices.SortStableFunc(order, func(a, b uint64) int { return cmp.Compare(f.Target(int(n.Rows[a]))[o], f.Target(int(n.Rows[b]))[o]) })
		for _, p := range q {
			out[o] = append(out[o], f.Target(n.quantile(order, p))[o])
		}
	}
	return out
}

func checkQuantiles(q ...float64) {
	for _, p := range q {
		if !(p >= 0 && p <= 1) {
			panic(fmt.Sprintf("forest: quantile %v, outside [0, 1]", p))
		}
	}
}

// quantile returns the row at which the weights of the rows so far reach q. The
// low half of order's words are indices of Rows.
func (n *Neighbours) quantile(order []uint64, q float64) (row int) {
	sum := 0.0
	for _, k := range order {
		row = int(n.Rows[uint32(k)])
		// A weight of many equal shares does not sum exactly.
		if sum += n.Weights[uint32(k)]; sum >= q-1e-12 {
			break
		}
	}
	return row
}

// QuantileMatrix predicts, for every row of x (rows x features), the q-quantile
// of each target by the weights of the training rows that share a leaf
// (Meinshausen 2006), as Quantile does: rows x targets. With q = .5 it is the
// prediction that minimises the absolute error, as the mean does the squared
// one. It panics as PredictMatrix does, and for q outside [0, 1].
func (f *Forest) QuantileMatrix(x mat.Matrix, q float64) *mat.Dense {
	checkQuantiles(q)
	f.mustTake(x)
	rows, _ := x.Dims()
	if rows == 0 {
		return &mat.Dense{}
	}
	k := f.data.outputs
	out := mat.NewDense(rows, k, nil)
	of, pure := f.targetRanks(), f.pureLeaves()
	const most = 512
	workers := min(runtime.GOMAXPROCS(0), rows)
	together := min((rows+workers-1)/workers, most) // rows that go down one tree after the other
	var next atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			var n Neighbours
			var order []uint64 // rank in the high half, index in n.Rows in the low
			values := make([]uint32, together*len(f.trees))
			for {
				end := int(next.Add(int64(together)))
				first := end - together
				if first >= rows {
					return
				}
				end = min(end, rows)
				ranks, list := f.matrixRanks(x, first, end)
				for t, tree := range f.trees {
					leavesOf(tree, list, ranks, f.data.features, func(r, value uint32) { values[int(r)*len(f.trees)+t] = value })
				}
				for r := first; r < end; r++ {
					f.share(&n, values[(r-first)*len(f.trees):][:len(f.trees)], pure)
					for o := range k {
						order = order[:0]
						for i, s := range n.Rows {
							order = append(order, uint64(of[int(s)*k+o])<<32|uint64(i))
						}
						slices.Sort(order)
						out.Set(r, o, f.Target(n.quantile(order, q))[o])
					}
				}
			}
		})
	}
	wg.Wait()
	return out
}

// targetRanks numbers the values of each target in ascending order, once for all
// predictions: rows x targets.
func (f *Forest) targetRanks() []uint32 {
	k := f.data.outputs
	ranks := make([]uint32, len(f.data.y))
	values := make([]float64, f.data.rows)
	for o := range k {
		for r := range values {
			values[r] = f.data.y[r*k+o]
		}
		slices.Sort(values)
		distinct := slices.Compact(values)
		for r := range f.data.rows {
			rank, _ := slices.BinarySearch(distinct, f.data.y[r*k+o])
			ranks[r*k+o] = uint32(rank)
		}
	}
	return ranks
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
