package forest

import (
	"fmt"
	"slices"
	"sort"
)

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
	l := int(value) - f.data.rows
	first, end := f.shared.start[l], f.shared.start[l+1]
	total := 0.0
	for _, c := range f.shared.count[first:end] {
		total += float64(c)
	}
	for k := first; k < end; k++ {
		visit(f.shared.row[k], float64(f.shared.count[k])/total)
	}
}

// Target returns the training targets of a row; they must not be changed.
func (f *Forest) Target(row int) []float64 {
	return f.data.y[row*f.data.outputs : (row+1)*f.data.outputs]
}

// Quantile returns the q-quantiles of every training target given the inputs,
// by the weights of the leaf samples (Meinshausen 2006): outputs x len(q). It
// panics as Predict does, and for q outside [0, 1].
func (f *Forest) Quantile(row []float64, q ...float64) [][]float64 {
	for _, p := range q {
		if !(p >= 0 && p <= 1) {
			panic(fmt.Sprintf("forest: quantile %v, outside [0, 1]", p))
		}
	}
	samples := f.LeafSamples(row)
	out := make([][]float64, f.data.outputs)
	for o := range out {
		sort.SliceStable(samples, func(a, b int) bool { return f.Target(samples[a].Row)[o] < f.Target(samples[b].Row)[o] })
		for _, p := range q {
			sum, v := 0.0, f.Target(samples[len(samples)-1].Row)[o]
			for _, s := range samples {
				// A weight of many equal shares does not sum exactly.
				if sum += s.Weight; sum >= p-1e-12 {
					v = f.Target(s.Row)[o]
					break
				}
			}
			out[o] = append(out[o], v)
		}
	}
	return out
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
				dst[o] += share * t.values[int(r)*k+o]
			}
		})
	}
	return &t, nil
}
