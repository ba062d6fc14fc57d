package trace

import (
	"math"

	"gonum.org/v1/gonum/mat"
)

// Features returns the inputs of the system model (paper, Eq. 5), one row per
// step, columns in the order of mesh.FeatureNames. It returns nil for an empty
// trace.
func (t *Table) Features() *mat.Dense {
	if t.Len() == 0 {
		return nil
	}
	width := len(t.meta.Mesh.FeatureNames())
	data := make([]float64, 0, t.Len()*width)
	for r := range t.Len() {
		row := t.Row(r)
		data = t.meta.Mesh.Features(data, row.Load, row.Action)
	}
	return mat.NewDense(t.Len(), width, data)
}

// Targets returns the named columns (see Columns), one row per step, NaN where
// a value is missing; without names the mean delays d_ij of all services on
// all nodes, row by row. It returns nil for an empty trace; the error for an
// unknown name lists the columns.
func (t *Table) Targets(names ...string) (*mat.Dense, error) {
	if len(names) == 0 {
		names = t.NodeDelayNames()
	}
	list := make([]column, len(names))
	for k, name := range names {
		c, err := t.find(name)
		if err != nil {
			return nil, err
		}
		list[k] = c
	}
	if t.Len() == 0 {
		return nil, nil
	}
	y := mat.NewDense(t.Len(), len(list), nil)
	for k, c := range list {
		for r := range t.Len() {
			y.Set(r, k, *c.cell(t, r))
		}
	}
	return y, nil
}

// NodeDelayNames lists the columns of the mean delays d_ij row by row: d11,
// d12, d21, d22 for the paper's mesh.
func (t *Table) NodeDelayNames() []string {
	var names []string
	for i := range t.m {
		for j := range t.n {
			names = append(names, t.meta.Mesh.NodeDelayName(i, j))
		}
	}
	return names
}

// ColumnSummary describes one numeric column.
type ColumnSummary struct {
	Name           string
	Min, Mean, Max float64 // of the values that are there; NaN when none is
	Missing        int     // rows without a value
}

// Summary describes every numeric column, in the file's order.
func (t *Table) Summary() []ColumnSummary {
	var list []ColumnSummary
	for _, c := range columns(t.meta.Mesh) {
		s := ColumnSummary{Name: c.name, Min: math.Inf(1), Max: math.Inf(-1)}
		sum := 0.0
		for r := range t.Len() {
			v := *c.cell(t, r)
			if math.IsNaN(v) {
				s.Missing++
				continue
			}
			s.Min, s.Max = min(s.Min, v), max(s.Max, v)
			sum += v
		}
		if s.Missing == t.Len() {
			s.Min, s.Max = math.NaN(), math.NaN()
		}
		s.Mean = sum / float64(t.Len()-s.Missing) // 0/0 is NaN
		list = append(list, s)
	}
	return list
}
