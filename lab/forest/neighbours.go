package forest

import (
	"fmt"
	"slices"
)

// Neighbours are the training rows that a prediction rests on, ascending, and
// their weights, which sum to 1. It keeps its buffers: one that is used again
// and again, for forests of any size, is filled without allocation.
type Neighbours struct {
	Rows    []uint32
	Weights []float64 // of each of Rows

	dense  []float64 // weight of every training row, 0 between calls
	ranks  []uint32
	values []uint32 // leaf value in each tree
	room   []float64
}

// Neighbours fills n with the training rows that share a leaf with the given
// row of inputs in some tree, and the weights by which their targets make the
// prediction (Meinshausen 2006). It panics as Predict does.
func (f *Forest) Neighbours(n *Neighbours, row []float64) {
	n.room = slices.Grow(n.room[:0], f.outputs())[:f.outputs()]
	f.prepare(n.room, row)
	n.ranks, n.values = f.ranks(n.ranks[:0], row), n.values[:0]
	f.leaves(n.ranks, func(value uint32) { n.values = append(n.values, value) })
	f.share(n, n.values, nil)
}

// share fills n with the rows of the leaves that a row comes to, one in each tree: of
// a shared leaf that is marked pure with its first alone.
func (f *Forest) share(n *Neighbours, values []uint32, pure []bool) {
	if len(n.dense) < f.data.rows {
		n.dense = make([]float64, f.data.rows)
	}
	n.Rows, n.Weights = n.Rows[:0], n.Weights[:0]
	each := 1 / float64(len(f.trees))
	for _, value := range values {
		l := int(value) - f.data.rows
		if l < 0 {
			n.add(value, each)
			continue
		}
		rows, counts, total := f.shared.of(l)
		if pure != nil && pure[l] {
			n.add(rows[0], each)
			continue
		}
		for k, r := range rows {
			n.add(r, float64(float64(counts[k])/total*each))
		}
	}
	if len(n.Rows) > f.data.rows/sparse {
		n.Rows = n.Rows[:0]
		for r, w := range n.dense[:f.data.rows] {
			if w > 0 {
				n.Rows = append(n.Rows, uint32(r))
			}
		}
	} else {
		slices.Sort(n.Rows)
	}
	for _, r := range n.Rows {
		n.Weights = append(n.Weights, n.dense[r])
		n.dense[r] = 0
	}
}

// sparse is the share of the training rows up to which it is faster to sort some than
// to look at all.
const sparse = 32

func (n *Neighbours) add(row uint32, weight float64) {
	if n.dense[row] == 0 {
		n.Rows = append(n.Rows, row)
	}
	n.dense[row] += weight
}

// Input writes the inputs of a training row to dst, of length features, which
// is allocated when nil.
func (f *Forest) Input(dst []float64, row int) []float64 {
	nf := f.data.features
	if dst == nil {
		dst = make([]float64, nf)
	}
	for j, code := range f.data.codes[row*nf : (row+1)*nf] {
		dst[j] = f.data.levels[j][code]
	}
	return dst
}

// Sample is a training row that a prediction rests on.
type Sample struct {
	Row    int     // in the training data
	Weight float64 // all weights of a prediction sum to 1
}

// LeafSamples returns the training rows that share a leaf with the given row
// of inputs in some tree, with the weights by which their targets make the
// prediction, ascending by row. It panics as Predict does.
func (f *Forest) LeafSamples(row []float64) []Sample {
	var n Neighbours
	f.Neighbours(&n, row)
	out := make([]Sample, len(n.Rows))
	for k, r := range n.Rows {
		out[k] = Sample{int(r), n.Weights[k]}
	}
	return out
}

// leafRows visits the training rows of a leaf value with their shares of it.
func (f *Forest) leafRows(value uint32, visit func(row uint32, share float64)) {
	if int(value) < f.data.rows {
		visit(value, 1)
		return
	}
	rows, counts, total := f.shared.of(int(value) - f.data.rows)
	for k, r := range rows {
		visit(r, float64(counts[k])/total)
	}
}

// of returns the rows of shared leaf i with their bootstrap counts, and the sum of
// those.
func (l *leaves) of(i int) (rows, counts []uint32, total float64) {
	first, end := l.start[i], l.start[i+1]
	counts = l.count[first:end]
	sum := uint64(0)
	for _, c := range counts {
		sum += uint64(c)
	}
	return l.row[first:end], counts, float64(sum)
}

// Target returns the training targets of a row; they must not be changed.
func (f *Forest) Target(row int) []float64 {
	return f.data.y[row*f.data.outputs : (row+1)*f.data.outputs]
}

// Transform returns a forest of the same trees that predicts the mean of
// g(targets) over the leaf samples rather than the mean of the targets: with g
// a reward, the expected reward given the inputs, which the reward of the mean
// is not. g writes its values, one for each of the named outputs, to dst.
func (f *Forest) Transform(g func(dst, targets []float64), outputs []string) (*Forest, error) {
	if len(outputs) == 0 {
		return nil, fmt.Errorf("forest: Transform to no output")
	}
	k := len(outputs)
	t := *f
	t.transformed = true
	t.cfg.OutputNames = slices.Clone(outputs)
	t.values = make([]float64, len(f.values)/f.outputs()*k)
	for r := range f.data.rows {
		dst := t.values[r*k : (r+1)*k]
		g(dst, f.Target(r))
		for o, v := range dst {
			if !finite(v) {
				return nil, fmt.Errorf("forest: Transform: %s of training row %d is %v", outputs[o], r, v)
			}
		}
	}
	for v := f.data.rows; v < len(t.values)/k; v++ {
		dst := t.values[v*k : (v+1)*k]
		f.leafRows(uint32(v), func(r uint32, share float64) {
			for o := range dst {
				dst[o] += float64(share * t.values[int(r)*k+o])
			}
		})
	}
	return &t, nil
}
