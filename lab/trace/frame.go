package trace

import (
	"time"

	"github.com/go-gota/gota/dataframe"
	"github.com/go-gota/gota/series"
)

// Frame returns the trace as a gota data frame for exploring in a notebook,
// columns named as in the file: step as integers, start and mark as text, all
// else as numbers, NaN where missing.
func (t *Table) Frame() dataframe.DataFrame {
	start := make([]string, t.Len())
	for r, at := range t.start {
		if !at.IsZero() {
			start[r] = at.UTC().Format(time.RFC3339Nano)
		}
	}
	list := []series.Series{series.New(t.step, series.Int, "step"), series.New(start, series.String, "start")}
	for _, c := range t.columns {
		v := make([]float64, t.Len())
		for r := range v {
			v[r] = *c.cell(t, r)
		}
		list = append(list, series.New(v, series.Float, c.Name))
	}
	return dataframe.New(append(list, series.New(t.mark, series.String, "mark"))...)
}
