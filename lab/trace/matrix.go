package trace

import (
	"math"

	"gonum.org/v1/gonum/mat"
)

// Features returns the inputs of the system model (paper, Eq. 5), one row per
// step, columns in the order of mesh.Space.FeatureNames. It returns nil for an
// empty trace.
func (t *Table) Features() *mat.Dense {
	if t.Len() == 0 {
		return nil
	}
	width := len(t.meta.Space.FeatureNames())
	data := make([]float64, 0, t.Len()*width)
	for r := range t.Len() {
		data = t.meta.Space.Features(data, t.loadOf(r), t.actionOf(r))
	}
	return mat.NewDense(t.Len(), width, data)
}

// Targets returns the named columns (see Columns), one row per step, NaN where
// a value is missing; without names the mean delays of all endpoints, in the
// order of DelayNames. It returns nil for an empty trace; the error for an
// unknown name lists the columns.
func (t *Table) Targets(names ...string) (*mat.Dense, error) {
	if len(names) == 0 {
		names = t.DelayNames()
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

// DelayNames lists the columns of the endpoints' mean delays: d11, d12, d21, d22
// for the paper's mesh.
func (t *Table) DelayNames() []string { return t.meta.Space.Layout().DelayNames() }

// ColumnSummary describes one numeric column.
type ColumnSummary struct {
	Name           string
	Min, Mean, Max float64 // of the values that are there; NaN when none is
	Missing        int     // rows without a value
}

// Summary describes every numeric column, in the file's order.
func (t *Table) Summary() []ColumnSummary {
	var list []ColumnSummary
	for _, c := range t.columns {
		s := ColumnSummary{Name: c.Name, Min: math.Inf(1), Max: math.Inf(-1)}
		sum := 0.0
		for r := range t.Len() {
			v := *c.cell(t, r)
			if missing(v) {
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
