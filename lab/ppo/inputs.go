package ppo

import "github.com/meshbench/meshbench/lab/ppo/internal/kernel"

// inputs are observations for both networks. Where most values are 0, as in a
// coding at knots, the first layer works on the others alone; the results are
// those of the whole rows, since the rest adds zeros.
type inputs struct {
	x           []float32 // rows×width
	rows, width int

	sparse bool
	end    []int32 // per row: the end of its values in index and value
	index  []int32
	value  []float32
}

// sparsity is the share of values up to which rows are sparse: one row's
// product is then cheaper value by value.
const sparsity = 1. / 8

// set makes x the inputs; it is not copied.
func (in *inputs) set(x []float32, rows, width int) {
	in.x, in.rows, in.width = x[:rows*width], rows, width
	limit := int(sparsity * float64(rows*width))
	if cap(in.index) < limit || cap(in.end) < rows {
		in.end = make([]int32, 0, rows)
		in.index, in.value = make([]int32, 0, limit), make([]float32, 0, limit)
	}
	in.end, in.index, in.value = in.end[:0], in.index[:0], in.value[:0]
	for r := range rows {
		row := in.x[r*width:][:width]
		for i, v := range row {
			if v == 0 {
				continue
			}
			if len(in.index) == limit {
				in.sparse = false
				return
			}
			in.index, in.value = append(in.index, int32(i)), append(in.value, v)
		}
		in.end = append(in.end, int32(len(in.index)))
	}
	in.sparse = true
}

// times computes y = x·w + b, rows×l.ld.
func (in *inputs) times(l layer, y []float32) {
	if !in.sparse {
		kernel.Gemm(in.rows, l.ld, l.in, kernel.Matrix{Data: in.x, Row: in.width, Col: 1}, l.w, l.ld, y, l.ld, l.b)
		return
	}
	k := 0
	for r := range in.rows {
		row := y[r*l.ld:][:l.ld]
		copy(row, l.b)
		for ; k < int(in.end[r]); k++ {
			kernel.AddScaled(row, l.w[int(in.index[k])*l.ld:][:l.ld], in.value[k])
		}
	}
}

// gradient computes xᵀ·dy, the gradient by the weights, into g.
func (in *inputs) gradient(g layer, dy []float32) {
	if !in.sparse {
		kernel.Gemm(g.in, g.ld, in.rows, kernel.Matrix{Data: in.x, Row: 1, Col: in.width}, dy, g.ld, g.w, g.ld, nil)
		return
	}
	clear(g.w)
	k := 0
	for r := range in.rows {
		row := dy[r*g.ld:][:g.ld]
		for ; k < int(in.end[r]); k++ {
			kernel.AddScaled(g.w[int(in.index[k])*g.ld:][:g.ld], row, in.value[k])
		}
	}
}
