package importer

import (
	"math"

	"github.com/meshbench/meshbench/lab/trace"
)

// join is the step that intervals of one action make.
func (a *assembler) join(list []interval) interval {
	x := interval{time: list[0].time, first: list[0].first, values: make([]float64, len(a.fields))}
	for _, y := range list {
		if x.mark == "" {
			x.mark = y.mark
		}
	}
	column := func(k int) []float64 {
		v := make([]float64, len(list))
		for n := range v {
			v[n] = list[n].values[k]
		}
		return v
	}
	for k, f := range a.fields {
		v := column(k)
		switch {
		case percentile(f):
			x.values[k] = math.NaN()
		case f.Kind == trace.Seconds:
			counts, carried := column(a.at[f.Name+"_n"]), column(a.at[a.space.Mesh().CarriedName(f.Service)])
			mean, by := meanDelay(v, counts, carried)
			if x.values[k] = mean; by != "" {
				a.out.note("%s: rows of a step are joined %s", f.Name, by)
			}
		case f.Kind == trace.Rate:
			x.values[k] = sum(v) / float64(len(v))
		case f.Kind == trace.Count:
			x.values[k] = sum(v)
		default:
			x.values[k] = v[0] // of a knob, the same in all
		}
	}
	return x
}

// sum is NaN where one of v is: of a part of the step it would be too low.
func sum(v []float64) float64 {
	s := 0.0
	for _, x := range v {
		s += x
	}
	return s
}

// meanDelay is the mean of the delays that are there, NaN where none is, and by
// what it was weighted.
func meanDelay(v, counts, carried []float64) (mean float64, by string) {
	for _, w := range []struct {
		weights []float64
		by      string
	}{{counts, "by their numbers of requests"}, {carried, "in proportion to the load carried, for the numbers of requests are not known"}, {nil, "with equal weights, for neither requests nor the load carried are known"}} {
		total, weight, none := 0.0, 0.0, true
		for n, d := range v {
			if math.IsNaN(d) {
				continue
			}
			none = false
			u := 1.0
			if w.weights != nil {
				u = w.weights[n]
			}
			total += float64(u * d)
			weight += u
		}
		if none {
			return math.NaN(), ""
		}
		if weight > 0 { // not NaN: all weights are known
			return total / weight, w.by
		}
	}
	return math.NaN(), ""
}
